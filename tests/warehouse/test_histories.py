"""Snapshot after snapshot: states, tombstones and histories, folded one by one or all at once, as defined."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from support.evolving import ORGANIZATIONS, EvolvingWorld
from support.expectations import Snapshot
from support.pipeline import (
    assert_warehouse_is,
    discard_builds,
    query,
    run_directory,
    run_usage,
    run_warehouse,
    snapshots_of,
)
from support.worlds import insights_of, units_of

DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
COMPARED = (
    "organizations",
    "users",
    "applications",
    "application_users",
    "groups",
    "usage_daily",
    "usage_by_day",
    "user_history",
    "access_history",
    "usage_coverage",
)

Clock = Callable[[datetime], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Sets the time at which the next snapshots begin."""
    return lambda moment: monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda: moment)


@pytest.mark.parametrize("seed", range(4))
def test_every_row_is_as_defined_over_snapshots_that_change(
    seed: int, sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    evolving = EvolvingWorld(seed)
    start = TODAY - 6 * DAY
    snapshots: list[Snapshot] = []
    for step in range(5):
        evolving.add_events(start + step * DAY, days=1, per_day=40)
        sandbox.set_world(evolving.world())
        set_clock(start + step * DAY + timedelta(hours=6))
        assert run_directory(f"directory-{step}", accept_drop=[*ORGANIZATIONS]) == []
        snapshots += snapshots_of(sandbox, settings)
        if step in (0, 2, 3):
            # Some builds fold one snapshot, some two: the state must not tell.
            run_warehouse(f"warehouse-{step}")
        evolving.step()
    assert run_usage("usage", start, TODAY) == []
    warehouse = run_warehouse("last")
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, start, TODAY), insights_of(sandbox))


def test_a_build_from_nothing_is_the_same_as_build_after_build(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    evolving = EvolvingWorld(99)
    for step in range(4):
        sandbox.set_world(evolving.world())
        set_clock(TODAY + step * DAY)
        assert run_directory(f"directory-{step}", accept_drop=[*ORGANIZATIONS]) == []
        warehouse = run_warehouse(f"warehouse-{step}")
        evolving.step()
    incremental = {table: query(warehouse, f"select * from {table} order by all") for table in COMPARED}
    discard_builds(settings)
    rebuilt = run_warehouse("rebuilt")
    assert {table: query(rebuilt, f"select * from {table} order by all") for table in COMPARED} == incremental
    assert len(incremental["user_history"]) > len(incremental["users"])


def test_a_snapshot_that_turns_up_late_is_folded_where_it_belongs(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    evolving = EvolvingWorld(7)
    snapshots: list[Snapshot] = []
    hidden = []
    for step in range(3):
        sandbox.set_world(evolving.world())
        set_clock(TODAY + step * DAY)
        assert run_directory(f"directory-{step}", accept_drop=[*ORGANIZATIONS]) == []
        snapshots += snapshots_of(sandbox, settings)
        if step == 1:
            manifest = next((settings.landing / "_runs" / "jumpcloud_directory").glob("directory-1-*.parquet"))
            hidden.append((manifest, manifest.read_bytes()))
            manifest.unlink()
        evolving.step()
    run_warehouse("without the second")
    for manifest, content in hidden:
        manifest.write_bytes(content)
    warehouse = run_warehouse("with it")
    assert_warehouse_is(warehouse, snapshots, [], [], ("users", "applications", "user_history", "access_history"))
