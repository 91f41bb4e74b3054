"""The Dags as Airflow reads them: which there are, what they promise, and that reading them asks nothing of anybody.

How they run is in `test_scheduler`; here one run of each in this process, for what it leaves in Airflow's database.
"""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.taskinstance import TaskInstance
from airflow.models.taskreschedule import TaskReschedule
from airflow.models.xcom import XComModel
from airflow.sdk import DAG
from airflow.utils.session import create_session
from sqlalchemy import select

from jumpcloud_elt.actions.operator import HAS_RESPONSE_TIMEOUT
from jumpcloud_elt.connections import capabilities
from jumpcloud_elt.core import settings
from jumpcloud_elt.core.airflow_compat import DOUBLED_RETRY_DELAYS, AirflowFailException, CronDataIntervalTimetable
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.landing.manifests import RunManifest
from jumpcloud_elt.tasks import usage
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND, UNNAMED
from jumpcloud_sandbox.payloads import SECRET
from support.connections import API_KEY
from support.paths import ROOT
from support.pipeline import query, run_directory

DAG_IDS = (
    "jumpcloud_check_connection",
    "jumpcloud_directory",
    "jumpcloud_forget",
    "jumpcloud_usage",
    "jumpcloud_user_action",
    "jumpcloud_warehouse",
)
BY_THEMSELVES = ("jumpcloud_directory", "jumpcloud_usage", "jumpcloud_warehouse")
# Two runs of these at once would take two snapshots of the same, or write one file.
ONE_RUN_AT_A_TIME = ("jumpcloud_directory", "jumpcloud_forget", "jumpcloud_warehouse")
# A run that waits for an approval must not hold up others; what it does then it does alone.
ONE_TASK_AT_A_TIME = {"act", "sync_directory"}
# A report is no better the second time, and nobody is asked twice.
TRIED_ONCE = ("report_failures", "report", "approve")
# What tasks and pages work with, and Airflow itself does not import.
HEAVY = {
    "airflow.providers.http.hooks.http",
    "boto3",
    "botocore",
    "duckdb",
    "fastapi",
    "numpy",
    "pandas",
    "pyarrow",
    "requests",
    "s3fs",
}
# Parses the Dags and loads the plugins as Airflow does, and tells what else happened meanwhile.
PARSE = """
import json, sys
from airflow import plugins_manager
from airflow.dag_processing.dagbag import DagBag

dags, plugins = sys.argv[1:]
of_airflow = set(sys.modules)
DagBag(dags)  # what is imported is imported now
touched = []
sys.addaudithook(lambda event, arguments: touched.append((event, str(arguments[0] if arguments else ""))))
bag = DagBag(dags)
parsed, touched = touched, []
plugins_manager.ensure_plugins_loaded()
files = {name: getattr(module, "__file__", None) or "" for name, module in sys.modules.items()}
print(json.dumps({
    "dag_ids": sorted(bag.dags),
    "import_errors": bag.import_errors,
    "touched": parsed,
    "plugin_errors": plugins_manager.get_import_errors(),
    "modules": [name for name, file in files.items() if file.startswith(plugins)],
    "imported": sorted(set(sys.modules) - of_airflow),
}))
"""


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a fresh process says that reads the Dags and the plugins: without connection, data root or database."""
    ended = subprocess.run(
        [sys.executable, "-c", PARSE, str(ROOT / "dags"), str(ROOT / "plugins")],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path_factory.mktemp("parsing"))},
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def dags() -> dict[str, DAG]:
    return DagBag(ROOT / "dags").dags


def test_exactly_the_expected_dags_are_there_without_import_errors(parsed: dict[str, Any]) -> None:
    assert tuple(parsed["dag_ids"]) == DAG_IDS
    assert parsed["import_errors"] == {}


def test_parsing_reads_nothing_but_source_and_talks_to_nobody(parsed: dict[str, Any]) -> None:
    opened = {argument for event, argument in parsed["touched"] if event == "open"}
    assert {str(ROOT / "dags" / f"{dag_id}.py") for dag_id in DAG_IDS} <= opened
    # The list of files that are no Dag files, and nothing else.
    assert {path for path in opened if not path.endswith((".py", ".pyc"))} == {str(ROOT / "dags" / ".airflowignore")}
    talking = ("socket.", "sqlite3.", "subprocess.", "http.", "urllib.", "os.system", "os.exec", "os.posix_spawn")
    assert [event for event, _ in parsed["touched"] if event.startswith(talking)] == []


def test_neither_dags_nor_plugins_import_what_only_tasks_and_pages_need(parsed: dict[str, Any]) -> None:
    """The Dag processor reads every Dag file again and again, each time in a new process."""
    assert HEAVY & set(parsed["imported"]) == set()


def test_airflow_loads_the_package_as_a_package_and_its_modules_not_one_by_one(parsed: dict[str, Any]) -> None:
    assert parsed["plugin_errors"] == {}
    of_its_own = {path.stem for path in (ROOT / "plugins").glob("*.py")}
    strays = {name for name in parsed["modules"] if name.partition(".")[0] != "jumpcloud_elt"}
    assert strays == of_its_own
    assert "jumpcloud_elt.core" in parsed["modules"]


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_dag_says_what_it_is_and_never_catches_up_by_itself(dags: dict[str, DAG], dag_id: str) -> None:
    dag = dags[dag_id]
    assert dag.doc_md is not None and dag.doc_md.strip().startswith("### JumpCloud")
    tags = ["runs by itself"] if dag_id in BY_THEMSELVES else ["by hand"]
    assert dag.tags == {"jumpcloud", *tags, *(["changes JumpCloud"] if dag_id == "jumpcloud_user_action" else [])}
    assert dag.dag_display_name.startswith("JumpCloud: " if dag_id in BY_THEMSELVES else "JumpCloud, by hand: ")
    assert (dag.schedule is not None) == (dag_id in BY_THEMSELVES)
    assert dag.catchup is False
    assert (dag.max_active_runs == 1) == (dag_id in ONE_RUN_AT_A_TIME)
    for task in dag.tasks:
        assert task.owner == "jumpcloud_elt"
        assert task.retries == (0 if task.task_id in TRIED_ONCE else 3)
        assert task.retry_delay == timedelta(seconds=30)
        assert task.retry_exponential_backoff == DOUBLED_RETRY_DELAYS
        assert task.max_retry_delay == timedelta(minutes=15)


@pytest.mark.parametrize("dag_id", DAG_IDS)
def test_every_run_and_every_task_ends(dags: dict[str, DAG], dag_id: str) -> None:
    hours = 24 + (24 if dag_id == "jumpcloud_user_action" else 0)
    assert dags[dag_id].dagrun_timeout == timedelta(hours=hours)
    for task in dags[dag_id].tasks:
        minutes = 10 if task.task_id == "notify" else 180
        if task.task_id != "approve" or HAS_RESPONSE_TIMEOUT:
            assert task.execution_timeout == timedelta(minutes=minutes)
        assert task.task_id != "notify" or not task.downstream_list
        if task.task_id == "approve":
            assert task.response_timeout == timedelta(hours=24)
            # Whoever answers is not asked for what the run was started with.
            assert dict(task.params) == {}


def test_actions_wait_beside_each_other_and_act_in_turn(dags: dict[str, DAG]) -> None:
    tasks = dags["jumpcloud_user_action"].tasks
    assert {task.task_id for task in tasks if task.max_active_tis_per_dag == 1} == ONE_TASK_AT_A_TIME


@pytest.mark.parametrize(
    ("schedule", "cron"),
    [
        ("@daily", "0 0 * * *"),
        ("@hourly", "0 * * * *"),
        ("*/15 * * * *", "*/15 * * * *"),
        ("none", None),
    ],
)
@pytest.mark.parametrize("name", ["usage", "directory"])
def test_a_schedule_is_a_timetable_with_data_intervals_or_none(
    monkeypatch: pytest.MonkeyPatch, name: str, schedule: str, cron: str | None
) -> None:
    monkeypatch.setenv(f"AIRFLOW__JUMPCLOUD_ELT__{name.upper()}_SCHEDULE", schedule)
    dag = DagBag(ROOT / "dags" / f"jumpcloud_{name}.py").dags[f"jumpcloud_{name}"]
    if cron is None:
        assert dag.schedule is None
    else:
        assert dag.schedule == CronDataIntervalTimetable(cron, timezone="UTC")


@pytest.mark.usefixtures("airflow_database")
def test_wrong_options_take_no_dag_off_the_list_and_fail_its_tasks_by_name(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    wrong = {
        "usage_schedule": "every now and then",
        "directory_schedule": "* *",
        "pool": " ",
        "connections": ",",
        "task_timeout_minutes": "soon",
        "run_timeout_hours": "-1",
        "actions_approval_timeout_hours": "inf",
        "duckdb_threads": "nan",
    }
    for option, value in wrong.items():
        monkeypatch.setenv(f"AIRFLOW__JUMPCLOUD_ELT__{option.upper()}", value)
    bag = DagBag(ROOT / "dags")
    assert (set(bag.dags), bag.import_errors) == (set(DAG_IDS), {})
    usage_dag = bag.dags["jumpcloud_usage"]
    daily = CronDataIntervalTimetable("0 0 * * *", timezone="UTC")
    assert (usage_dag.schedule, usage_dag.dagrun_timeout) == (daily, timedelta(hours=24))
    assert {(task.pool, task.execution_timeout) for task in usage_dag.tasks if task.task_id != "notify"} == {
        ("default_pool", timedelta(minutes=180))
    }
    assert bag.dags["jumpcloud_user_action"].dagrun_timeout == timedelta(hours=48)
    with pytest.raises(AirflowFailException) as raised:
        usage.extract_events({}, {}, [])  # type: ignore[typeddict-item]
    assert [line.partition(": ")[0] for line in str(raised.value).splitlines()[1:]] == [
        f"- {option}" for option in sorted(wrong, key=list(Settings.__dataclass_fields__).index)
    ]
    run = usage_dag.test()
    states = {task.task_id: (task.state, task.try_number) for task in run.get_task_instances()}
    assert (run.state, states["plan_units"]) == ("failed", ("failed", 1))
    assert not settings.landing.exists()


@pytest.mark.usefixtures("airflow_database", "settings")
def test_one_run_of_each_leaves_states_by_organization_and_neither_keys_nor_rows_in_airflows_database(
    dags: dict[str, DAG], sandbox: Sandbox
) -> None:
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    runs = [
        dags["jumpcloud_directory"].test(),
        dags["jumpcloud_usage"].test(logical_date=today),
        dags["jumpcloud_warehouse"].test(),
        dags["jumpcloud_check_connection"].test(),
    ]
    states = {run.dag_id: {_name(task): task.state for task in run.get_task_instances()} for run in runs}
    around = dict.fromkeys(("list_organizations", "record_run", "report_failures", "notify"), "success")
    assert states == {
        "jumpcloud_directory": around
        | {
            "extract_directory[Northwind Traders]": "success",
            "extract_directory[Blue Yonder Airlines]": "success",
            f"extract_directory[{UNNAMED}]": "success",
        },
        "jumpcloud_usage": around
        | {
            "plan_units": "success",
            "probe_directory_insights": "success",
            "choose_usage_branch": "success",
            "usage_unavailable": "skipped",
            "extract_events[Northwind Traders]": "success",
            "extract_events[Blue Yonder Airlines]": "skipped",
            f"extract_events[{UNNAMED}]": "success",
            "choose_organizations_to_catch_up": "success",
            "catch_up": "skipped",
        },
        "jumpcloud_warehouse": {
            "build": "success",
            "check": "success",
            "publish": "success",
            "prune_snapshots": "skipped",
            "report_failures": "success",
        },
        "jumpcloud_check_connection": {"check_connection": "success"},
    }
    assert [run.state for run in runs] == ["success"] * 4
    with create_session() as session:
        kept = [(one.task_id, json.dumps(one.value)) for one in session.scalars(select(XComModel))]
        kept += [
            (one.task_id, json.dumps(one.rendered_fields))
            for one in session.scalars(select(RenderedTaskInstanceFields))
        ]
    assert {"list_organizations", "extract_directory", "extract_events", "record_run", "publish"} <= {
        task_id for task_id, _ in kept
    }
    text = "\n".join(value for _, value in kept)
    assert NORTHWIND in text and BLUE_YONDER in text
    assert API_KEY not in text and SECRET not in text
    for organization in sandbox.world()["organizations"]:
        for row in organization["users"] + organization["administrators"]:
            assert row["id"] not in text and row["email"] not in text
        assert not [event["id"] for event in organization["events"] if event["id"] in text]


@pytest.mark.usefixtures("airflow_database")
def test_more_organizations_than_airflow_maps_share_tasks_under_names_that_its_database_takes(
    dags: dict[str, DAG], sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    world = sandbox.world()
    for organization in world["organizations"]:
        organization["displayName"] = "\u00e4" * 300
    sandbox.set_world(world)
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    runs = [dags["jumpcloud_directory"].test(), dags["jumpcloud_usage"].test(logical_date=today)]
    for run, task_id in zip(runs, ("extract_directory", "extract_events"), strict=True):
        names = [task.rendered_map_index for task in run.get_task_instances() if task.task_id == task_id]
        assert (run.state, len(set(names)), {len(name) for name in names}) == ("success", 2, {250})
    found = [RunManifest(settings.landing, run.dag_id, run.run_id).read_manifest() for run in runs]
    everybody = {one["id"] for one in world["organizations"]}
    assert {one.organization_id for one in found[0] if one.outcome == "ok"} == everybody
    usage_of = {one.organization_id: one.outcome for one in found[1]}
    assert usage_of == dict.fromkeys(everybody, "ok") | {BLUE_YONDER: "skipped"}


@pytest.mark.usefixtures("airflow_database")
def test_a_warehouse_run_finds_again_what_has_landed_only_where_it_is_told_to(
    dags: dict[str, DAG], settings: Settings
) -> None:
    assert run_directory("directory") == []
    shutil.rmtree(settings.landing / "_runs")
    states = [dags["jumpcloud_warehouse"].test(run_conf=conf).state for conf in (None, {"rebuild_runs": True}, None)]
    assert states == ["failed", "success", "success"]
    (row,) = query(settings.warehouse, "select count(*) as n from users where status = 'active'")
    assert row["n"] > 0


@pytest.mark.usefixtures("airflow_database", "settings")
def test_what_can_heal_is_tried_again_later_and_when_jumpcloud_said(
    dags: dict[str, DAG], sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of three organizations' tasks one heals, one is asked to wait for longer than requests wait, one cannot heal."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__REQUEST_ATTEMPTS", "1")
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__RETRY_WAIT_MAX_SECONDS", "1")
    busy, refused = {"status": 503}, {"status": 401, "body": {"message": "Unauthorized"}}
    later = {"status": 429, "body": {"message": "slow down"}, "headers": {"Retry-After": "3"}}
    organization_ids = [one["id"] for one in sandbox.world()["organizations"]]
    sandbox.set_faults(
        *(
            {"match": {"organization_id": one, "path_regex": "^/api/systemusers$", "times": times}, "do": do}
            for one, do, times in zip(organization_ids, (busy, later, refused), (1, 1, 1000), strict=True)
        )
    )
    run = dags["jumpcloud_directory"].test()
    with create_session() as session:
        put_off = session.scalars(select(TaskReschedule).join(TaskInstance).where(TaskInstance.run_id == run.run_id))
        (once,) = put_off
        session.refresh(once, ["task_instance"])
        waited = once.task_instance.rendered_map_index
    tries = {_name(task): (task.state, task.try_number) for task in run.get_task_instances()}
    names = [one["displayName"] or one["id"] for one in sandbox.world()["organizations"]]
    assert run.state == "failed"
    assert waited == names[1]
    assert [tries[f"extract_directory[{name}]"] for name in names] == [("success", 2), ("success", 1), ("failed", 1)]
    outcomes = RunManifest(read_settings().landing, run.dag_id, run.run_id).read_manifest()
    assert {(one.organization_name, one.outcome) for one in outcomes} == {
        (name, "failed" if name == names[2] else "ok") for name in names
    }


@pytest.mark.usefixtures("airflow_database")
def test_a_run_ends_failed_although_what_failed_in_it_had_landed(
    dags: dict[str, DAG], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the disk is full in the task's last step, or the manifest has what an earlier try had landed."""

    def fill_disk(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(capabilities, "land_capabilities", fill_disk)
    run = dags["jumpcloud_directory"].test()
    states = {task.task_id: task.state for task in run.get_task_instances()}
    assert (states["extract_directory"], states["record_run"], run.state) == ("failed", "success", "failed")
    outcomes = RunManifest(settings.landing, run.dag_id, run.run_id).read_manifest()
    assert {outcome.outcome for outcome in outcomes} == {"ok"}


@pytest.mark.usefixtures("airflow_database")
def test_a_usage_run_of_a_day_that_is_not_over_fails_and_lands_nothing(
    dags: dict[str, DAG], settings: Settings
) -> None:
    tomorrow = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
    run = dags["jumpcloud_usage"].test(logical_date=tomorrow)
    assert run.state == "failed"
    assert {task.task_id: task.state for task in run.get_task_instances()}["plan_units"] == "failed"
    assert [path.name for path in settings.landing.iterdir()] == ["_notifications"]


@pytest.mark.usefixtures("airflow_database", "settings")
def test_a_run_whose_events_may_still_arrive_is_put_off_until_then_and_holds_no_worker(
    dags: dict[str, DAG], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Runs of this process are always manual ones; here they stand for scheduled ones."""
    monkeypatch.setattr(usage, "SCHEDULED", "manual")
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    # The interval ends with yesterday; the lag, two seconds from when the task is tried first.
    began: list[datetime] = []
    read_settings = settings.read_settings

    def with_lag() -> Settings:
        began.append(datetime.now(UTC))
        return replace(read_settings(), usage_arrival_lag_minutes=(began[0] - today).total_seconds() / 60 + 2 / 60)

    monkeypatch.setattr("jumpcloud_elt.tasks.usage.settings_or_fail", with_lag)
    run = dags["jumpcloud_usage"].test(logical_date=today)
    assert run.state == "success"
    with create_session() as session:
        put_off = list(
            session.scalars(select(TaskReschedule).join(TaskInstance).where(TaskInstance.run_id == run.run_id))
        )
    (plan,) = [task for task in run.get_task_instances() if task.task_id == "plan_units"]
    assert (plan.state, plan.try_number) == ("success", 1)
    (once,) = put_off
    assert once.reschedule_date == began[0] + timedelta(seconds=2)
    assert plan.start_date is not None and plan.start_date >= once.reschedule_date
    assert once.end_date < once.reschedule_date


def _name(task: TaskInstance) -> str:
    return f"{task.task_id}[{task.rendered_map_index}]" if task.map_index >= 0 else task.task_id
