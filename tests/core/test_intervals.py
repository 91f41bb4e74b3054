"""Schedules and units: every instant in exactly one unit, no unit across a UTC midnight."""

from __future__ import annotations

import time
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_elt.core.airflow_compat import CronDataIntervalTimetable
from jumpcloud_elt.core.intervals import last_complete_interval, read_cron, split_into_units, timetable, uncovered
from jumpcloud_elt.core.times import parse_moment
from jumpcloud_elt.errors import ConfigurationError

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DAILY, HOURLY, WEEKLY, MONTHLY = "0 0 * * *", "0 * * * *", "0 0 * * 0", "0 0 1 * *"


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


@pytest.mark.parametrize(
    ("schedule", "cron"),
    [
        ("@hourly", HOURLY),
        (" @DAILY ", DAILY),
        ("@weekly", WEEKLY),
        ("@monthly", MONTHLY),
        (" */15 * * * * ", "*/15 * * * *"),
        ("none", None),
        (" None ", None),
        ("", None),
    ],
)
def test_schedules_are_presets_crons_or_none(schedule: str, cron: str | None) -> None:
    assert read_cron(schedule, "usage_schedule") == cron


@pytest.mark.parametrize("schedule", ["@sometimes", "daily", "* * *", "61 * * * *", "a b c d e", "0 0 31 2"])
def test_a_schedule_that_is_none_is_refused_by_its_option(schedule: str) -> None:
    words = r"\[jumpcloud_elt\] usage_schedule: '.*' given; allowed: a cron expression, @hourly, @daily"
    with pytest.raises(ConfigurationError, match=words):
        read_cron(schedule, "usage_schedule")


@pytest.mark.parametrize("schedule", ["0 0 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *"])
def test_a_schedule_that_never_comes_is_refused(schedule: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_cron(schedule, "directory_schedule")
    assert str(raised.value).startswith(
        f"[jumpcloud_elt] directory_schedule: {schedule!r} given, which never comes; allowed: a cron expression, "
    )


def test_a_schedule_that_comes_once_in_four_years_is_taken() -> None:
    assert read_cron("0 0 29 2 *", "directory_schedule") == "0 0 29 2 *"


def test_a_schedule_gives_data_intervals_in_utc() -> None:
    daily = timetable("@daily", "usage_schedule")
    assert isinstance(daily, CronDataIntervalTimetable)
    assert daily == CronDataIntervalTimetable(DAILY, timezone="UTC")
    assert timetable("none", "usage_schedule") is None


@pytest.mark.parametrize(
    ("cron", "now", "start", "end"),
    [
        (DAILY, "2026-03-02T10:00", "2026-03-01", "2026-03-02"),
        (DAILY, "2026-03-02", "2026-03-01", "2026-03-02"),
        (DAILY, "2026-03-02T00:00:00.000001", "2026-03-01", "2026-03-02"),
        (DAILY, "2026-03-01T23:59:59.999999", "2026-02-28", "2026-03-01"),
        (HOURLY, "2026-03-02T10:59:59.5", "2026-03-02T09:00", "2026-03-02T10:00"),
        (WEEKLY, "2026-03-04T10:00", "2026-02-22", "2026-03-01"),
        (MONTHLY, "2026-03-31", "2026-02-01", "2026-03-01"),
        ("0 6 * * 1-5", "2026-03-02T10:00", "2026-02-27T06:00", "2026-03-02T06:00"),
    ],
)
def test_the_last_complete_interval_has_ended_by_now(cron: str, now: str, start: str, end: str) -> None:
    assert last_complete_interval(cron, at(now)) == (at(start), at(end))


@pytest.mark.parametrize(
    ("start", "end", "cron", "cuts"),
    [
        ("2026-03-01", "2026-03-02", DAILY, []),
        ("2026-03-01", "2026-03-04", DAILY, ["2026-03-02", "2026-03-03"]),
        ("2026-03-01T10:00", "2026-03-03T05:00", DAILY, ["2026-03-02", "2026-03-03"]),
        ("2026-03-01", "2026-03-03", MONTHLY, ["2026-03-02"]),
        ("2026-03-01T22:30", "2026-03-02T00:30", HOURLY, ["2026-03-01T23:00", "2026-03-02"]),
        (
            "2026-03-01T05:00",
            "2026-03-02T07:00",
            "0 6 * * *",
            ["2026-03-01T06:00", "2026-03-02", "2026-03-02T06:00"],
        ),
        ("2026-03-01T05:00:00.000001", "2026-03-01T05:00:00.000002", HOURLY, []),
    ],
)
def test_a_range_is_cut_at_ticks_and_midnights(start: str, end: str, cron: str, cuts: list[str]) -> None:
    bounds = [at(one) for one in (start, *cuts, end)]
    assert list(split_into_units(at(start), at(end), cron)) == list(pairwise(bounds))


@pytest.mark.parametrize("end", ["2026-03-01", "2026-02-28"])
def test_an_empty_range_has_no_units(end: str) -> None:
    assert list(split_into_units(at("2026-03-01"), at(end), DAILY)) == []


@given(
    start=st.datetimes(datetime(2000, 1, 1), datetime(2060, 1, 1)),
    length=st.timedeltas(timedelta(microseconds=1), timedelta(days=4)),
    cron=st.sampled_from([DAILY, HOURLY, WEEKLY, MONTHLY, "*/7 * * * *", "30 6 * * 1-5", "15 */5 3 * *"]),
)
def test_units_cover_a_range_without_gap_overlap_or_midnight(start: datetime, length: timedelta, cron: str) -> None:
    units = list(split_into_units(start, start + length, cron))
    assert [units[0][0], units[-1][1]] == [start, start + length]
    assert [one[1] for one in units[:-1]] == [one[0] for one in units[1:]]
    last_instant = timedelta(microseconds=1)
    assert all(a < b and a.date() == (b - last_instant).date() for a, b in units)


@pytest.mark.parametrize(
    ("units", "gaps"),
    [
        ([], [(0, 9)]),
        ([(0, 9)], []),
        ([(2, 9)], [(0, 2)]),
        ([(2, 4)], [(0, 2), (4, 9)]),
        ([(0, 1)], [(1, 9)]),
        ([(2, 4), (6, 7)], [(0, 2), (4, 6), (7, 9)]),
        ([(0, 8), (1, 2), (8, 9)], []),
        ([(6, 7), (2, 4), (3, 6)], [(0, 2), (7, 9)]),
        ([(0, 1), (8, 12)], [(1, 8)]),
        ([(-3, -2), (3, 4)], [(0, 3), (4, 9)]),
    ],
)
def test_a_gap_is_what_no_unit_covers(units: list[tuple[int, int]], gaps: list[tuple[int, int]]) -> None:
    def hours(of: list[tuple[int, int]]) -> list[tuple[datetime, datetime]]:
        return [(at("2026-03-01") + a * HOUR, at("2026-03-01") + b * HOUR) for a, b in of]

    assert uncovered(hours(units), *hours([(0, 9)])[0]) == hours(gaps)


@given(st.lists(st.tuples(st.integers(-20, 40), st.integers(1, 12)), max_size=8), st.integers(0, 24))
def test_gaps_are_the_hours_that_nothing_covers(lengths: list[tuple[int, int]], until: int) -> None:
    start = at("2026-03-01")
    units = [(begin, begin + length) for begin, length in lengths]
    missing = {hour for hour in range(until) if not any(begin <= hour < end for begin, end in units)}
    gaps = uncovered([(start + a * HOUR, start + b * HOUR) for a, b in units], start, start + until * HOUR)
    found = [hour for hour in range(until) for a, b in gaps if a <= start + hour * HOUR < b]
    assert sorted(missing) == found
    assert all(a < b for a, b in gaps) and all(one[1] < other[0] for one, other in pairwise(gaps))


def test_a_tick_that_repeats_gives_the_same_units_wherever_a_range_begins() -> None:
    """So that a backfill replaces the units that the schedule has landed; it never lands others beside them."""
    whole = list(split_into_units(at("2026-03-01"), at("2026-03-03"), "*/45 * * * *"))
    later = list(split_into_units(at("2026-03-02"), at("2026-03-03"), "*/45 * * * *"))
    assert later == [unit for unit in whole if unit[0] >= at("2026-03-02")]


def test_the_machines_own_timezone_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    day = at("2026-03-29"), at("2026-03-30")
    hours = [(day[0] + number * HOUR, day[0] + (number + 1) * HOUR) for number in range(24)]
    try:
        monkeypatch.setenv("TZ", "Europe/Berlin")
        time.tzset()
        assert list(split_into_units(*day, HOURLY)) == hours
        assert last_complete_interval(DAILY, day[1] + HOUR) == day
        assert parse_moment("2026-03-29T02:30:00Z", "start") == at("2026-03-29T02:30")
    finally:
        monkeypatch.undo()
        time.tzset()


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-09-01T00:00:00Z", "2026-09-01"),
        ("2026-09-01T02:00:00+02:00", "2026-09-01"),
        ("2026-08-31T19:00:00-0500", "2026-09-01"),
        ("2026-09-01", "2026-09-01"),
        ("2026-09-01T10:20", "2026-09-01T10:20"),
    ],
)
def test_a_moment_given_by_a_person_is_utc(text: str, moment: str) -> None:
    assert parse_moment(text, "start") == at(moment)


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "", "0001-01-01T00:00:00+05:00", 5, None, ["2026-01-01"]])
def test_a_moment_that_is_none_is_refused_by_its_field(text: object) -> None:
    with pytest.raises(ConfigurationError, match=r"start: .* given; allowed: an ISO 8601 time such as"):
        parse_moment(text, "start")  # type: ignore[arg-type]
