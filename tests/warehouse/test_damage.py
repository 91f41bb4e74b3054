"""Damaged and missing files: their organization is made without them, all others as ever, and it is said once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.layout import unit_path
from jumpcloud_elt.tasks import warehouse as tasks_warehouse
from jumpcloud_sandbox.client import Sandbox
from support.evolving import ORGANIZATIONS
from support.expectations import Snapshot, Unit
from support.pipeline import (
    assert_is_as_from_nothing,
    assert_warehouse_is,
    query,
    rows_of_marts,
    run_usage,
    run_warehouse,
)
from support.worlds import DAY, FIRST_DAY, insights_of, units_of

FIRST, OTHER = ORGANIZATIONS
DIRECTORY = ("users", "applications", "application_users", "user_history", "access_history", "groups", "user_roles")
USAGE = ("usage_daily", "usage_by_day", "usage_coverage_daily")
STREAMS = ("organizations", "systemusers", "administrators", "roles", "usergroups", "application_associations")

Step = Callable[[int], list[Snapshot]]


def missing(path: Path) -> None:
    path.unlink()


def empty(path: Path) -> None:
    _write(path, b"")


def truncated(path: Path) -> None:
    _write(path, path.read_bytes()[:-50])


def no_parquet(path: Path) -> None:
    _write(path, b"x" * 500)


def pages(path: Path) -> None:
    content = path.read_bytes()
    _write(path, content[:4] + b"\xff" * 60 + content[64:])


def _write(path: Path, content: bytes) -> None:
    """This file alone: others may be hard links of it."""
    path.unlink()
    path.write_bytes(content)


DAMAGES = (missing, empty, truncated, no_parquet, pages)


def stream_file(settings: Settings, stream: str, number: int, organization_id: str = FIRST) -> Path:
    at = FIRST_DAY + number * DAY + timedelta(hours=6)
    folder = Path(str(settings.landing), stream, f"organization_id={organization_id}")
    return folder / f"snapshot_at={at:%Y%m%dT%H%M%SZ}" / f"{stream}.parquet"


def unit_file(settings: Settings, number: int, organization_id: str = FIRST) -> Path:
    start = FIRST_DAY + number * DAY
    return Path(str(unit_path(settings.landing, organization_id, start, start + DAY)))


def statuses(warehouse: Path) -> dict[str, tuple[str, str | None]]:
    rows = query(warehouse, "select organization_id, sync_status, sync_message from organizations")
    return {row["organization_id"]: (row["sync_status"], row["sync_message"]) for row in rows}


def assert_told(run_id: str, *names: str) -> None:
    """The run ends failed, and names these."""
    with pytest.raises(AirflowFailException) as raised:
        tasks_warehouse.report_unpublished(run_id)
    assert all(name in str(raised.value) for name in names), str(raised.value)


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("which", ["first", "middle", "last", "only"])
def test_the_snapshot_before_a_damaged_one_stands_and_the_other_organization_is_as_ever(
    which: str, damage: Callable[[Path], None], step: Step, settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = step(0)
    if which != "only":
        snapshots += step(1) + step(2)
    number = {"first": 0, "only": 0, "middle": 1, "last": 2}[which]
    path = stream_file(settings, "systemusers", number)
    damage(path)
    warehouse = run_warehouse("found")
    left = [
        one
        for one in snapshots
        if (one.organization_id, one.snapshot_at.day) != (FIRST, (FIRST_DAY + number * DAY).day)
    ]
    assert_warehouse_is(warehouse, left, units_of_landed(sandbox, number_of(which)), insights_of(sandbox), DIRECTORY)
    name = str(path.relative_to(settings.landing))
    status, message = statuses(warehouse)[FIRST]
    assert (status, name in str(message)) == ("failed", True)
    assert statuses(warehouse)[OTHER] == ("ok", None)
    assert_told("found", name)
    assert path.with_name(f"{path.name}.damaged").exists() is (damage is not missing)
    assert not path.exists()
    # Later builds are green; what nobody can read again is told of.
    warehouse = run_warehouse("later")
    tasks_warehouse.report_unpublished("later")
    is_lost = which in ("first", "middle")
    status, message = statuses(warehouse)[FIRST]
    assert status == ("ok" if is_lost else "failed")
    assert ("systemusers of the snapshot of" if is_lost else name) in str(message)
    assert_is_as_from_nothing(settings, "later")
    snapshots = left + step(3)
    warehouse = run_warehouse("with a new snapshot")
    assert statuses(warehouse)[FIRST][0] == "ok"
    assert_warehouse_is(
        warehouse,
        snapshots,
        units_of_landed(sandbox, 4, {*range(number_of(which)), 3}),
        insights_of(sandbox),
        DIRECTORY,
    )


def number_of(which: str) -> int:
    return 1 if which == "only" else 3


def units_of_landed(sandbox: Sandbox, days: int, only: set[int] | None = None) -> list[Unit]:
    units = units_of(sandbox, FIRST_DAY, FIRST_DAY + days * DAY)
    return [one for one in units if only is None or (one.interval_start - FIRST_DAY).days in only]


@pytest.mark.parametrize("stream", STREAMS)
def test_every_stream_of_a_snapshot_may_be_damaged(stream: str, step: Step, settings: Settings) -> None:
    snapshots = step(0)
    run_warehouse("before")
    step(1)
    path = stream_file(settings, stream, 1)
    truncated(path)
    no_parquet(stream_file(settings, stream, 1, OTHER))
    warehouse = run_warehouse("found")
    assert_warehouse_is(warehouse, snapshots, [], [], ("user_history", "access_history", "groups"))
    assert {status for status, _ in statuses(warehouse).values()} == {"failed"}
    assert_told("found", f"organization_id={FIRST}", f"organization_id={OTHER}")


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_unit_is_a_gap_until_it_is_read_again(
    damage: Callable[[Path], None], step: Step, settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = [one for number in range(3) for one in step(number)]
    path = unit_file(settings, 1)
    damage(path)
    warehouse = run_warehouse("found")
    units = units_of(sandbox, FIRST_DAY, FIRST_DAY + 3 * DAY)
    left = [one for one in units if (one.organization_id, one.interval_start) != (FIRST, FIRST_DAY + DAY)]
    assert_warehouse_is(warehouse, snapshots, left, insights_of(sandbox), (*DIRECTORY, *USAGE, "events"))
    (row,) = query(warehouse, "from usage_coverage where outcome = 'damaged'")
    assert (row["organization_id"], row["interval_start"], row["events"]) == (FIRST, FIRST_DAY + DAY, 0)
    name = str(path.relative_to(settings.landing))
    assert name in row["reason"]
    assert statuses(warehouse)[FIRST][0] == "failed" and name in str(statuses(warehouse)[FIRST][1])
    assert statuses(warehouse)[OTHER] == ("ok", None)
    assert_told("found", name)
    warehouse = run_warehouse("later")
    tasks_warehouse.report_unpublished("later")
    assert statuses(warehouse)[FIRST][0] == "failed"
    assert_is_as_from_nothing(settings, "later")
    assert run_usage("again", FIRST_DAY + DAY, FIRST_DAY + 2 * DAY) == []
    warehouse = run_warehouse("whole")
    assert statuses(warehouse) == {FIRST: ("ok", None), OTHER: ("ok", None)}
    assert_warehouse_is(warehouse, snapshots, units, insights_of(sandbox))
    assert_is_as_from_nothing(settings, "whole")


def test_a_damaged_unit_that_jumpcloud_no_longer_has_is_told_of_as_lost(
    step: Step, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(0), step(1)  # type: ignore[func-returns-value]
    truncated(unit_file(settings, 0))
    monkeypatch.setattr(tasks_warehouse, "_retention_days", lambda connection_id: 2)
    warehouse = run_warehouse("found")
    assert statuses(warehouse)[FIRST][0] == "failed"
    assert_told("found", str(unit_file(settings, 0).relative_to(settings.landing)))
    status, message = statuses(run_warehouse("later"))[FIRST]
    assert status == "ok"
    assert f"events from {FIRST_DAY} to {FIRST_DAY + DAY}" in str(message)
    tasks_warehouse.report_unpublished("later")


def test_a_unit_that_was_rolled_up_is_a_gap_once_it_is_looked_at_and_damaged(
    step: Step, settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = step(0) + step(1)
    run_warehouse("before")
    # Landed anew, recorded, and damaged before anybody read it.
    run_usage("again", FIRST_DAY, FIRST_DAY + DAY)
    truncated(unit_file(settings, 0))
    warehouse = run_warehouse("found")
    left = [one for one in units_of(sandbox, FIRST_DAY, FIRST_DAY + 2 * DAY)
            if (one.organization_id, one.interval_start) != (FIRST, FIRST_DAY)]  # fmt: skip
    assert_warehouse_is(warehouse, snapshots, left, insights_of(sandbox), (*DIRECTORY, *USAGE, "events"))
    run_warehouse("later")
    assert_is_as_from_nothing(settings, "later")


def test_what_somebody_puts_back_has_landed(step: Step, settings: Settings, sandbox: Sandbox) -> None:
    snapshots = step(0) + step(1)
    content = {}
    for path in (unit_file(settings, 0), stream_file(settings, "systemusers", 1)):
        content[path] = path.read_bytes()
        truncated(path)
    assert {status for status, _ in statuses(run_warehouse("found")).values()} == {"failed", "ok"}
    for path, good in content.items():
        path.write_bytes(good)
    warehouse = run_warehouse("put back")
    assert statuses(warehouse)[FIRST] == ("ok", None)
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 2 * DAY), insights_of(sandbox))
    assert_is_as_from_nothing(settings, "put back")


@pytest.mark.parametrize("dag_id", ["jumpcloud_directory", "jumpcloud_usage"])
@pytest.mark.parametrize("damage", [empty, truncated, no_parquet])
def test_a_damaged_manifest_is_made_again_of_what_has_landed(
    dag_id: str, damage: Callable[[Path], None], step: Step, settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = step(0) + step(1)
    run_warehouse("before")
    (path,) = settings.landing.glob(f"_runs/{dag_id}/*-1-*.parquet")
    damage(path)
    warehouse = run_warehouse("found")
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 2 * DAY), insights_of(sandbox))
    assert_told("found", str(path.relative_to(settings.landing)))
    run_warehouse("later")
    tasks_warehouse.report_unpublished("later")
    assert_is_as_from_nothing(settings, "later")


@pytest.mark.parametrize("damage", [empty, truncated, no_parquet, pages])
def test_damaged_capabilities_concern_their_organization_until_they_land_again(
    damage: Callable[[Path], None], step: Step, settings: Settings
) -> None:
    step(0)
    path = settings.landing / "capabilities" / f"organization_id={FIRST}" / "capabilities.parquet"
    damage(path)
    warehouse = run_warehouse("found")
    assert query(warehouse, "select distinct organization_id from capabilities") == [{"organization_id": OTHER}]
    assert_told("found", "capabilities.parquet")
    assert statuses(run_warehouse("later"))[FIRST][0] == "failed"
    step(1)
    warehouse = run_warehouse("again")
    assert statuses(warehouse)[FIRST] == ("ok", None)
    assert len(query(warehouse, "select distinct organization_id from capabilities")) == 2


@pytest.mark.parametrize("damage", [empty, truncated, no_parquet, pages, missing])
@pytest.mark.parametrize("dataset", ["usage_daily", "usage_applications", "units"])
def test_damaged_rollups_are_made_anew_and_nothing_is_told(
    dataset: str, damage: Callable[[Path], None], step: Step, settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = step(0)
    run_warehouse("before")
    for path in settings.rollups.glob(f"*/{dataset}/*.parquet"):
        damage(path)
    snapshots += step(1)
    warehouse = run_warehouse("after")
    tasks_warehouse.report_unpublished("after")
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 2 * DAY), insights_of(sandbox))
    assert_is_as_from_nothing(settings, "after")


def test_files_with_names_that_landing_does_not_write_are_left_alone(step: Step, settings: Settings) -> None:
    step(0)
    foreign = [
        settings.landing / name
        for name in (
            "_runs/jumpcloud_directory/notes.parquet",
            "_runs/jumpcloud_directory/._directory-0.parquet",
            "capabilities/backup/capabilities.parquet",
            f"capabilities/organization_id={FIRST}/._capabilities.parquet",
            "user_actions/backup/x.parquet",
            f"user_actions/organization_id={FIRST}/x.parquet",
            f"organizations/organization_id={FIRST}/snapshot_at=0backup/organizations.parquet",
            f"directory_insights_events/organization_id={FIRST}/date=2026-01-01/.x.parquet",
        )
    ]
    for path in foreign:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"mine")
    before = rows_of_marts(run_warehouse("build", rebuild_runs=True))
    tasks_warehouse.report_unpublished("build")
    assert len(before["users"]) > 0
    step(1)
    run_warehouse("next")
    tasks_warehouse.report_unpublished("next")
    assert [path.read_bytes() for path in foreign] == [b"mine"] * len(foreign)


def test_a_build_that_is_killed_once_it_has_recorded_a_damaged_file_names_it_when_it_is_tried_again(
    step: Step, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(0)
    path = unit_file(settings, 0)
    truncated(path)

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("jumpcloud_elt.warehouse.build.comment", killed)
        with pytest.raises(KeyboardInterrupt):
            tasks_warehouse.build_warehouse("run")
    warehouse = run_warehouse("run")
    assert statuses(warehouse)[FIRST][0] == "failed"
    assert_told("run", str(path.relative_to(settings.landing)))


@pytest.mark.parametrize("stream", ["organizations", "systemusers", "roles"])
def test_a_damaged_snapshot_does_not_stop_the_next_directory_run(stream: str, step: Step, settings: Settings) -> None:
    step(0)
    truncated(stream_file(settings, stream, 0))
    snapshots = step(1)
    warehouse = run_warehouse("build")
    assert_told("build", f"{stream}.parquet")
    (shown,) = [one for one in snapshots if one.organization_id == FIRST]
    found = query(warehouse, "select user_id from users where organization_id = ? and deleted_at is null and "
                  "account_type = 'user'", [FIRST])  # fmt: skip
    assert {row["user_id"] for row in found} == {user["_id"] for user in shown.users}
