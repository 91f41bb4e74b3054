"""Roll-ups: whatever happens to landing between builds, the warehouse is that of a build from nothing."""

from __future__ import annotations

import contextlib
import json
import os
import random
import re
import shutil
from datetime import datetime, time, timedelta
from pathlib import Path
from typing import Any

import duckdb
import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.landing.layout import unit_path
from jumpcloud_elt.landing.units import UNIT_SCHEMA
from jumpcloud_elt.privacy.erasure import _files
from jumpcloud_elt.tasks import warehouse as tasks_warehouse
from jumpcloud_elt.warehouse import events_view, rollups
from jumpcloud_elt.warehouse.sql_files import read_sql
from support.evolving import object_id
from support.expectations import Insights, Unit
from support.landed_units import ORGANIZATIONS, ChangingUnits, extracted, failures, land, login, record
from support.paths import ROOT
from support.pipeline import assert_warehouse_is, discard_builds, query, run_warehouse

ORGANIZATION, OTHER, _ = ORGANIZATIONS
DAY = timedelta(days=1)
MARCH = datetime(2026, 3, 1)
OF_USAGE = ("usage_daily", "usage_coverage", "applications")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a data root of this test's own; nobody is asked anything."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data"))
    return read_settings()


def unit(day: int, *event_ids: str, organization_id: str = ORGANIZATION, hours: tuple[int, int] = (0, 24)) -> Unit:
    """A unit of a day of March, or of some hours of it, with log-ins of its first hour."""
    start = MARCH + (day - 1) * DAY
    bounds = [start + timedelta(hours=hour) for hour in hours]
    events = [login(one, bounds[0] + timedelta(minutes=len(one))) for one in event_ids]
    return Unit(organization_id, bounds[0], bounds[1], MARCH + 60 * DAY, events)


def is_as_expected(warehouse: Path, units: list[Unit], tables: tuple[str, ...] = (*OF_USAGE, "events")) -> None:
    settings = read_settings()
    attempts = [one for one in failures(settings.landing) if one.organization_id not in settings.exclude]
    insights = [Insights(one, "read", None) for one in {one.organization_id for one in [*units, *attempts]}]
    assert_warehouse_is(warehouse, [], units, insights, tables, attempts)


def generation(settings: Settings) -> Path:
    (folder,) = settings.rollups.iterdir()
    return folder


def times(settings: Settings) -> dict[str, int]:
    """When each file of the roll-ups was written."""
    return {str(path.relative_to(settings.rollups)): path.stat().st_mtime_ns
            for path in settings.rollups.rglob("*.parquet")}  # fmt: skip


def everything(warehouse: Path) -> dict[str, Any]:
    tables = (*OF_USAGE, "organizations", "events", "sync_log")
    return {table: query(warehouse, f"select * from {table} order by all") for table in tables}


@pytest.mark.parametrize("seed", range(3))
def test_build_after_build_is_as_defined_whatever_happens_to_landing(
    seed: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = ChangingUnits(settings.landing, seed)
    world.land_days()
    happened: list[str] = []
    for number in range(12):
        happened += [world.step() for _ in range(world.random.randrange(1, 4))]
        loss = world.random.random()
        if loss < 0.1:
            files = sorted(settings.rollups.rglob("*.parquet"))
            for file in files[:: world.random.randrange(1, 4)]:
                file.unlink()
        elif loss < 0.2:
            shutil.rmtree(settings.warehouse.parent, ignore_errors=True)
        elif loss < 0.35:
            _build_killed(world.random.randrange(6), monkeypatch)
        excluded = [one for one in ORGANIZATIONS if world.random.random() < 0.15]
        monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", ",".join(excluded))
        units = [one for one in world.known() if one.organization_id not in excluded]
        if not list((settings.landing / "_runs").glob("*/*.parquet")):
            continue
        warehouse = run_warehouse(f"build {number}")
        try:
            is_as_expected(warehouse, units, (*OF_USAGE, "events") if world.is_all_known() else OF_USAGE)
        except AssertionError as error:
            raise AssertionError(f"after {happened[-6:]}, without {excluded}: {error}") from error
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", "")
    incremental = everything(run_warehouse("last"))
    discard_builds(settings)
    shutil.rmtree(settings.rollups)
    assert everything(run_warehouse("from nothing")) == incremental


def _build_killed(after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A build that is killed when it has written so many files of roll-ups; it may come to write no more."""
    left = iter(range(after))
    put = FolderPath.put

    def put_until_killed(path: FolderPath, temporary: Path) -> None:
        if path.parent.name in rollups.ROLLUPS and next(left, None) is None:
            raise KeyboardInterrupt
        put(path, temporary)

    with monkeypatch.context() as patch:
        patch.setattr(FolderPath, "put", put_until_killed)
        with contextlib.suppress(KeyboardInterrupt, AirflowFailException):
            tasks_warehouse.build_warehouse("killed")


@pytest.mark.parametrize("files", range(6))
def test_a_build_that_is_killed_between_two_files_is_made_up_for_by_the_next(
    files: int, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [unit(1, "e1"), unit(2, "e2"), unit(32, "e3")]
    record(settings.landing, "first", [land(settings.landing, one) for one in units])
    run_warehouse("first")
    units = [extracted(one, DAY, [*one.events, login("e9", one.interval_start)]) for one in units]
    record(settings.landing, "second", [land(settings.landing, one) for one in units])
    _build_killed(files, monkeypatch)
    left = generation(settings) / "usage_daily" / ".2026-03.parquet.of-a-killed-process.tmp"
    left.write_bytes(b"half a file")
    is_as_expected(run_warehouse("second"), units)
    assert not left.exists()


def test_only_the_months_that_have_changed_are_written_and_only_their_changed_days_are_read(settings: Settings) -> None:
    units = [unit(1, "e1"), unit(2, "e2"), unit(32, "e3"), unit(1, "e4", organization_id=OTHER)]
    record(settings.landing, "first", [land(settings.landing, one) for one in units])
    run_warehouse("first")
    before = times(settings)
    assert {name.split("/", 1)[1] for name in before} == {
        f"{dataset}/{month}.parquet" for dataset in rollups.ROLLUPS for month in ("2026-03", "2026-04")
    }
    run_warehouse("nothing new")
    assert times(settings) == before
    units.append(unit(3, "e5"))
    record(settings.landing, "second", [land(settings.landing, units[-1])])
    for one in units[:-1]:
        # Whoever reads it now fails.
        path = unit_path(settings.landing, one.organization_id, one.interval_start, one.interval_end)
        path.rename(path.with_suffix(".aside"))
        path.write_bytes(b"not Parquet")
    warehouse = run_warehouse("second")
    is_as_expected(warehouse, units, OF_USAGE)
    changed = {name for name, time in times(settings).items() if time != before.get(name)}
    assert {Path(name).stem for name in changed} == {"2026-03"}


def test_manifests_are_read_once(settings: Settings) -> None:
    units = [unit(1, "e1"), unit(2, "e2")]
    old, again = (record(settings.landing, f"run{n}", [land(settings.landing, one)]) for n, one in enumerate(units))
    run_warehouse("first")
    stat, content = old.stat(), old.read_bytes()

    def run_without_reading_old(run_id: str) -> Path:
        old.write_bytes(b"x" * len(content))
        os.utime(old, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        warehouse = run_warehouse(run_id)
        old.write_bytes(content)
        os.utime(old, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        return warehouse

    is_as_expected(run_without_reading_old("not opened again"), units)
    again.unlink()
    is_as_expected(run_without_reading_old("gone"), units[:1], OF_USAGE)
    old.write_bytes(content)
    is_as_expected(run_warehouse("written again"), units[:1], OF_USAGE)


def test_a_schedule_that_is_switched_over_the_same_day_neither_loses_nor_doubles(settings: Settings) -> None:
    whole = unit(1, "a", "bb", "ccc")
    record(settings.landing, "daily", [land(settings.landing, whole)])
    run_warehouse("daily")
    hours = [extracted(unit(1, hours=(hour, hour + 1)), DAY, whole.events if hour == 0 else []) for hour in range(24)]
    for number, one in enumerate(hours):
        record(settings.landing, f"hourly {number}", [land(settings.landing, one)])
        if number in (0, 12):
            is_as_expected(run_warehouse(f"hourly {number}"), [whole, *hours[: number + 1]])
    later = extracted(whole, 2 * DAY, [*whole.events, login("dddd", whole.interval_start + timedelta(hours=5))])
    record(settings.landing, "daily again", [land(settings.landing, later)])
    warehouse = run_warehouse("daily again")
    is_as_expected(warehouse, [later, *hours])
    assert query(warehouse, "select sum(successes)::int as n from usage_daily") == [{"n": 4}]


def test_an_event_counts_on_each_day_that_it_is_dated_as_the_view_shows_it(settings: Settings) -> None:
    units = [unit(1, "e1"), unit(2, "e1")]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    warehouse = run_warehouse("build")
    is_as_expected(warehouse, units)
    daily = query(warehouse, "select date, successes from usage_daily order by date")
    shown = query(warehouse, "select date, count(*) as successes from events group by date order by date")
    assert daily == shown and len(daily) == 2


def test_a_unit_landed_anew_by_a_task_that_was_killed_is_looked_at_once_its_run_says_so(settings: Settings) -> None:
    units = [unit(5, "e1"), unit(6, "e2"), unit(1, "e3", organization_id=OTHER), unit(3, "e5")]
    record(settings.landing, "first", [land(settings.landing, one) for one in units])
    run_warehouse("first")
    for number in (0, 3):  # its own day, and late events of a day before
        units[number] = extracted(
            units[number], DAY, [*units[number].events, login("e4", units[number].interval_start)]
        )
        land(settings.landing, units[number])
    other = unit_path(settings.landing, ORGANIZATION, units[1].interval_start, units[1].interval_end)
    aside = other.read_bytes()
    other.write_bytes(b"not Parquet")  # outside of what the run was to land, so nobody looks
    # What the run was to land itself, and what it was to catch up on.
    for number, interval in enumerate([(MARCH + 4 * DAY, MARCH + 5 * DAY), (MARCH - 300 * DAY, MARCH + 4 * DAY)]):
        record(settings.landing, f"killed {number}", [], killed=ORGANIZATION, interval=interval)
    warehouse = run_warehouse("second")
    other.write_bytes(aside)
    is_as_expected(warehouse, units)
    before = times(settings)
    run_warehouse("third")
    assert times(settings) == before


@pytest.mark.parametrize("days_before", [0, 2, 5])
def test_a_failure_has_looked_at_only_what_it_was_to_land_and_only_units_written(
    days_before: int, settings: Settings
) -> None:
    units = [
        unit(day, f"e{day}", organization_id=one) for one in ORGANIZATIONS[:2] for day in (*range(1, 5), *range(25, 40))
    ]
    record(settings.landing, "first", [land(settings.landing, one) for one in units])
    before = everything(run_warehouse("first"))
    written = times(settings)
    run_begins, run_ends = MARCH + 32 * DAY, MARCH + 33 * DAY  # the second of April, and days before
    reach = [run_begins + number * DAY for number in range(-days_before, 1)]
    contents = {}
    for path in settings.landing.glob("directory_insights_events/*/*/*.parquet"):
        if path not in [unit_path(settings.landing, ORGANIZATION, start, start + DAY) for start in reach]:
            contents[path] = path.read_bytes()
            path.write_bytes(b"not Parquet")
    assert len(contents) == len(units) - days_before - 1
    record(settings.landing, "failed", [], killed=ORGANIZATION, interval=(run_begins - days_before * DAY, run_ends))
    warehouse = run_warehouse("second")
    changed = {name.split("/", 1)[1] for name, at in times(settings).items() if at != written[name]}
    assert changed == {f"units/{start:%Y-%m}.parquet" for start in reach}
    written = times(settings)
    run_warehouse("third")
    assert times(settings) == written
    for path, content in contents.items():
        path.write_bytes(content)
    assert {table: everything(warehouse)[table] for table in OF_USAGE} == {table: before[table] for table in OF_USAGE}
    for start in reach:
        # And everything that it may have landed is looked at.
        (number,) = (
            number
            for number, one in enumerate(units)
            if one.interval_start == start and one.organization_id == ORGANIZATION
        )
        units[number] = extracted(units[number], DAY, [*units[number].events, login(f"late {start:%d}", start)])
        land(settings.landing, units[number])
    record(
        settings.landing, "failed again", [], killed=ORGANIZATION, interval=(run_begins - days_before * DAY, run_ends)
    )
    is_as_expected(run_warehouse("fourth"), units)


def test_a_run_that_landed_its_unit_and_failed_over_the_days_before_shows_both(settings: Settings) -> None:
    landed = land(settings.landing, unit(1, "e1"))
    failed = msgspec.structs.replace(landed, outcome="failed", reason="odd", path=None, rows=None, extracted_at=None)
    record(settings.landing, "run", [landed, failed])
    rows = query(
        run_warehouse("build"), "select outcome, interval_start, path is null as lost from sync_log order by 1"
    )
    assert [tuple(row.values()) for row in rows] == [("failed", None, True), ("ok", MARCH, False)]


def test_what_is_left_out_stays_rolled_up_and_comes_back_without_being_read(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [unit(1, "e1"), unit(1, "e2", organization_id=OTHER)]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    before = everything(run_warehouse("with"))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", OTHER)
    record(settings.landing, "again", [land(settings.landing, extracted(units[0], DAY, units[0].events))])
    warehouse = run_warehouse("without")
    is_as_expected(warehouse, units[:1])
    assert {row["organization_id"] for row in query(warehouse, "from events")} == {ORGANIZATION}
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", "")
    path = unit_path(settings.landing, OTHER, units[1].interval_start, units[1].interval_end)
    content = path.read_bytes()
    rolled = times(settings)
    warehouse = run_warehouse("with it again")
    assert times(settings) == rolled
    is_as_expected(warehouse, units)
    assert everything(warehouse)["usage_daily"] == before["usage_daily"]
    assert path.read_bytes() == content


def test_reading_everything_again_changes_nothing_but_the_logs_own_times(settings: Settings) -> None:
    """What a second backfill of the same days does."""
    units = [unit(day, f"e{day}") for day in range(1, 6)]
    record(settings.landing, "first", [land(settings.landing, one) for one in units])
    before = everything(run_warehouse("first"))
    again = [extracted(one, DAY, one.events) for one in units]
    record(settings.landing, "first", [land(settings.landing, one) for one in again])
    after = everything(run_warehouse("second"))
    its_own_times = ("recorded_at", "landed_at", "seconds", "_extracted_at")
    for tables in (before, after):
        for rows in tables.values():
            for row in rows:
                for column in its_own_times:
                    row.pop(column, None)
    assert after == before


@pytest.mark.parametrize("lost", ["rollups", "warehouse", "both", "one dataset", "another version"])
def test_losing_what_is_computed_loses_nothing(lost: str, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    units = [unit(1, "e1", "e2"), unit(2, "e2"), unit(32, "e3"), unit(1, "e4", organization_id=OTHER)]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    before = everything(run_warehouse("first"))
    if lost in ("rollups", "both"):
        shutil.rmtree(settings.rollups)
    if lost in ("warehouse", "both"):
        discard_builds(settings)
    if lost == "one dataset":
        shutil.rmtree(generation(settings) / "usage_applications")
    if lost == "another version":
        monkeypatch.setattr(rollups, "VERSION", rollups.VERSION + 1)
    assert everything(run_warehouse("second")) == before
    assert generation(settings).name == f"v{rollups.VERSION}"


def test_a_unit_that_lost_rows_holds_its_organization_until_it_is_whole_again(settings: Settings) -> None:
    units = [unit(1, "e1", "e2"), unit(2, "e3")]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    path = unit_path(settings.landing, ORGANIZATION, MARCH, MARCH + DAY)
    whole = path.read_bytes()
    table = pq.ParquetFile(path)
    with pq.ParquetWriter(path.with_suffix(".tmp"), table.schema_arrow) as writer:
        writer.write_table(table.read().slice(0, 1))
        writer.add_key_value_metadata({b"jumpcloud_elt": table.metadata.metadata[b"jumpcloud_elt"]})
    path.with_suffix(".tmp").replace(path)
    for number in range(2):
        # What has been rolled up of it does not make the second build forget.
        (organization,) = query(run_warehouse(f"short {number}"), "select sync_status, sync_message from organizations")
        assert organization["sync_status"] == "failed" and "check_counts" in organization["sync_message"]
        with pytest.raises(AirflowFailException, match="check_counts"):
            tasks_warehouse.report_unpublished(f"short {number}")
    path.write_bytes(whole)
    is_as_expected(run_warehouse("whole"), units)


def test_batches_bound_what_is_read_at_a_time_and_change_nothing(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rollups, "BATCH_FILES", 2)
    monkeypatch.setattr(rollups, "ROLLUP_BATCH_ROWS", 3)
    units = [unit(day, *(f"e{day}{n}" for n in range(day))) for day in range(1, 6)]
    units += [unit(1, "x", hours=(hour, hour + 1)) for hour in range(4)]
    assert [len(batch) for batch in rollups._batches([(ORGANIZATION, MARCH.date(), str(n), 9) for n in range(4)])] == [
        4
    ]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    is_as_expected(run_warehouse("build"), units)


def test_coverage_shows_since_when_until_when_and_where_the_gaps_are(settings: Settings) -> None:
    """Two empty days, two with events, a gap, an empty day; another organization has none at all."""
    units = [unit(1), unit(2), unit(3, "e1"), unit(4, "e2"), unit(8), unit(3, organization_id=OTHER)]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    warehouse = run_warehouse("build")
    is_as_expected(warehouse, units)
    organizations = query(
        warehouse, "select organization_id, usage_state, usage_from, usage_until from organizations order by all"
    )
    assert [tuple(row.values()) for row in organizations] == [
        (ORGANIZATION, "available", MARCH + 7 * DAY, MARCH + 8 * DAY),
        (OTHER, "unknown", None, None),
    ]
    outcomes = query(warehouse, "select organization_id, interval_start, outcome from usage_coverage order by all")
    assert [(row["interval_start"].day, row["outcome"]) for row in outcomes if row["organization_id"] == OTHER] == [
        (3, "unverified")
    ]
    assert [
        (row["interval_start"].day, row["outcome"]) for row in outcomes if row["organization_id"] == ORGANIZATION
    ] == [(1, "unverified"), (2, "unverified"), (3, "ok"), (4, "ok"), (8, "ok")]
    (gaps,) = re.findall(r"```sql\n(.*?)```", (ROOT / "docs" / "data-dictionary.md").read_text(), re.DOTALL)
    assert query(warehouse, gaps) == [
        {"organization_id": ORGANIZATION, "date": (MARCH + day * DAY).date(), "covered_seconds": 0} for day in (4, 5, 6)
    ]
    late = [unit(day) for day in (5, 6, 7)]
    record(settings.landing, "late", [land(settings.landing, one) for one in late])
    assert query(run_warehouse("no gap"), gaps) == []


def test_the_view_of_events_shows_what_lands_later(settings: Settings) -> None:
    units = [unit(1, "e1")]
    record(settings.landing, "first", [land(settings.landing, one) for one in units])
    warehouse = run_warehouse("first")
    land(settings.landing, unit(2, "e2"))
    assert query(warehouse, "select count(*) as n from events") == [{"n": 2}]


def test_a_data_root_whose_path_is_a_pattern_is_taken_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data [1] *"))
    landing = read_settings().landing
    units = [unit(1, "e1"), unit(2, "e2")]
    record(landing, "first", [land(landing, one) for one in units])
    warehouse = run_warehouse("first")
    is_as_expected(warehouse, units)
    assert query(warehouse, f"select count(*) as n from events_of('{ORGANIZATION}')") == [{"n": 2}]


def test_events_of_one_organization_are_those_of_the_view_and_nobody_elses_files_are_looked_for(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [unit(1, "e1"), unit(2, "e2", "e3"), unit(1, "e4", organization_id=OTHER)]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    warehouse = run_warehouse("build")
    own = query(warehouse, "select * from events where organization_id = ? order by all", [ORGANIZATION])
    assert len(own) == 3
    for folder in settings.landing.glob(f"directory_insights_events/organization_id={OTHER}"):
        shutil.rmtree(folder)
    assert query(warehouse, f"select * from events_of('{ORGANIZATION}') order by all") == own
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", ORGANIZATION)
    assert query(run_warehouse("without"), f"select * from events_of('{ORGANIZATION}')") == []


def test_copies_of_one_event_give_the_same_in_whatever_order_they_come(settings: Settings) -> None:
    """Every day of some weeks holds the same, in another order: every day is the first one again."""
    ana, bob = ({"id": object_id("1", number), "username": f"u{number}"} for number in (1, 2))
    wiki, mail = ({"id": object_id("3", number), "name": f"app{number}"} for number in (1, 2))
    sso: dict[str, Any] = {"event_type": "sso_auth", "sso_token_success": True, "success": None, "application": wiki}
    # The last of each stands.
    copies = {
        "moments": [(1, {"success": False}), (2, {})],
        "outcomes": [(1, {"success": None}), (1, {"success": False}), (1, {})],
        "types": [(1, {"event_type": "admin_login_attempt"}), (1, {})],
        "actors": [(1, {"initiated_by": {}, "resource": bob}), (1, {"initiated_by": ana}), (1, {"initiated_by": bob})],
        "sign-ons": [(1, {**sso, "sso_token_success": False, "success": True}), (1, sso)],
        "applications": [(1, sso), (1, {**sso, "application": mail})],
        "names": [(1, {**sso, "application": wiki | {"sso_type": one}}) for one in ("oidc", "saml")],
    }
    units = []
    for day in range(1, 25):
        start = MARCH + (day - 1) * DAY
        events = [
            login(f"{name} {start:%d}", start + timedelta(hours=hour), **{"initiated_by": ana, **fields})
            for name, several in copies.items()
            for hour, fields in several
        ]
        random.Random(day).shuffle(events)
        units.append(Unit(ORGANIZATION, start, start + DAY, MARCH + 60 * DAY, events))
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    warehouse = run_warehouse("build")
    is_as_expected(warehouse, units)
    shown = query(warehouse, "select date, event_id, event_at, event_type, payload from events order by event_id, date")
    for name, several in copies.items():
        hour, fields = several[-1]
        rows = [row for row in shown if row["event_id"].startswith(f"{name} ")]
        assert len(rows) == len(units)
        for row in rows:
            start = datetime.combine(row["date"], time())
            stands = login(row["event_id"], start + timedelta(hours=hour), **{"initiated_by": ana, **fields})
            assert json.loads(row["payload"]) == stands, name
    of_a_day = "select * exclude (first_at, last_at), first_at - date as first, last_at - date as last from usage_daily"
    days = {day: query(warehouse, f"select * exclude (date) from ({of_a_day}) where date = ?::date order by all", [day])
            for day in {row["date"] for row in shown}}  # fmt: skip
    assert all(rows == days[MARCH.date()] for rows in days.values())


def test_the_view_and_the_roll_ups_choose_among_copies_by_the_same_rule() -> None:
    of_view, of_rollups = (
        re.findall(r"partition by organization_id, date, event_id\s+order by(.*?)\) = 1", read_sql(model), re.DOTALL)[0]
        for model in ("marts/events", "staging/stg_events")
    )
    assert of_view.split() == of_rollups.split()


@pytest.mark.parametrize("of", ["events where organization_id = '{}' and", "events_of('{}') where"])
def test_a_query_of_events_opens_its_own_days_of_its_own_organization_and_nothing_else(
    of: str, settings: Settings
) -> None:
    units = [unit(day, f"e{day}", organization_id=one) for one in ORGANIZATIONS for day in range(1, 7)]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    warehouse = run_warehouse("build")
    wanted = [(OTHER, MARCH + (day - 1) * DAY) for day in (3, 4)]
    bounds = {unit_path(settings.landing, one, start, start + DAY) for one, start in wanted}
    for path in settings.landing.rglob("*.parquet"):
        if path not in bounds and path.relative_to(settings.landing).parts[0] != events_view.COLUMNS_FOLDER:
            path.write_bytes(b"not Parquet")
    days = "date between date '2026-03-03' and date '2026-03-04'"
    found = query(warehouse, f"select event_id, date, payload from {of.format(OTHER)} {days} order by date")
    assert [row["event_id"] for row in found] == ["e3", "e4"]
    with pytest.raises(duckdb.Error, match="Parquet file"):
        query(warehouse, f"select count(payload) from {of.format(OTHER)} date <= date '2026-03-04'")


def test_the_file_that_has_the_columns_is_no_unit_and_is_made_where_it_is_missing(settings: Settings) -> None:
    units = [unit(1, "e1"), unit(2, "e2", organization_id=OTHER)]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    before = everything(run_warehouse("first"))
    (columns,) = (settings.landing / events_view.COLUMNS_FOLDER).rglob("*.parquet")
    assert pq.ParquetFile(columns).schema_arrow.equals(UNIT_SCHEMA) and pq.ParquetFile(columns).metadata.num_rows == 0
    assert columns not in settings.landing.glob("directory_insights_events/**/*.parquet")
    assert columns not in list(_files(settings.landing, ORGANIZATION))
    written = columns.stat().st_mtime_ns
    run_warehouse("second")
    assert columns.stat().st_mtime_ns == written
    columns.unlink()
    assert everything(run_warehouse("third")) == before
    discard_builds(settings)
    shutil.rmtree(settings.rollups)
    assert everything(run_warehouse("from nothing")) == before


def test_columns_that_are_others_are_another_file_and_what_was_landed_without_them_is_still_shown(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = [unit(1, "e1"), unit(2, "e2", organization_id=OTHER)]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    run_warehouse("first")
    (of_first,) = (settings.landing / events_view.COLUMNS_FOLDER).rglob("*.parquet")
    monkeypatch.setattr(
        "jumpcloud_elt.warehouse.events_view.UNIT_SCHEMA", UNIT_SCHEMA.append(pa.field("thought_of_later", pa.string()))
    )
    is_as_expected(run_warehouse("second"), units)
    # Whoever still has the first warehouse open goes on reading.
    assert (
        of_first in (found := set((settings.landing / events_view.COLUMNS_FOLDER).rglob("*.parquet")))
        and len(found) == 2
    )


def test_events_of_a_landing_without_any_are_none_and_are_shown_once_they_land(settings: Settings) -> None:
    record(settings.landing, "failed", [], killed=ORGANIZATION, interval=(MARCH, MARCH + DAY))
    warehouse = run_warehouse("nothing")
    for of in ("events", f"events_of('{ORGANIZATION}')"):
        assert query(warehouse, f"from {of}") == []
    units = [unit(1, "e1")]
    record(settings.landing, "run", [land(settings.landing, one) for one in units])
    warehouse = run_warehouse("something")
    is_as_expected(warehouse, units)
    assert query(warehouse, f"select event_id from events_of('{ORGANIZATION}')") == [{"event_id": "e1"}]
