"""A data root may lie in folders of any name."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.landing.action_log import ActionOutcome, Attempt, Entry, record
from jumpcloud_elt.tasks import warehouse
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json
from support.evolving import ORGANIZATIONS, EvolvingWorld
from support.paths import LAKE, ODD_FOLDERS
from support.pipeline import Row, marts, rows_of, run_directory, run_usage, run_warehouse

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
DAY = timedelta(days=1)
START = TODAY - 5 * DAY
ATTEMPT = Attempt(
    action_id="20260101T000000-x", requested_at=START, requested_by="Olga", dag_id="jumpcloud_user_action",
    run_id="action", connection_id="jumpcloud_default", organization_id=ORGANIZATIONS[0], action="suspend",
    is_dry_run=True,
)  # fmt: skip


@pytest.fixture(autouse=True)
def connected(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY))


def run(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, data_root: Path) -> list[dict[str, list[Row]]]:
    """Every mart after a build, after a second upon it, and after snapshots were pruned and all was built anew."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(data_root))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__SNAPSHOT_RETENTION_DAYS", "1")
    world, seen = EvolvingWorld(5), []
    for step in range(2):
        world.add_events(START + step * DAY, days=1, per_day=20)
        sandbox.set_world(world.world())
        monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda step=step: START + step * DAY)
        assert run_directory(f"directory-{step}", accept_drop=[*ORGANIZATIONS]) == []
        assert run_usage(f"usage-{step}", START + step * DAY, START + (step + 1) * DAY) == []
        record(read_settings(), ATTEMPT, [Entry(target=str(step), outcome=ActionOutcome.PLANNED, message="x")])
        run_warehouse(f"warehouse-{step}")
        seen.append(marts() | {"events_of": rows_of(f"events_of('{ORGANIZATIONS[1]}')")})
        world.step()
    assert warehouse.prune_snapshots() == 2
    for built in ("warehouse", "rollups"):
        shutil.rmtree(data_root / built)
    run_warehouse("from nothing")
    return [*seen, marts()]


def test_every_mart_is_the_same_whatever_the_folders_are_called(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = run(sandbox, monkeypatch, tmp_path / "plain")
    assert all(
        plain[1][mart] for mart in ("users", "access_history", "usage_daily", "events", "events_of", "user_actions")
    )
    for folders in (LAKE, ODD_FOLDERS):
        odd = run(sandbox, monkeypatch, tmp_path / folders / "data")
        for here, there in zip(plain, odd, strict=True):
            for mart in here:
                # Mart by mart: a difference of everything would be too long to be shown.
                assert there[mart] == here[mart], (folders, mart)


@pytest.mark.parametrize("given", ["/srv/jump\\cloud", "/srv/jumpcloud?", "s3://bucket/jump\\cloud"])
def test_a_data_root_that_duckdb_cannot_name_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", given)
    with pytest.raises(ConfigurationError, match=r"data_root: .* given; allowed: a path without \\ and \?"):
        read_settings()
