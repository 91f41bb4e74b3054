"""A run that is run again, killed, or refused never takes away what has landed."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.extract import events
from jumpcloud_elt.reading import MARTS
from jumpcloud_elt.tasks import common, directory, usage, warehouse
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json
from support.pipeline import Row, discard_builds, query, run_directory, run_usage, run_warehouse
from support.worlds import DAY, ORGANIZATION, OTHER, TODAY, organization, serve

pytestmark = pytest.mark.slow

Json = Row
USAGE_MARTS = {
    "organizations": "*",
    "applications": "*",
    "usage_daily": "*",
    "usage_by_day": "*",
    "usage_coverage": "* exclude (landed_at)",
    "events": "* exclude (_extracted_at)",
}
# Two runs over the same days at the same time, again and again; each is killed at a moment of its own.
KILLED_TOGETHER = """
import os, signal, sys
from datetime import datetime
from multiprocessing import get_context
from threading import Lock

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.extract import event_reader, events
from jumpcloud_elt.landing import manifests
from support.pipeline import run_usage

start, end = map(datetime.fromisoformat, sys.argv[1:])

def kill(module, name, nth, before=True, is_meant=lambda *_: True):
    call, calls, lock = getattr(module, name), [], Lock()
    def killed(*arguments, **options):
        with lock:
            if counts := is_meant(*arguments):
                calls.append(name)
            is_time = counts and len(calls) == nth
        if is_time and before:
            os.kill(os.getpid(), signal.SIGKILL)
        result = call(*arguments, **options)
        if is_time:
            os.kill(os.getpid(), signal.SIGKILL)
        return result
    setattr(module, name, killed)

def is_unit(path, *_):
    return path.parent.name.startswith("date=")

MOMENTS = [
    (event_reader, "_write", 1, False),  # half a unit has been written
    (FolderPath, "put", 1, True, is_unit),  # whole, and nobody can see it
    (FolderPath, "put", 2, False, is_unit),  # seen, and nobody knows of it
    (manifests.RunManifest, "add", 2),  # all have landed, and it has not been said
    (manifests.RunManifest, "write_manifest", 1),  # said, and not recorded
    (FolderPath, "remove_folder", 1),  # recorded
]

def run(run_id, moment, together):
    land = events.land_units
    def land_together(*arguments):
        together.wait(60)
        land(*arguments)
    events.land_units = land_together
    kill(*moment)
    run_usage(run_id, start, end)

context = get_context("fork")
for number, moment in enumerate(MOMENTS):
    together = context.Barrier(2)
    # The other one is killed at the next moment.
    common = [
        context.Process(target=run, args=(f"{name} {number}", one, together))
        for name, one in (("one", moment), ("other", MOMENTS[number - 1]))
    ]
    for task in common:
        task.start()
    for task in common:
        task.join(120)
    assert [task.exitcode for task in common] == [-signal.SIGKILL] * 2, (moment, [task.exitcode for task in common])
"""


def with_logins(count: int, organization_id: str = ORGANIZATION) -> Json:
    """An organization whose first user has logged in so often, yesterday."""
    logins = [
        {
            "id": f"{number:024x}",
            "event_type": "user_login_attempt",
            "service": "directory",
            "success": True,
            "initiated_by": {"id": f"1{0:023x}", "type": "user"},
            "timestamp": f"{TODAY - DAY:%Y-%m-%d}T08:00:{number:02d}Z",
        }
        for number in range(count)
    ]
    return organization(3, organization_id) | {"events": logins}


def known_usage(settings: Settings) -> list[tuple[object, ...]]:
    """Successes, and what is said of each organization's usage, after a build."""
    rows = query(
        run_warehouse("warehouse"),
        "select organization_id, usage_state, usage_from, "
        "(select sum(successes)::int from usage_daily as u where u.organization_id = o.organization_id) as successes "
        "from organizations as o order by all",
    )
    return [tuple(row.values()) for row in rows]


@pytest.mark.parametrize(
    "fault",
    [
        None,  # fewer events than have landed
        {"status": 500},
        {"status": 401, "body": {"message": "Unauthorized: api key user not found"}},
    ],
)
def test_a_run_that_is_run_again_to_no_good_end_keeps_what_it_landed(
    fault: Json | None, sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, with_logins(5), with_logins(4, OTHER))
    run_usage("usage", TODAY - DAY, TODAY)
    landed = [(ORGANIZATION, "available", TODAY - DAY, 5), (OTHER, "available", TODAY - DAY, 4)]
    assert known_usage(settings) == landed
    serve(sandbox, with_logins(3), with_logins(4, OTHER))
    if fault:
        sandbox.set_faults(
            {"match": {"organization_id": ORGANIZATION, "path_regex": "/directory/v1/events$"}, "do": fault}
        )
    failures = run_usage("usage", TODAY - DAY, TODAY)
    assert [one["organization_name"] for one in failures] == (["Org c"] if fault else [])
    assert known_usage(settings) == landed


def test_usage_that_has_landed_stays_where_directory_insights_is_switched_off(
    sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, with_logins(5))
    run_usage("usage", TODAY - DAY, TODAY)
    serve(sandbox, with_logins(5) | {"insights": "not_enabled"})
    run_usage("usage", TODAY - DAY, TODAY)
    assert known_usage(settings) == [(ORGANIZATION, "unavailable", TODAY - DAY, 5)]


def test_a_unit_landed_by_a_run_that_was_killed_before_it_was_recorded_counts_once_it_is_read_again(
    sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, with_logins(5))
    run_directory("directory")
    run_usage("killed", TODAY - DAY, TODAY)
    shutil.rmtree(settings.landing / "_runs" / "jumpcloud_usage")
    assert known_usage(settings) == [(ORGANIZATION, "unknown", None, None)]
    serve(sandbox, with_logins(2))
    run_usage("again", TODAY - DAY, TODAY)
    assert known_usage(settings) == [(ORGANIZATION, "available", TODAY - DAY, 5)]


@pytest.fixture
def killed(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Run yesterday and the day before, and end the extraction once both have landed, before it can say so."""

    def run(run_id: str, run_type: str = "manual") -> None:
        extract, land = usage.extract_events, events.land_units

        def ended(*arguments: Any) -> int:
            with contextlib.suppress(KeyboardInterrupt):
                return extract(*arguments)
            return 0

        def land_and_die(*arguments: Any) -> None:
            land(*arguments)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(usage, "extract_events", ended)
            patched.setattr(events, "land_units", land_and_die)
            (failure,) = run_usage(run_id, TODAY - 2 * DAY, TODAY, run_type)
        assert failure["reason"] == "the task ended without an outcome: it was killed, or its worker was lost"

    return run


def test_what_a_killed_first_run_had_landed_counts_though_nobody_reads_it_again(
    sandbox: Sandbox, settings: Settings, killed: Callable[[str], None]
) -> None:
    serve(sandbox, with_logins(5))
    killed("usage")
    assert known_usage(settings) == [(ORGANIZATION, "available", TODAY - DAY, 5)]
    rows = query(settings.warehouse, "select interval_start, outcome, rows, received from sync_log order by all")
    assert [tuple(row.values()) for row in rows] == [
        (TODAY - 2 * DAY, "ok", 0, 0),
        (TODAY - DAY, "ok", 5, 5),
        (None, "failed", None, None),
    ]


def test_a_run_that_is_run_again_and_killed_is_not_taken_for_a_good_one(
    sandbox: Sandbox, settings: Settings, killed: Callable[[str], None]
) -> None:
    serve(sandbox, with_logins(5))
    assert run_usage("usage", TODAY - 2 * DAY, TODAY) == []
    assert run_directory("directory") == []
    serve(sandbox, with_logins(9))
    killed("usage")
    assert known_usage(settings) == [(ORGANIZATION, "available", TODAY - DAY, 9)]


def test_a_directory_run_that_is_run_again_and_killed_is_not_taken_for_a_good_one(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, organization(4))
    assert run_directory("directory") == []

    def die(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jumpcloud_elt.extract.directory.read_listing", die)
    listed = common.list_organizations([])
    run_of = {"dag_id": "jumpcloud_directory", "run_id": "directory"}
    with pytest.raises(KeyboardInterrupt):
        directory.extract_directory(listed[0], run_of)
    (failure,) = common.record_run(listed, run_of, common.DIRECTORY, is_restricted=False)
    assert "it was killed" in failure["reason"]
    (row,) = query(run_warehouse("warehouse"), "select sync_status, directory_synced_at is not null as is_synced "
                   "from organizations")  # fmt: skip
    assert row == {"sync_status": "failed", "is_synced": True}


def test_runs_of_the_same_days_that_are_killed_at_any_moment_change_nothing_once_they_are_run_again(
    sandbox: Sandbox, settings: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = TODAY - 3 * DAY
    logins = [
        login | {"id": f"{number}-{login['id']}", "timestamp": f"{start + number * DAY:%Y-%m-%d}T08:00:00Z"}
        for number in range(3)
        for login in with_logins(20)["events"]
    ]
    serve(sandbox, organization(3) | {"events": logins})

    def marts() -> dict[str, list[Row]]:
        warehouse = run_warehouse("warehouse")
        return {mart: query(warehouse, f"select {columns} from {mart} order by all") for mart, columns in
                USAGE_MARTS.items()}  # fmt: skip

    path = os.pathsep.join(sys.path)
    arguments = [sys.executable, "-c", KILLED_TOGETHER, start.isoformat(), TODAY.isoformat()]
    subprocess.run(arguments, env=os.environ | {"PYTHONPATH": path}, check=True)
    landed = sorted(settings.landing.glob("directory_insights_events/*/*/*.parquet"))
    assert len(landed) == 3
    # A run reads no unit twice that one of its tries has read whole, so each moment has runs of its own.
    for run_id in (f"{name} {number}" for name in ("one", "other") for number in range(6)):
        assert run_usage(run_id, start, TODAY) == []
    assert not list(settings.landing.rglob(".*"))
    killed = marts()
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "in peace"))
    assert run_usage("usage", start, TODAY) == []
    assert marts() == killed
    assert sum(row["successes"] for row in killed["usage_daily"]) == len(killed["events"]) == len(logins)


def with_decisions(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three snapshots of one organization, of which the drift guard held one and a run accepted the next; one more that
    is held of another; usage of both, of one of them twice."""
    drift = {"AIRFLOW__JUMPCLOUD_ELT__DRIFT_SHARE": "0.1", "AIRFLOW__JUMPCLOUD_ELT__DRIFT_MINIMUM": "0"}
    for name, value in drift.items():
        monkeypatch.setenv(name, value)
    worlds = [(9, 9), (4, 9), (4, 3)]
    for number, (users, others) in enumerate(worlds):
        serve(sandbox, with_logins(5) | organization(users), with_logins(4, OTHER) | organization(others, OTHER))
        at = TODAY - (9 - number) * DAY
        monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda at=at: at)
        run_directory(f"directory {number}", accept_drop=[ORGANIZATION] if number == 2 else [])
    serve(sandbox, with_logins(5), with_logins(4, OTHER))
    assert run_usage("usage", TODAY - 3 * DAY, TODAY) == []
    serve(sandbox, with_logins(2), with_logins(6, OTHER))
    assert run_usage("again", TODAY - DAY, TODAY) == []


def everything(settings: Settings) -> dict[str, list[Row]]:
    """Every mart that says something of JumpCloud, and what the log says has landed."""
    marts = {mart: "*" for mart in MARTS if mart not in ("warehouse_info", "sync_log", "usage_coverage")}
    marts |= {"usage_coverage": "* exclude (landed_at)", "events": "*"}
    found = {mart: query(settings.warehouse, f"select {columns} from {mart} order by all") for mart, columns in
             marts.items()}  # fmt: skip
    columns = (
        "organization_id, stream, snapshot_at, interval_start, interval_end, path, rows, received, api_total, strays, "
        "decision, outcome"
    )
    latest = "where path is not null qualify recorded_at = max(recorded_at) over (partition by path)"
    return found | {"log": query(settings.warehouse, f"select distinct {columns} from sync_log {latest} order by all")}


def test_lost_manifests_are_found_again_with_all_that_landed_and_what_was_decided(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    with_decisions(sandbox, monkeypatch)
    run_warehouse("before")
    before = everything(settings)
    assert {row["decision"] for row in before["log"]} == {None, "accepted", "held", "accepted by directory 2"}
    assert [row["sync_status"] for row in before["organizations"]] == ["ok", "held"]
    shutil.rmtree(settings.landing / "_runs")
    with pytest.raises(AirflowFailException, match="Where only its _runs are lost: jumpcloud_warehouse with"):
        run_warehouse("lost")
    run_warehouse("found", rebuild_runs=True)
    after = everything(settings)
    for mart, rows in before.items():
        assert after[mart] == rows, mart
    [manifest] = settings.landing.glob("_runs/*/*.parquet")
    assert manifest.parent.name == "jumpcloud_warehouse"
    discard_builds(settings)
    shutil.rmtree(settings.rollups)
    run_warehouse("from nothing", rebuild_runs=True)
    assert everything(settings) == after
    assert list(settings.landing.glob("_runs/*/*.parquet")) == [manifest]


def test_a_damaged_manifest_stops_no_run_and_what_it_said_is_found_again(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, with_logins(5), with_logins(3, OTHER))
    assert run_directory("directory") == []
    assert run_usage("usage", TODAY - DAY, TODAY) == []
    for manifest in settings.landing.glob("_runs/*/*.parquet"):
        manifest.write_bytes(b"")
    # One of the same run, and one of another.
    assert run_directory("directory") == []
    assert run_usage("later", TODAY - 2 * DAY, TODAY - DAY) == []
    rows = query(
        run_warehouse("build"),
        "select stream, count(distinct path) as files from sync_log "
        "where stream in ('systemusers', 'directory_insights_events') and outcome = 'ok' group by all order by all",
    )
    assert rows == [
        {"stream": "directory_insights_events", "files": 4},
        {"stream": "systemusers", "files": 4},
    ]


def test_clearing_one_organization_of_an_older_run_says_nothing_of_the_others(
    sandbox: Sandbox, settings: Settings
) -> None:
    """A key that died after the older run has failed since; an organization that came since is no stale one."""
    third = "e" * 24
    serve(sandbox, organization(5), organization(4, OTHER))
    refused = {"status": 401, "body": {"message": "Unauthorized: api key user not found"}}
    users = {"path_regex": "^/api/systemusers"}
    sandbox.set_faults({"match": {**users, "organization_id": ORGANIZATION}, "do": refused})
    assert len(run_directory("older")) == 1
    serve(sandbox, organization(5), organization(4, OTHER), organization(3, third))
    sandbox.set_faults({"match": {**users, "organization_id": OTHER}, "do": refused})
    assert len(run_directory("newer")) == 1
    states = "select organization_id, sync_status from organizations order by 1"
    before = query(run_warehouse("before"), states)
    assert [row["sync_status"] for row in before] == ["ok", "failed", "ok"]
    run_of = {"dag_id": "jumpcloud_directory", "run_id": "older"}
    listed = [one for one in common.list_organizations([]) if one["organization_id"] != third]
    [cleared] = [one for one in listed if one["organization_id"] == ORGANIZATION]
    directory.extract_directory(cleared, run_of)
    common.record_run(listed, run_of, common.DIRECTORY, is_restricted=False)
    assert query(run_warehouse("after"), states) == before


def test_what_no_run_has_recorded_is_found_once_and_says_nothing_of_later_ones(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, with_logins(5), with_logins(4, OTHER))
    for number in (3, 2, 1):
        monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda number=number: TODAY - number * DAY)
        assert run_directory(f"directory {number}") == []
        assert run_usage(f"usage {number}", TODAY - number * DAY, TODAY - (number - 1) * DAY) == []
    serve(sandbox, with_logins(5) | {"insights": "not_enabled"}, with_logins(4, OTHER))
    assert run_usage("without", TODAY - 9 * DAY, TODAY - 8 * DAY) == []
    run_warehouse("before")
    before = everything(settings)
    for name in ("directory-1", "directory-3", "usage-1", "usage-2"):
        [path] = settings.landing.glob(f"_runs/*/{name}-*.parquet")
        path.unlink()
    run_warehouse("lost")
    assert everything(settings) != before
    # In two steps: what has been found is not lost again.
    [unit] = settings.landing.glob(f"directory_insights_events/organization_id={OTHER}/date={TODAY - DAY:%Y-%m-%d}/*")
    hidden = unit.rename(unit.with_name(".hidden"))
    run_warehouse("found", rebuild_runs=True)
    hidden.rename(unit)
    run_warehouse("found", rebuild_runs=True)
    after = everything(settings)
    for mart, rows in before.items():
        assert after[mart] == rows, mart
    [manifest] = settings.landing.glob("_runs/jumpcloud_warehouse/*.parquet")
    # Two snapshots of each organization, of so many streams, and two units of each.
    streams = len({row["stream"] for row in before["log"]}) - 1
    assert pq.ParquetFile(manifest).metadata.num_rows == 2 * 2 * streams + 2 * 2


def test_a_unit_landed_anew_and_not_recorded_yet_is_counted_as_it_is(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, with_logins(5))
    run_usage("first", TODAY - DAY, TODAY)
    serve(sandbox, with_logins(9))
    run_usage("second", TODAY - DAY, TODAY)
    for manifest in (settings.landing / "_runs" / "jumpcloud_usage").glob("second-*"):
        manifest.unlink()
    assert known_usage(settings) == [(ORGANIZATION, "available", TODAY - DAY, 9)]
    (row,) = query(settings.warehouse, "select events from usage_coverage")
    assert row["events"] == 9


@pytest.mark.parametrize("beside", [False, True])
def test_a_refused_key_is_recorded_as_failed_with_what_to_do_and_the_last_good_data_stays(
    beside: bool, sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, organization(4))
    run_directory("good")
    world = sandbox.world()
    sandbox.set_world(world | {"keys": [{"key": "other-key", "organizations": []}], "organizations": []})
    if beside:
        both = [organization(4), organization(2, OTHER)]
        sandbox.set_world({"organizations": both, "keys": [{"key": "other-key", "organizations": [OTHER]}]})
        monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jumpcloud_default,jc_other")
        monkeypatch.setenv("AIRFLOW_CONN_JC_OTHER", connection_json(sandbox.url, "other-key"))
    (failure,) = run_directory("refused")
    assert failure["organization_name"] == "connection jumpcloud_default"
    warehouse = run_warehouse("warehouse")
    (row,) = query(warehouse, f"from organizations where organization_id = '{ORGANIZATION}'")
    assert row["sync_status"] == "failed"
    assert "401 Unauthorized: api key user not found" in row["sync_message"]
    assert "check that the key is complete" in row["sync_message"]
    assert len(query(warehouse, f"from users where organization_id = '{ORGANIZATION}' and status = 'active'")) == 4


def test_an_organization_that_nobody_sees_can_be_named_twice_and_leaves_no_trace_in_the_marts(
    sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, organization(4))
    (failure,) = run_directory("directory", only=[ORGANIZATION, OTHER, OTHER.upper()])
    assert failure["organization_name"] == OTHER
    assert [row["organization_id"] for row in query(run_warehouse("w"), "from organizations")] == [ORGANIZATION]


def test_a_connection_that_is_left_out_takes_its_events_with_it(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, with_logins(5))
    run_usage("usage", TODAY - DAY, TODAY)
    assert query(run_warehouse("with"), "select count(*) as n from events") == [{"n": 5}]
    world = sandbox.world()
    sandbox.set_world(
        {
            "organizations": [*world["organizations"], with_logins(2, OTHER)],
            "keys": [*world["keys"], {"key": "other-key", "organizations": [OTHER]}],
        }
    )
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jumpcloud_default,jc_other")
    monkeypatch.setenv("AIRFLOW_CONN_JC_OTHER", connection_json(sandbox.url, "other-key"))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", "jumpcloud_default")
    run_usage("other", TODAY - DAY, TODAY)
    assert query(run_warehouse("without"), "select organization_id, count(*) as n from events group by 1") == [
        {"organization_id": OTHER, "n": 2}
    ]


def test_null_rows_are_left_out_whether_the_total_counts_them_or_not(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, organization(5))
    sandbox.set_faults({"match": {"path_regex": "/api/systemusers"}, "do": {"null_rows": 2, "wrong_total": 2}})
    assert run_directory("counted") == []
    assert len(query(run_warehouse("counted"), "from users where status = 'active'")) == 5


def files_of(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_build_that_fails_leaves_nothing_beside_the_published_file(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, organization(5))
    run_directory("directory")
    published = run_warehouse("good")
    before = files_of(published.parent)
    assert sorted(before) == ["jumpcloud.duckdb", "state/jumpcloud.duckdb", "state/last_good-jumpcloud.duckdb"]

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jumpcloud_elt.warehouse.build.comment", killed)
    with pytest.raises(KeyboardInterrupt):
        warehouse.build_warehouse("killed")
    assert files_of(published.parent) == before


def test_what_an_abandoned_build_has_left_goes_after_a_day(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, organization(5))
    run_directory("directory")
    old, young = (settings.warehouse.with_name(f".{name}.duckdb") for name in ("old", "young"))
    settings.warehouse.parent.mkdir(parents=True)
    for file in (old, young):
        file.write_bytes(b"half a warehouse")
    os.utime(old, (0, 0))
    run_warehouse("build")
    assert not old.exists()
    assert young.exists()


def test_publishing_again_what_has_been_published_does_nothing(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, organization(5))
    run_directory("directory")
    built = warehouse.check_warehouse(warehouse.build_warehouse("build"))
    published = warehouse.publish_warehouse(built)
    before = Path(published).stat()
    assert warehouse.publish_warehouse(built) == published
    assert Path(published).stat().st_mtime_ns == before.st_mtime_ns
