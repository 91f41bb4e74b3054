"""Which units cover their interval, whatever has been read of them, how often, and how it ended."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.files import read_metadata, write_table
from jumpcloud_elt.landing.layout import unit_path
from jumpcloud_sandbox.client import Sandbox
from support.expectations import Attempt, Insights, Unit
from support.landed_units import ORGANIZATIONS, land, land_again, login, record
from support.pipeline import (
    assert_is_as_from_nothing,
    assert_warehouse_is,
    query,
    run_directory,
    run_usage,
    run_warehouse,
    snapshots_of,
)
from support.worlds import FIRST_DAY, ORGANIZATION, OTHER, organization, serve, units_of_organization

DAY = timedelta(days=1)
MARCH = datetime(2026, 3, 1)
OF_UNITS = ("usage_coverage", "usage_coverage_daily", "usage_daily", "events")


def reading(chance: random.Random, organization_id: str, extracted_at: datetime) -> Unit:
    """A reading of one of few days, of few ids, so that they meet; some are strays, some belong to the next day."""
    start = MARCH + chance.randrange(3) * DAY
    moments = [start, start + DAY / 2, start + DAY / 2, start + DAY, start - DAY]
    ids = chance.sample("abcd", chance.randrange(5))
    services = chance.choice([("directory", "sso"), ("directory", "sso"), ("directory",), ("all",)])
    return Unit(
        organization_id,
        start,
        start + DAY,
        extracted_at,
        [login(one, chance.choice(moments), success=chance.choice([True, False])) for one in ids],
        services,
        began_before_retention=chance.random() < 0.3,
        is_whole=chance.random() < 0.6,
    )


@pytest.mark.parametrize("seed", range(4))
def test_units_read_again_and_again_are_as_defined(seed: int, settings: Settings) -> None:
    chance = random.Random(seed)
    readings: list[Unit] = []
    for number in range(4):
        new = [
            reading(chance, one, MARCH + 60 * DAY + timedelta(minutes=len(readings) + place))
            for place, one in enumerate(ORGANIZATIONS * 4)
        ]
        record(settings.landing, f"run {number}", [land_again(settings.landing, one) for one in new])
        readings += new
        warehouse = run_warehouse(f"build {number}")
        insights = [Insights(one, "read", None) for one in ORGANIZATIONS]
        assert_warehouse_is(warehouse, [], readings, insights, OF_UNITS)
    assert_is_as_from_nothing(settings, "from nothing")


@pytest.mark.parametrize(
    ("recorded", "outcome"), [(["ok"], "ok"), (["incomplete"], "incomplete"), (["ok", "incomplete"], "ok")]
)
def test_of_files_that_do_not_say_whether_they_are_whole_the_manifests_do(
    recorded: list[str], outcome: str, settings: Settings
) -> None:
    unit = Unit(ORGANIZATIONS[0], MARCH, MARCH + DAY, MARCH + 2 * DAY, [login("e", MARCH)])
    for number, one in enumerate(recorded):
        landed = land(settings.landing, unit)
        landed.outcome = one
        record(settings.landing, f"run {number}", [landed])
    path = unit_path(settings.landing, unit.organization_id, unit.interval_start, unit.interval_end)
    told = {name: value for name, value in read_metadata(path).items() if name != "outcome"}
    write_table(path, path.open_parquet().read(), told)
    (row,) = query(run_warehouse("build"), "select outcome from usage_coverage")
    assert row == {"outcome": outcome}


# ---- what was tried in vain -----------------------------------------------------------------------------------

PAGE = {"path_regex": "/events$"}


def attempts_of(settings: Settings) -> list[Attempt]:
    """What the manifests of this test's runs amount to, by their names: `<side> <outcomes of both organizations>`."""
    named = []
    for path in (settings.landing / "_runs").glob("*/*.parquet"):
        row = pq.read_table(path).to_pylist()[-1]
        side, *outcomes = row["run_id"].split()
        for one, ended in zip((ORGANIZATION, OTHER), outcomes[:2], strict=True):
            interval = (FIRST_DAY, FIRST_DAY + 2 * DAY) if side == "usage" else None
            named.append(Attempt(one, row["run_id"], row["recorded_at"], side, ended, interval=interval))
    return named


def test_what_failed_or_was_skipped_is_said_until_it_has_landed(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def is_as_attempted(name: str, units: list[Unit]) -> None:
        snapshots = snapshots_of(sandbox, settings)
        insights = [Insights(one.organization_id, "read", None) for one in snapshots]
        tables = ("organizations", "usage_coverage", "usage_coverage_daily")
        assert_warehouse_is(run_warehouse(name), snapshots, units, insights, tables, attempts_of(settings))

    def run(name: str) -> None:
        run_usage(name, FIRST_DAY, FIRST_DAY + 2 * DAY)

    events = [login(f"e{day}", FIRST_DAY + (day + 0.5) * DAY) for day in range(2)]
    organizations = [organization(2) | {"events": events}, organization(3, OTHER) | {"events": events}]
    serve(sandbox, *organizations)
    run_directory("directory ok ok")
    sandbox.set_faults({"match": PAGE | {"organization_id": OTHER}, "do": {"status": 400, "body": {"message": "odd"}}})
    run("usage ok failed")
    ours, theirs = (units_of_organization(one, FIRST_DAY, FIRST_DAY + 2 * DAY) for one in organizations)
    is_as_attempted("failed", ours)
    rows = query(settings.warehouse, "from usage_coverage where organization_id = ?", [OTHER])
    assert [(row["outcome"], row["landed_at"]) for row in rows] == [("failed", None)] * 2
    assert "odd" in rows[0]["reason"]
    (row,) = query(settings.warehouse, "from organizations where organization_id = ?", [OTHER])
    assert row["sync_message"].startswith("Usage: ") and "odd" in row["sync_message"]
    sandbox.set_faults()
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_EXCLUDE", OTHER)
    run("usage ok excluded 1")
    is_as_attempted("excluded", ours)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_EXCLUDE", "")
    run("usage ok ok")
    is_as_attempted("landed", [*ours, *theirs])


# ---- why usage is not known -----------------------------------------------------------------------------------


def usage_of(settings: Settings) -> tuple[str, str | None]:
    (row,) = query(run_warehouse("build"), "select usage_state, usage_state_reason from organizations")
    return row["usage_state"], row["usage_state_reason"]


def test_why_usage_is_unknown_says_what_jumpcloud_counted(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, organization(2))
    run_usage("empty", FIRST_DAY, FIRST_DAY + DAY)
    assert usage_of(settings) == (
        "unknown",
        "Directory Insights was read and JumpCloud counted no event; it may not be enabled.",
    )
    sandbox.set_faults({"match": {"path_regex": "/events/count$"}, "do": {"wrong_total": 4}})
    run_usage("counted", FIRST_DAY + DAY, FIRST_DAY + 2 * DAY)
    assert usage_of(settings) == (
        "unknown",
        "Directory Insights was read and JumpCloud counted events; none dated in the time asked for is landed.",
    )


@pytest.mark.parametrize("events", [[], [login("e", FIRST_DAY)]])
def test_a_run_that_fails_after_an_exclusion_was_lifted_leaves_nothing_said_of_the_exclusion(
    events: list[dict[str, Any]], sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, organization(2) | {"events": events})
    run_usage("read", FIRST_DAY, FIRST_DAY + DAY)
    before = usage_of(settings)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_EXCLUDE", ORGANIZATION)
    run_usage("excluded", FIRST_DAY, FIRST_DAY + DAY)
    state, reason = usage_of(settings)
    assert state == before[0] and reason is not None and "usage_exclude" in reason
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_EXCLUDE", "")
    sandbox.set_faults({"match": {"path_regex": "/events"}, "do": {"status": 400, "body": {"message": "odd"}}})
    assert len(run_usage("failed", FIRST_DAY, FIRST_DAY + DAY)) == 1
    assert usage_of(settings) == before


@pytest.mark.parametrize("dag_id", ["jumpcloud_usage", "jumpcloud_eu_usage"])
def test_a_usage_run_that_failed_is_told_whatever_its_dag_is_called(
    dag_id: str, sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, organization(2))
    run_directory("directory")
    record(settings.landing, "usage", [], killed=ORGANIZATION, interval=(FIRST_DAY, FIRST_DAY + DAY), dag_id=dag_id)
    warehouse = run_warehouse("build")
    (row,) = query(warehouse, "from organizations where organization_id = ?", [ORGANIZATION])
    assert row["sync_status"] == "failed" and row["sync_message"].startswith("Usage: ")
    assert [row["outcome"] for row in query(warehouse, "from usage_coverage")] == ["failed"]
