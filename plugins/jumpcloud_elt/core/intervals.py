"""Time cut to measure: schedules, data intervals, and the units in which events are landed.

All times are naive UTC; all intervals are half-open.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta

from croniter import CroniterBadDateError, croniter

from jumpcloud_elt.core.airflow_compat import CronDataIntervalTimetable
from jumpcloud_elt.core.times import midnight_before
from jumpcloud_elt.errors import ConfigurationError

Interval = tuple[datetime, datetime]

PRESETS = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
}


def read_cron(schedule: str, option: str) -> str | None:
    """Return `schedule` as a cron expression, None for `none`; raise ConfigurationError naming `option`."""
    if schedule.strip().lower() in ("", "none"):
        return None
    cron = PRESETS.get(schedule.strip().lower(), schedule.strip())
    try:
        croniter(cron).get_next()
    except ValueError as error:
        comes = ", which never comes" if isinstance(error, CroniterBadDateError) else ""
        raise ConfigurationError(
            f"[jumpcloud_elt] {option}: {schedule!r} given{comes}; allowed: a cron expression, "
            f"{', '.join(PRESETS)}, or none"
        ) from error
    return cron


def read_usage_cron(schedule: str) -> str:
    """Return `usage_schedule` as the cron expression that cuts units: days, where nothing is scheduled."""
    return read_cron(schedule, "usage_schedule") or PRESETS["@daily"]


def timetable(schedule: str, option: str) -> CronDataIntervalTimetable | None:
    """The timetable of `schedule`: its runs have data intervals, which Airflow 3's plain cron strings lack."""
    cron = read_cron(schedule, option)
    return CronDataIntervalTimetable(cron, timezone="UTC") if cron else None


def last_complete_interval(cron: str, now: datetime) -> Interval:
    """The latest interval of `cron` that has ended by `now`."""
    ticks = croniter(cron, now + timedelta(microseconds=1))
    end = ticks.get_prev(datetime)
    return ticks.get_prev(datetime), end


def split_into_units(start: datetime, end: datetime, cron: str) -> Iterator[Interval]:
    """Cut [start, end) at every tick of `cron` and at every UTC midnight: no unit spans a day."""
    ticks = croniter(cron, start)
    tick = ticks.get_next(datetime)
    while start < end:
        midnight = midnight_before(start) + timedelta(days=1)
        while tick <= start:
            tick = ticks.get_next(datetime)
        until = min(end, midnight, tick)
        yield start, until
        start = until


def uncovered(units: Collection[Interval], since: datetime, until: datetime) -> list[Interval]:
    """What no unit covers of [since, until)."""
    gaps = []
    covered = since
    for start, end in sorted(units):
        if covered < min(start, until):
            gaps.append((covered, min(start, until)))
        covered = max(covered, end)
    return [*gaps, (covered, until)] if covered < until else gaps
