"""What builds carry on lies in a file of its own: whatever is done to builds, the next is as a build from nothing."""

from __future__ import annotations

import contextlib
import shutil
import stat
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import duckdb
import pytest

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.tasks import warehouse as tasks_warehouse
from jumpcloud_sandbox.client import Sandbox
from support.evolving import ORGANIZATIONS
from support.expectations import Snapshot
from support.pipeline import (
    assert_is_as_from_nothing,
    assert_warehouse_is,
    query,
    rows_of_marts,
    run_warehouse,
)
from support.worlds import DAY, FIRST_DAY, insights_of, units_of

DIRECTORY = ("users", "applications", "application_users", "user_history", "access_history", "groups", "user_roles")


def test_the_published_file_holds_main_alone_and_the_state_is_its_owners(
    step: Callable[[int], list[Snapshot]], settings: Settings
) -> None:
    step(0)
    warehouse = run_warehouse("first")
    found = query(warehouse, "select distinct schema_name from duckdb_tables() union select distinct schema_name "
                  "from duckdb_views() where not internal")  # fmt: skip
    assert found == [{"schema_name": "main"}]
    folder = warehouse.parent / "state"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    files = {path.name: stat.S_IMODE(path.stat().st_mode) for path in folder.iterdir()}
    assert files == {"jumpcloud.duckdb": 0o600, "last_good-jumpcloud.duckdb": 0o600}


def test_what_somebody_writes_into_the_published_file_reaches_no_later_build(
    step: Callable[[int], list[Snapshot]], settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = step(0)
    warehouse = run_warehouse("first")
    warehouse.chmod(0o644)
    with contextlib.closing(duckdb.connect(str(warehouse))) as connection:
        for statement in ("update users set department = 'planted'", "delete from access_history",
                          "update user_history set username = 'planted'", "create schema state",
                          "create table state.users as from users", "delete from sync_log"):  # fmt: skip
            connection.execute(statement)
    snapshots += step(1)
    warehouse = run_warehouse("second")
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 2 * DAY), insights_of(sandbox))
    assert_is_as_from_nothing(settings, "from nothing")


def test_the_size_of_the_published_file_does_not_grow_with_the_number_of_builds(
    step: Callable[[int], list[Snapshot]], settings: Settings
) -> None:
    step(0)
    sizes = {run_warehouse(f"build {number}").stat().st_size for number in range(4)}
    assert len(sizes) == 1


@pytest.mark.parametrize("which", ["first", "middle", "last", "last of one", "all"])
def test_a_snapshot_that_is_taken_back_leaves_no_trace(
    which: str, step: Callable[[int], list[Snapshot]], settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = []
    for number in range(3):
        snapshots += step(number)
        run_warehouse(f"warehouse-{number}")
    moments = sorted({one.snapshot_at for one in snapshots})
    gone = {"first": moments[:1], "middle": moments[1:2], "all": moments}.get(which, moments[2:])
    organizations = ORGANIZATIONS[:1] if which == "last of one" else ORGANIZATIONS
    for moment in gone:
        take_back(settings, moment, organizations)
    warehouse = run_warehouse("without")
    left = [one for one in snapshots if one.snapshot_at not in gone or one.organization_id not in organizations]
    units = units_of(sandbox, FIRST_DAY, FIRST_DAY + 3 * DAY)
    assert_warehouse_is(warehouse, left, units, insights_of(sandbox), DIRECTORY)
    assert_is_as_from_nothing(settings, "from nothing")


def take_back(settings: Settings, moment: datetime, organizations: tuple[str, ...]) -> None:
    """Remove a snapshot: its files, and what its run recorded; of one organization alone its rows of the manifest."""
    for organization_id in organizations:
        for folder in settings.landing.glob(f"*/organization_id={organization_id}/snapshot_at={moment:%Y%m%dT%H%M%SZ}"):
            shutil.rmtree(folder)
    for manifest in settings.landing.glob("_runs/jumpcloud_directory/*.parquet"):
        of_it = f"snapshot_at = '{moment}' and organization_id in ({', '.join(repr(one) for one in organizations)})"
        duckdb.sql(f"copy (from '{manifest}' where not ({of_it})) to '{manifest}.new' (format parquet)")
        Path(f"{manifest}.new").replace(manifest)


@pytest.mark.parametrize("excluded", [ORGANIZATIONS[0], "jumpcloud_default"])
def test_an_organization_that_is_left_out_is_in_no_mart(
    excluded: str, step: Callable[[int], list[Snapshot]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(0)
    before = rows_of_marts(run_warehouse("with"))
    marts = [mart for mart, rows in before.items() if rows and "organization_id" in rows[0]]
    assert {"users", "usage_daily", "sync_log", "capabilities", "user_history"} <= set(marts)
    step(1)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", excluded)
    warehouse = run_warehouse("without")
    left = [one for one in ORGANIZATIONS if excluded not in (one, "jumpcloud_default")]
    for mart in (*marts, "events"):
        found = query(warehouse, f"select distinct organization_id from {mart} where organization_id is not null")
        assert [row["organization_id"] for row in found] in ([], left), mart


@pytest.mark.parametrize("moment", range(6))
def test_a_build_that_is_killed_between_any_two_steps_of_publishing_skips_nothing(
    moment: int, step: Callable[[int], list[Snapshot]], settings: Settings, monkeypatch: pytest.MonkeyPatch,
    sandbox: Sandbox,
) -> None:  # fmt: skip
    snapshots = step(0)
    run_warehouse("first")
    snapshots += step(1)
    built = tasks_warehouse.check_warehouse(tasks_warehouse.build_warehouse("killed"))
    calls = iter(range(moment))
    put = FolderPath.put

    def killed(path: FolderPath, temporary: Path) -> None:
        if next(calls, None) is None:
            raise KeyboardInterrupt
        put(path, temporary)
        if next(calls, None) is None:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(FolderPath, "put", killed)
        # The last of them is not killed any more.
        with contextlib.suppress(KeyboardInterrupt):
            tasks_warehouse.publish_warehouse(built)
    # Whichever is published now, it is a whole one.
    published = query(settings.warehouse, "select run_id from warehouse_info")[0]["run_id"]
    assert published == ("first" if moment < 5 else "killed")
    snapshots += step(2)
    warehouse = run_warehouse("next")
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 3 * DAY), insights_of(sandbox))
    assert_is_as_from_nothing(settings, "from nothing")


def test_an_older_state_beside_a_newer_warehouse_is_made_up_for(
    step: Callable[[int], list[Snapshot]], settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = step(0)
    warehouse = run_warehouse("first")
    state = warehouse.parent / "state" / warehouse.name
    older = state.read_bytes()
    snapshots += step(1)
    run_warehouse("second")
    state.write_bytes(older)
    snapshots += step(2)
    run_warehouse("third")
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 3 * DAY), insights_of(sandbox))
    assert_is_as_from_nothing(settings, "from nothing")


@pytest.mark.parametrize("damage", ["empty", "truncated", "no database", "blocks"])
def test_a_damaged_state_is_made_anew(
    damage: str, step: Callable[[int], list[Snapshot]], settings: Settings, sandbox: Sandbox,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    snapshots = step(0)
    warehouse = run_warehouse("first")
    state = warehouse.parent / "state" / warehouse.name
    content = state.read_bytes()
    middle = len(content) // 2
    state.write_bytes(
        {"empty": b"", "truncated": content[:middle], "no database": b"x" * len(content),
         "blocks": content[:20_000] + b"\xff" * (len(content) - 40_000) + content[-20_000:]}[damage]
    )  # fmt: skip
    snapshots += step(1)
    run_warehouse("second")
    assert "Everything is built from landing" in caplog.text
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 2 * DAY), insights_of(sandbox))
    assert_is_as_from_nothing(settings, "from nothing")


@pytest.mark.parametrize("content", [b"", b"no database"])
def test_a_damaged_published_file_is_published_over(
    content: bytes, step: Callable[[int], list[Snapshot]], settings: Settings
) -> None:
    step(0)
    warehouse = run_warehouse("first")
    warehouse.chmod(0o644)
    warehouse.write_bytes(content)
    built = tasks_warehouse.check_warehouse(tasks_warehouse.build_warehouse("second"))
    assert tasks_warehouse.publish_warehouse(built) == str(warehouse)
    assert query(warehouse, "select run_id from warehouse_info") == [{"run_id": "second"}]
    assert_is_as_from_nothing(settings, "from nothing")
