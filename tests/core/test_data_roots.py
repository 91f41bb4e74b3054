"""A data root may lie in folders of any name, on volumes that let no mode be changed."""

from __future__ import annotations

import logging
import os
import shutil
import stat
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


@pytest.mark.slow
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


@pytest.mark.parametrize("given", ["0400", "444"])
def test_the_published_file_has_the_mode_that_is_set(
    given: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(sandbox, tmp_path, monkeypatch, mode=given)
    assert stat.S_IMODE(published.stat().st_mode) == int(given, 8)


def test_the_published_file_is_for_owner_and_group_where_nothing_is_set(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(sandbox, tmp_path, monkeypatch)
    assert stat.S_IMODE(published.stat().st_mode) == 0o440


@pytest.mark.parametrize("given", ["0640", "0200", "0040", "444o", "0o440", "rw-r-----", "0555", "0004", "04440", ""])
def test_a_mode_that_lets_anybody_write_or_is_none_is_refused(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__WAREHOUSE_MODE", given)
    with pytest.raises(ConfigurationError, match=f"warehouse_mode: '{given}' given; allowed: an octal mode .* 0440"):
        read_settings()


@pytest.mark.skipif(os.getuid() != 0, reason="only root may give a folder any group")
def test_the_published_file_has_the_group_of_a_folder_with_the_setgid_bit(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = publish(sandbox, tmp_path, monkeypatch)
    assert published.stat().st_gid == os.getgid()
    checked = warehouse.check_warehouse(warehouse.build_warehouse("again"))
    os.chown(published.parent, -1, 12345)
    published.parent.chmod(0o2750)
    warehouse.publish_warehouse(checked)
    assert (published.stat().st_gid, stat.S_IMODE(published.stat().st_mode)) == (12345, 0o440)


def test_a_volume_that_lets_no_mode_be_changed_gets_a_warning(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    for change in ("chmod", "fchmod", "chown", "fchown"):
        monkeypatch.setattr(f"os.{change}", refuse)
    with caplog.at_level(logging.WARNING):
        published = publish(sandbox, tmp_path, monkeypatch)
    assert marts()["users"]
    [warned] = [one.getMessage() for one in caplog.records if "jumpcloud_elt" in one.name]
    found = stat.S_IMODE(published.stat().st_mode)
    told = f"stays with mode {found:04o}, as its volume has it (mode 0440: Operation not permitted)"
    assert warned.endswith(told)


@pytest.mark.parametrize("umask", [0, 0o022])
def test_no_file_below_the_data_root_is_for_others_whatever_the_umask(
    umask: int, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, int] = {}
    make = warehouse.warehouse.make

    def look(*arguments: object) -> None:
        make(*arguments)
        seen.update(open_to_others(tmp_path / "data"))

    monkeypatch.setattr(warehouse.warehouse, "make", look)
    before = os.umask(umask)
    try:
        publish(sandbox, tmp_path, monkeypatch)
        warehouse.build_warehouse("never published")
    finally:
        os.umask(before)
    assert seen | open_to_others(tmp_path / "data") == {}


def test_what_killed_writers_left_anywhere_is_gone_after_the_next_run(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(sandbox, tmp_path, monkeypatch)
    data = tmp_path / "data"
    [generation] = (data / "rollups").iterdir()
    of_organization = f"organization_id={ORGANIZATIONS[0]}"
    streams = ("systemusers", "capabilities", "user_actions", "directory_insights_events")
    folders = [data / "landing" / stream / of_organization for stream in streams]
    folders += [folder / "date=2026-01-01" / "deeper" for folder in folders]
    others = ("_runs/jumpcloud_usage/.run.parts", "_notifications", "_checkpoints/x", "_columns", "_forgetting")
    folders += [data / "landing" / name for name in others]
    folders += [generation / "usage_daily", data / "warehouse"]
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / ".x.parquet.0123.tmp").write_text("half a file")
        (folder / ".y.parquet.4567.tmp.lock").write_text("")
    publish(sandbox, tmp_path, monkeypatch, run="next")
    assert [path for path in data.rglob(".*") if path.suffix in (".tmp", ".lock")] == []


def open_to_others(folder: Path) -> dict[str, int]:
    """The files that others can read, where no folder above keeps them out; by name, their modes."""
    found = {}
    for top, folders, files in os.walk(folder):
        folders[:] = [one for one in folders if (Path(top) / one).stat().st_mode & 0o001]
        for path in (Path(top) / one for one in files):
            if path.stat().st_mode & 0o007:
                found[path.name] = path.stat().st_mode
    return found


def publish(
    sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: str | None = None, run: str = "first"
) -> Path:
    """The published file of a small world."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data"))
    if mode is not None:
        monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__WAREHOUSE_MODE", mode)
    sandbox.set_world(EvolvingWorld(5).world())
    assert run_directory(f"directory-{run}") == []
    return run_warehouse(f"warehouse-{run}")
