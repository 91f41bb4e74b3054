"""Which units cover their interval, whatever has been read of them, how often, and how it ended."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.landing.files import read_metadata, write_table
from jumpcloud_elt.landing.layout import unit_path
from support.expectations import Insights, Unit
from support.landed_units import ORGANIZATIONS, land, land_again, login, record
from support.pipeline import assert_is_as_from_nothing, assert_warehouse_is, query, run_warehouse

DAY = timedelta(days=1)
MARCH = datetime(2026, 3, 1)
OF_UNITS = ("usage_coverage", "usage_coverage_daily", "usage_daily", "events")


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings with a data root of this test's own; nobody is asked anything."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data"))
    return read_settings()


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
