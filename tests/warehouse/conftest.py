"""A small world of two organizations that changes day by day."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta

import pytest

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from support.evolving import ORGANIZATIONS, EvolvingWorld
from support.expectations import Snapshot
from support.pipeline import run_directory, run_usage, snapshots_of
from support.worlds import DAY, FIRST_DAY


@pytest.fixture
def step(sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], list[Snapshot]]:
    """Lands a snapshot and the usage of one more day of the world, which then changes; returns the snapshots."""
    evolving = EvolvingWorld(3)

    def land(number: int) -> list[Snapshot]:
        day = FIRST_DAY + number * DAY
        evolving.add_events(day, days=1, per_day=20)
        sandbox.set_world(evolving.world())
        monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda: day + timedelta(hours=6))
        assert run_directory(f"directory-{number}", accept_drop=[*ORGANIZATIONS]) == []
        assert run_usage(f"usage-{number}", day, day + DAY) == []
        evolving.step()
        return snapshots_of(sandbox, settings)

    return land
