"""Operators and Dags of the factory: they land and build what the ready Dags do, each with settings of its own."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.asset import AssetEvent
from airflow.utils.session import create_session
from sqlalchemy import delete, select

from jumpcloud_elt.core.airflow_compat import CronDataIntervalTimetable
from jumpcloud_elt.core.settings import Settings, other_options, read_settings
from jumpcloud_elt.dag_factory import usage_dag
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.operators import JumpCloudDirectoryOperator
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND
from support.connections import API_KEY, connection_json
from support.paths import ROOT
from support.pipeline import query

EXAMPLES = ROOT / "plugins" / "jumpcloud_elt" / "example_dags"
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)


def events_of(run: Any) -> dict[str, dict[str, Any]]:
    """The extra of every asset event of a run, by the asset's name."""
    with create_session() as session:
        events = session.scalars(select(AssetEvent).where(AssetEvent.source_run_id == run.run_id,
                                                          AssetEvent.source_dag_id == run.dag_id))  # fmt: skip
        return {event.asset.name: dict(event.extra) for event in events}


def states_of(run: Any) -> dict[str, str]:
    return {task.task_id: str(task.state) for task in run.get_task_instances()}


@pytest.fixture
def own(airflow_database: None, settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings, with the sandbox as a connection that the configuration does not name, and no events so far."""
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_EU", connection_json(sandbox.url, API_KEY))
    monkeypatch.delenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT")
    with create_session() as session:
        session.execute(delete(AssetEvent))
    return settings


RunFile = Callable[..., list[Any]]


@pytest.fixture
def run_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RunFile:
    """Writes a Dag file into a bundle of its own and runs Dags of it, one after the other; returns their runs."""
    folder = tmp_path / "dags"
    folder.mkdir()
    bundle = {"classpath": "airflow.dag_processing.bundles.local.LocalDagBundle", "kwargs": {"path": str(folder)}}
    monkeypatch.setenv("AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST", json.dumps([bundle | {"name": "dags-folder"}]))

    def run(text: str, *dag_ids: str) -> list[Any]:
        (folder / "own.py").write_text(text)
        bag = DagBag(folder)
        assert bag.import_errors == {}
        return [bag.dags[dag_id].test(logical_date=TODAY) for dag_id in dag_ids]

    return run


OPERATORS = """
from airflow.sdk import dag
from jumpcloud_elt.operators import JumpCloudDirectoryOperator, JumpCloudUsageOperator, JumpCloudWarehouseOperator

EU = {"connections": ["jumpcloud_eu"]}

@dag(schedule=None)
def own_sync():
    syncs = JumpCloudDirectoryOperator(task_id="directory", **EU), JumpCloudUsageOperator(task_id="usage", **EU)
    list(syncs) >> JumpCloudWarehouseOperator(task_id="warehouse")

@dag(schedule=None)
def own_directory():
    JumpCloudDirectoryOperator(task_id="directory", **EU)

@dag(schedule=None)
def own_usage():
    JumpCloudUsageOperator(task_id="usage", **EU)

own_sync(), own_directory(), own_usage()
"""
FACTORY = """
from airflow.sdk import Asset
from jumpcloud_elt.dag_factory import directory_dag, usage_dag, warehouse_dag

EU = {"connections": ["jumpcloud_eu"], "schedule": "none"}
directory_dag("eu_directory", **EU)
OWN = {"options": {"data_root": "%s"}}
LANDING = Asset("eu_landing", uri="x-jumpcloud://eu/landing")
directory_dag("own_directory", outlets=[LANDING], **EU, **OWN)
usage_dag("own_usage", outlets=[LANDING], **EU, **OWN)
warehouse_dag("own_warehouse", schedule=LANDING, outlets=[Asset("eu", uri="x-jumpcloud://eu")], **OWN)
"""


def test_the_operators_land_and_build_what_the_ready_dags_do(own: Settings, run_file: RunFile) -> None:
    (run,) = run_file(OPERATORS, "own_sync")
    assert states_of(run) == {"directory": "success", "usage": "success", "warehouse": "success"}
    (row,) = query(own.warehouse, f"select * from organizations where organization_id = '{NORTHWIND}'")
    assert (row["sync_status"], row["usage_state"]) == ("ok", "available")
    logged = query(own.warehouse, "select distinct dag_id, run_id, connection_id from sync_log")
    assert logged == [{"dag_id": "own_sync", "run_id": run.run_id, "connection_id": "jumpcloud_eu"}]
    events = events_of(run)
    assert set(events) == {"jumpcloud_directory_landing", "jumpcloud_usage_landing", "jumpcloud_warehouse"}
    assert events["jumpcloud_warehouse"] == {"warehouse": str(own.warehouse)}
    for name, is_usage in (("jumpcloud_directory_landing", False), ("jumpcloud_usage_landing", True)):
        landed = query(
            own.warehouse,
            "select organization_id, organization_name, count(*) as units, sum(rows)::bigint as rows "
            "from sync_log inner join organizations using (organization_id) "
            "where outcome in ('ok', 'held') and (stream = 'directory_insights_events') = $1 group by all",
            [is_usage],
        )
        rows = {row.pop("organization_id"): row for row in landed}
        assert events[name] == {"organizations": rows, "rows": sum(one["rows"] for one in landed), "failed": []}
        # One has no Directory Insights: nothing of it has landed.
        assert (BLUE_YONDER in rows) == (not is_usage)
        assert events[name]["rows"] > 0


def test_an_operator_fails_by_name_without_an_event_and_all_others_have_landed(
    own: Settings, sandbox: Sandbox, run_file: RunFile
) -> None:
    first, *others = [one["id"] for one in sandbox.world()["organizations"]]
    sandbox.set_faults({"match": {"organization_id": first, "path_regex": "^/api/systemusers$"}, "do": {"status": 401}})
    (run,) = run_file(OPERATORS, "own_directory")
    assert (run.state, events_of(run)) == ("failed", {})
    landed = (Path(str(own.data_root)) / "landing" / "systemusers").glob("organization_id=*/snapshot_at=*/*.parquet")
    assert sorted(path.parts[-3].removeprefix("organization_id=") for path in landed) == sorted(others)


def test_where_nothing_can_land_the_task_is_skipped_and_emits_nothing(
    own: Settings, sandbox: Sandbox, run_file: RunFile
) -> None:
    sandbox.set_faults({"match": {"path_regex": "^/insights/"}, "do": {"status": 402, "body": {"message": "no"}}})
    (run,) = run_file(OPERATORS, "own_usage")
    assert (states_of(run), events_of(run)) == ({"usage": "skipped"}, {})


def test_a_dag_of_the_factory_tells_what_has_landed_and_fails_by_what_has_not(
    own: Settings, sandbox: Sandbox, run_file: RunFile
) -> None:
    first = sandbox.world()["organizations"][0]["id"]
    sandbox.set_faults({"match": {"organization_id": first, "path_regex": "^/api/systemusers$"}, "do": {"status": 401}})
    (run,) = run_file(FACTORY % "unused", "eu_directory")
    assert states_of(run) == {"sync_directory": "success", "report_failures": "failed"}
    extra = events_of(run)["jumpcloud_directory_landing"]
    assert extra["failed"] == [first] and first not in extra["organizations"] and extra["rows"] > 0


def test_dags_of_the_factory_have_a_data_root_and_assets_of_their_own(
    own: Settings, tmp_path: Path, run_file: RunFile
) -> None:
    runs = run_file(FACTORY % (tmp_path / "eu"), "own_directory", "own_usage", "own_warehouse")
    assert [run.state for run in runs] == ["success"] * 3
    assert [set(events_of(run)) for run in runs] == [{"eu_landing"}, {"eu_landing"}, {"eu"}]
    (users,) = query(tmp_path / "eu" / "warehouse" / "jumpcloud.duckdb", "select count(*) as number from users")
    assert users["number"] > 0
    assert not Path(str(own.data_root)).exists()


def test_what_is_given_to_the_factory_is_the_dags() -> None:
    def paged(context: Any) -> None:
        pass

    dag = usage_dag("eu_usage", schedule="@hourly", owner="it", default_args={"retries": 1}, tags=["eu"],
                    on_failure_callback=paged, dag_display_name="EU")  # fmt: skip
    assert dag.schedule == CronDataIntervalTimetable("0 * * * *", timezone="UTC")
    assert (dag.tags, dag.dag_display_name, dag.catchup) == ({"eu"}, "EU", False)
    assert dag.on_failure_callback is paged
    assert {(task.owner, task.task_id) for task in dag.tasks} == {("it", "sync_usage"), ("it", "report_failures")}
    assert dag.get_task("sync_usage").retries == 1
    assert dag.get_task("sync_usage").options["usage_schedule"] == "@hourly"


def test_options_hold_within_their_task_only_and_a_wrong_name_is_refused(settings: Settings) -> None:
    before = read_settings()
    with other_options({"connections": "one,two", "usage_initial_days": "3"}):
        assert (read_settings().connections, read_settings().usage_initial_days) == (("one", "two"), 3)
    assert read_settings() == before
    with pytest.raises(ConfigurationError, match=r"options: conections given; allowed: .*connections, "):
        JumpCloudDirectoryOperator(task_id="directory", options={"conections": "one"})


def test_settings_have_their_defaults_where_airflow_has_not_read_what_the_provider_declares(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Undeclared:
        def get(self, section: str, option: str, **given: str) -> str:
            if "fallback" not in given:
                raise KeyError(f"section/key [{section}/{option}] not found in config")
            return given["fallback"]

    monkeypatch.setattr("jumpcloud_elt.core.settings.conf", Undeclared())
    settings = read_settings()
    assert (settings.connections, settings.usage_services, settings.request_attempts) == (
        ("jumpcloud_default",),
        ("directory", "sso"),
        6,
    )


def test_the_examples_are_read_as_dags_and_tell_what_they_are() -> None:
    bag = DagBag(EXAMPLES)
    assert bag.import_errors == {}
    assert sorted(bag.dags) == [
        "jumpcloud_eu_directory",
        "jumpcloud_eu_usage",
        "jumpcloud_us_directory",
        "jumpcloud_us_usage",
        "report_idle_accounts",
        "suspend_leavers",
    ]
    assert bag.dags["jumpcloud_eu_usage"].tasks[0].owner == "it-berlin"


@pytest.mark.usefixtures("airflow_database", "settings")
def test_the_example_with_operators_counts_idle_accounts(run_file: RunFile) -> None:
    (run,) = run_file((EXAMPLES / "sync_then_report.py").read_text(), "report_idle_accounts")
    assert states_of(run) == dict.fromkeys(("directory", "usage", "warehouse", "count_idle"), "success")
    (counted,) = [task for task in run.get_task_instances() if task.task_id == "count_idle"]
    assert all(isinstance(number, int) for number in counted.xcom_pull("count_idle").values())
