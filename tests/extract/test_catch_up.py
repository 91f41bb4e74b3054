"""What runs make up for: days without a unit, incomplete and damaged units, events that came late."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pyarrow.parquet as pq
import pytest
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

from jumpcloud_elt.core.airflow_compat import AirflowFailException, AirflowRescheduleException, AirflowSkipException
from jumpcloud_elt.core.intervals import read_cron
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.extract import event_reader
from jumpcloud_elt.landing.files import read_metadata, write_table
from jumpcloud_elt.landing.layout import landed_units, unit_path
from jumpcloud_elt.tasks import common, usage
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json
from support.pipeline import query, run_usage, run_warehouse

Json = dict[str, Any]
ORG = "5f0a1c2e9d3b4a0011223301"
DAY = timedelta(days=1)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
KEY = "key-of-one"
KILLED = "the task ended without an outcome: it was killed, or its worker was lost"
COUNT, PAGE = {"path_regex": "/events/count$"}, {"path_regex": "/events$"}


def login(identifier: str, at: datetime, service: str = "directory") -> Json:
    return {
        "id": identifier,
        "event_type": "user_login_attempt",
        "service": service,
        "success": True,
        "initiated_by": {"id": "1" * 24, "type": "user"},
        "timestamp": f"{at.isoformat()}Z",
    }


@pytest.fixture
def served(sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """One organization with a log-in at noon of each of the last ten days."""
    events = [login(f"noon {day}", TODAY - day * DAY + DAY / 2) for day in range(1, 11)]
    sandbox.set_world(
        {
            "organizations": [{"id": ORG, "displayName": "One", "events": events}],
            "keys": [{"key": KEY, "organizations": [ORG]}],
        }
    )
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, KEY))
    return sandbox


def day(number: int) -> tuple[datetime, datetime]:
    """The day that began so many days ago."""
    return TODAY - number * DAY, TODAY - (number - 1) * DAY


def scheduled(number: int) -> list[common.Failure]:
    return run_usage(f"scheduled {number}", *day(number), run_type="scheduled")


def read(sandbox: Sandbox) -> set[str]:
    """The starts of the intervals whose events were read since the log was cleared."""
    return {entry["body"]["start_time"] for entry in sandbox.requests() if entry["path"].endswith("/events")}


def counted(sandbox: Sandbox) -> list[str]:
    """The starts of the days that were counted, but for the look whether there is Directory Insights at all."""
    bodies = [entry["body"] for entry in sandbox.requests() if entry["path"].endswith("/count")]
    return [body["start_time"] for body in bodies if body["start_time"].endswith("T00:00:00Z")]


def ids(settings: Settings, interval: tuple[datetime, datetime]) -> list[str]:
    found: list[str] = pq.ParquetFile(unit_path(settings.landing, ORG, *interval)).read()["event_id"].to_pylist()
    return found


def starts(*numbers: int) -> set[str]:
    return {f"{day(number)[0].isoformat()}Z" for number in numbers}


def outcomes(settings: Settings, run_id: str) -> list[tuple[Any, ...]]:
    rows = pq.read_table(settings.landing / "_runs" / "jumpcloud_usage").to_pylist()
    names = ("interval_start", "outcome", "received", "reason")
    return sorted((tuple(row[name] for name in names) for row in rows if row["run_id"] == run_id), key=str)


def test_a_scheduled_run_reads_again_what_is_counted_higher_by_now_and_nothing_else(
    served: Sandbox, settings: Settings
) -> None:
    for number in (5, 4, 3, 2):
        scheduled(number)
    served.add_events(ORG, [login("late", day(3)[0] + DAY / 3), login("too late", day(5)[0] + DAY / 3)])
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(1, 3)
    assert set(counted(served)) == starts(1, 2, 3, 4)
    assert sorted(ids(settings, day(3))) == ["late", "noon 3"]
    assert ids(settings, day(5)) == ["noon 5"]
    reason = "read again: 0 kept, 1 added, 0 changed"
    assert outcomes(settings, "scheduled 1") == [(day(3)[0], "ok", 2, reason), (day(1)[0], "ok", 1, None)]
    warehouse = run_warehouse("warehouse")
    (row,) = query(warehouse, "select sum(successes)::int as n from usage_daily where organization_id = ?", [ORG])
    assert row["n"] == 6
    (row,) = query(warehouse, "select outcome, rows from sync_log where reason = ?", [reason])
    assert row == {"outcome": "ok", "rows": 2}


@pytest.mark.parametrize("run_type", ["backfill", "manual"])
def test_backfills_and_runs_by_hand_leave_what_has_landed(run_type: str, served: Sandbox, settings: Settings) -> None:
    scheduled(2)
    served.add_events(ORG, [login("late", day(2)[0] + DAY / 3)])
    served.clear_requests()
    run_usage("other", *day(1), run_type=run_type)
    assert set(counted(served)) == read(served) == starts(1)


@pytest.mark.parametrize(("days", "expected"), [(0, {1}), (1, {1, 2}), (7, {1, 2, 3, 4, 5})])
def test_how_far_back_is_configured(
    days: int, expected: set[int], served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in (5, 4, 3, 2):
        scheduled(number)
    served.clear_requests()
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_RECONCILE_DAYS", str(days))
    scheduled(1)
    assert set(counted(served)) == starts(*expected)


def test_the_days_before_are_those_before_the_interval_not_before_today(served: Sandbox, settings: Settings) -> None:
    scheduled(8)
    scheduled(2)
    served.clear_requests()
    scheduled(7)
    assert set(counted(served)) == starts(7, 8)


def test_units_that_begin_before_the_retention_are_not_compared(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(3)
    scheduled(2)
    monkeypatch.setenv(
        "AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(served.url, KEY, extra={"usage_retention_days": 3})
    )
    served.clear_requests()
    scheduled(1)
    assert set(counted(served)) == starts(1, 2)


def test_a_unit_of_which_fewer_events_are_counted_than_have_landed_is_not_read_only_to_be_kept(
    served: Sandbox, settings: Settings
) -> None:
    served.add_events(ORG, [login("second", day(2)[0] + DAY / 3)])
    scheduled(2)
    world = served.world()
    [organization] = world["organizations"]
    organization["events"] = [event for event in organization["events"] if event["id"] != "second"]
    served.set_world(world)
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(1)
    assert set(counted(served)) == starts(1, 2)
    assert sorted(ids(settings, day(2))) == ["noon 2", "second"]
    assert outcomes(settings, "scheduled 1") == [(day(1)[0], "ok", 1, None)]


def test_a_unit_is_compared_and_read_with_the_services_that_it_landed_with(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.add_events(ORG, [login(f"radius {number}", day(number)[0] + DAY / 4, "radius") for number in (1, 2, 3)])
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,radius")
    scheduled(3)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso")
    scheduled(2)
    assert ids(settings, day(2)) == ["noon 2"]
    served.add_events(ORG, [login("late", day(3)[0] + DAY / 3), login("late radius", day(2)[0] + DAY / 3, "radius")])
    served.clear_requests()
    scheduled(1)
    assert read(served) == starts(1, 3)
    assert sorted(ids(settings, day(3))) == ["late", "noon 3", "radius 3"]
    assert read_metadata(unit_path(settings.landing, ORG, *day(3)))["services"] == ["directory", "sso", "radius"]


def test_what_cannot_be_reconciled_fails_the_organization_and_what_landed_is_recorded(
    served: Sandbox, settings: Settings
) -> None:
    scheduled(2)
    served.add_events(ORG, [login("late", day(2)[0] + DAY / 3)])
    match = {**PAGE, "body_regex": f'"start_time": ?"{day(2)[0]:%Y-%m-%d}'}
    served.set_faults({"match": match, "do": {"status": 400, "body": {"message": "odd"}}})
    [failure] = scheduled(1)
    assert "400 odd" in failure["reason"]
    assert [row[1:3] for row in outcomes(settings, "scheduled 1")] == [("failed", None), ("ok", 1)]
    assert ids(settings, day(2)) == ["noon 2"]


def test_a_reconciling_run_that_is_run_again_keeps_what_it_recorded(served: Sandbox, settings: Settings) -> None:
    scheduled(2)
    served.add_events(ORG, [login("late", day(2)[0] + DAY / 3)])
    scheduled(1)
    scheduled(1)
    assert [row[:3] for row in outcomes(settings, "scheduled 1")] == [(day(2)[0], "ok", 2), (day(1)[0], "ok", 1)]


def test_files_with_names_that_landing_does_not_write_are_left_alone(served: Sandbox, settings: Settings) -> None:
    scheduled(2)
    path = unit_path(settings.landing, ORG, *day(2))
    odd = [path.with_name(name) for name in ("odd.parquet", "notes.txt", f".{path.name}.0.tmp", "a_b.parquet")]
    for one in odd:
        one.write_text("somebody's")
    assert scheduled(1) == []
    assert landed_units(settings.landing, ORG) == {
        day(number): unit_path(settings.landing, ORG, *day(number)) for number in (2, 1)
    }
    assert [one.read_text() for one in odd] == ["somebody's"] * 4
    assert landed_units(settings.landing, "f" * 24) == {}


# ---- gaps -----------------------------------------------------------------------------------------------------

HOUR = timedelta(hours=1)
# Switches of the schedule happen on this day.
MIDNIGHT = day(3)[0]


class Scheduler:
    """Starts runs of jumpcloud_usage when Airflow's own timetable says so, with a clock that is told the time."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.monkeypatch = monkeypatch
        self.last: DataInterval | None = None
        self.intervals: list[tuple[datetime, datetime]] = []

    def run(self, schedule: str, since: datetime, until: datetime) -> None:
        self.monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SCHEDULE", schedule)
        timetable = CronDataIntervalTimetable(str(read_cron(schedule, "usage_schedule")), timezone="UTC")
        restriction = TimeRestriction(earliest=None, latest=None, catchup=False)
        now = since
        while True:
            clock = pendulum.instance(now, tz="UTC")
            self.monkeypatch.setattr("airflow.timetables.interval.utcnow", lambda clock=clock: clock)
            due = timetable.next_dagrun_info(last_automated_data_interval=self.last, restriction=restriction)
            assert due is not None
            now = max(now, naive(due.run_after))
            if now > until:
                return
            self.last = due.data_interval
            interval = naive(due.data_interval.start), naive(due.data_interval.end)
            assert run_usage(f"{schedule} {interval}", *interval, run_type="scheduled") == []
            self.intervals.append(interval)


def naive(moment: Any) -> datetime:
    return datetime.fromtimestamp(moment.timestamp(), UTC).replace(tzinfo=None)


@pytest.mark.parametrize(
    ("phases", "intervals"),
    [
        # At half past three the day before has landed: it goes on with two o'clock.
        ([("@daily", 1, 15.5), ("@hourly", 15.5, 18.1)], [(-24, 0), (14, 15), (15, 16), (16, 17), (17, 18)]),
        # At half past three two o'clock has landed: it goes on with the whole of the next day.
        ([("@hourly", 12.5, 15.5), ("@daily", 15.5, 48.1)], [(11, 12), (12, 13), (13, 14), (14, 15), (24, 48)]),
    ],
    ids=["from days to hours", "from hours to days"],
)
def test_switching_the_schedule_neither_loses_nor_doubles_an_event(
    phases: list[tuple[str, float, float]],
    intervals: list[tuple[int, int]],
    served: Sandbox,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, last = intervals[0][0], intervals[-1][1]
    times = [MIDNIGHT + first * HOUR + number * HOUR / 3 for number in range(3 * (last - first))]
    user = {"initiated_by": {"id": "2" * 24, "type": "user"}}
    served.add_events(ORG, [login(f"{at.isoformat()}", at) | user for at in times])
    scheduler = Scheduler(monkeypatch)
    for schedule, since, until in phases:
        scheduler.run(schedule, MIDNIGHT + since * HOUR, MIDNIGHT + until * HOUR)
    assert scheduler.intervals == [(MIDNIGHT + start * HOUR, MIDNIGHT + end * HOUR) for start, end in intervals]
    warehouse = run_warehouse("warehouse")
    found = query(warehouse, "select event_id from events where user_id = ? order by all", ["2" * 24])
    assert [row["event_id"] for row in found] == [at.isoformat() for at in times]
    (row,) = query(warehouse, "select sum(successes)::int as n from usage_daily where user_id = ?", ["2" * 24])
    assert row["n"] == len(times)
    ranges = query(
        warehouse,
        "select interval_start, max(interval_end) over (order by interval_start, interval_end rows between unbounded "
        "preceding and 1 preceding) as covered from usage_coverage qualify covered < interval_start",
    )
    assert ranges == []


def test_a_scheduled_run_heals_an_interval_that_failed_the_day_before(served: Sandbox, settings: Settings) -> None:
    scheduled(4)
    fault = {"match": PAGE, "do": {"status": 400, "body": {"message": "odd"}}}
    served.set_faults(fault)
    assert len(scheduled(3)) == 1
    served.set_faults()
    assert scheduled(2) == []
    assert ids(settings, day(3)) == ["noon 3"]
    assert outcomes(settings, "scheduled 2") == [(day(3)[0], "ok", 1, None), (day(2)[0], "ok", 1, None)]


def test_a_scheduled_run_heals_a_downtime_however_long(served: Sandbox, settings: Settings) -> None:
    scheduled(9)
    served.clear_requests()
    scheduled(2)
    assert read(served) == starts(8, 7, 6, 5, 4, 3, 2)
    # None of these is counted a second time.
    assert sorted(counted(served)) == sorted(starts(8, 7, 6, 5, 4, 3, 2))


def test_an_organization_that_is_new_reads_its_interval_alone(served: Sandbox, settings: Settings) -> None:
    scheduled(1)
    assert read(served) == starts(1)


@pytest.mark.parametrize(("run_type", "minutes"), [("backfill", 60), ("manual", 60), ("scheduled", 0)])
def test_gaps_are_left_by_backfills_by_runs_for_a_date_and_where_catching_up_is_switched_off(
    run_type: str, minutes: int, served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_CATCH_UP_MINUTES", str(minutes))
    scheduled(4)
    served.clear_requests()
    run_usage("later", *day(2), run_type=run_type)
    assert read(served) == starts(2)


def test_a_gap_that_a_killed_task_has_filled_is_recorded(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(4)

    def die(*_: object) -> None:
        raise KeyboardInterrupt

    catch_up_events = usage.catch_up_events

    def killed(*arguments: Any) -> int:
        with pytest.raises(KeyboardInterrupt):
            catch_up_events(*arguments)
        return 0

    monkeypatch.setattr("jumpcloud_elt.extract.catch_up._soon", die)
    monkeypatch.setattr(usage, "catch_up_events", killed)
    assert [one["reason"] for one in scheduled(2)] == [KILLED]
    warehouse = run_warehouse("warehouse")
    rows = query(warehouse, "select interval_start, events from usage_coverage order by all")
    assert [tuple(row.values()) for row in rows] == [(day(number)[0], 1) for number in (4, 3, 2)]


def test_units_that_no_manifest_names_are_recorded_by_the_next_run_of_their_organization(
    served: Sandbox, settings: Settings
) -> None:
    """Their run was killed with all its tasks: nobody has gathered what they left."""
    for number in (4, 3):
        run_usage(f"killed {number}", *day(number))
    shutil.rmtree(settings.landing / "_runs")
    damaged = unit_path(settings.landing, ORG, *day(4))
    damaged.write_bytes(b"")
    assert run_usage("next", *day(1), run_type="backfill") == []
    rows = query(run_warehouse("warehouse"), "select interval_start, events from usage_coverage order by all")
    assert [tuple(row.values()) for row in rows] == [(day(number)[0], 1) for number in (3, 1)]
    (row,) = query(settings.warehouse, "from sync_log where interval_start = ?", [day(3)[0]])
    assert (row["outcome"], row["reason"]) == ("ok", "found in landing; no run had recorded it")
    assert damaged.with_name(f"{damaged.name}.damaged").exists()


# ---- the history ----------------------------------------------------------------------------------------------


@pytest.fixture
def history(monkeypatch: pytest.MonkeyPatch) -> Callable[[object], None]:
    """Sets how many days of history scheduled runs load."""
    return lambda days: monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS", str(days))


def read_in_order(sandbox: Sandbox) -> list[str]:
    return [entry["body"]["start_time"][:10] for entry in sandbox.requests() if entry["path"].endswith("/events")]


def test_a_first_run_loads_the_history_newest_first_and_nobody_has_to_backfill(
    served: Sandbox, settings: Settings, history: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    history(5)
    monkeypatch.setattr("jumpcloud_elt.extract.events.UNITS_AT_A_TIME", 1)
    served.clear_requests()
    assert scheduled(1) == []
    assert read_in_order(served) == [f"{day(number)[0]:%Y-%m-%d}" for number in (1, 2, 3, 4, 5)]
    (row,) = query(run_warehouse("warehouse"), "select usage_from, usage_until from organizations")
    assert tuple(row.values()) == (day(5)[0], TODAY)
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(1)


@pytest.mark.parametrize(("days", "retention", "expected"), [("", 4, 3), (30, 4, 3), ("", 7, 6), (2, 7, 2), (0, 7, 1)])
def test_history_goes_back_as_configured_and_never_before_the_retention(
    days: object, retention: int, expected: int, served: Sandbox, settings: Settings,
    history: Callable[[object], None], keeps: Callable[[int], None],
) -> None:  # fmt: skip
    """A day that began before the retention has lost some of its events."""
    history(days)
    keeps(retention)
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(*range(1, expected + 1))


def test_history_goes_back_to_the_first_covered_instant_where_that_is_earlier(
    served: Sandbox, settings: Settings, history: Callable[[object], None]
) -> None:
    """And not to empty units before the first event, which prove nothing."""
    history(2)
    drop(served, "noon 8")
    run_usage("empty", *day(8))
    run_usage("first", *day(6))
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(1, 2, 3, 4, 5)


def test_days_that_lie_back_are_one_unit_each_whatever_the_schedule(
    served: Sandbox, settings: Settings, history: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SCHEDULE", "@hourly")
    history(3)
    noon = TODAY - DAY / 2
    run_usage("hour", noon - 5 * HOUR, noon - 4 * HOUR)
    assert run_usage("scheduled", noon, noon + HOUR, run_type="scheduled") == []
    expected = [
        day(3),
        day(2),
        (day(1)[0], noon - 5 * HOUR),
        (noon - 5 * HOUR, noon - 4 * HOUR),
        (noon - 4 * HOUR, noon),
    ]
    assert sorted(landed_units(settings.landing, ORG)) == [*expected, (noon, noon + HOUR)]


def test_no_unit_begins_once_the_minutes_have_passed_and_the_next_run_goes_on(
    served: Sandbox, settings: Settings, history: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    history(9)
    monkeypatch.setattr("jumpcloud_elt.extract.events.UNITS_AT_A_TIME", 1)
    began = datetime.now(UTC).replace(tzinfo=None)
    clock: list[datetime] = []

    def now() -> datetime:
        clock.append(began)
        # Asked for by each unit before it begins, and once more for the retention.
        return began + len(clock) * timedelta(minutes=20)

    with monkeypatch.context() as patched:
        patched.setattr("jumpcloud_elt.extract.events.utc_now", now)
        assert scheduled(1) == []
    landed = sorted(landed_units(settings.landing, ORG))
    assert 1 < len(landed) < 4
    assert landed == [day(number) for number in range(len(landed), 0, -1)]
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(1, *range(len(landed) + 1, 10))


def test_an_incomplete_unit_is_read_again_until_its_counts_agree(served: Sandbox, settings: Settings) -> None:
    served.set_faults({"match": COUNT, "do": {"wrong_total": 3}})
    assert scheduled(3) == []
    served.set_faults()
    assert [row[:3] for row in coverage()] == [(day(3)[0], 1, "incomplete")]
    (row,) = query(settings.warehouse, "select usage_from, usage_until from organizations")
    assert tuple(row.values()) == (None, None)
    (row,) = query(settings.warehouse, "select outcome, received, api_total, reason from sync_log")
    assert (row["outcome"], row["received"], row["api_total"]) == ("incomplete", 1, 4)
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(3, 1)
    assert [row[:3] for row in coverage()] == [(day(number)[0], 1, "ok") for number in (3, 1)]
    served.clear_requests()
    scheduled(1)
    assert read(served) == starts(2, 1)


WRONG_TOTAL = {"match": COUNT, "do": {"wrong_total": 3}}


def known_range() -> tuple[Any, ...]:
    (row,) = query(run_warehouse("warehouse"), "select usage_from, usage_until from organizations")
    return tuple(row.values())


@pytest.mark.parametrize("noon", [("noon 4",), ()])
def test_an_incomplete_unit_that_is_empty_by_now_is_not_taken_for_read(
    noon: tuple[str, ...], served: Sandbox, settings: Settings
) -> None:
    """JumpCloud counted four events and gave one, or none; then its plan's retention took them all."""
    if not noon:
        drop(served, "noon 4")
    served.set_faults(WRONG_TOTAL)
    scheduled(4)
    served.set_faults()
    run_usage("days", day(3)[0], day(2)[1])
    drop(served, "noon 4")
    scheduled(1)
    assert coverage()[0][:3] == (day(4)[0], len(noon), "incomplete")
    assert known_range() == (day(3)[0], TODAY)
    assert ids(settings, day(4)) == [*noon]
    [told] = [row[3] for row in outcomes(settings, "scheduled 1") if row[0] == day(4)[0]]
    assert told.startswith("0 distinct ids received, 0 counted by JumpCloud, which no longer has all that it had")


def test_an_incomplete_unit_of_which_some_events_are_gone_by_now_is_not_taken_for_read(
    served: Sandbox, settings: Settings
) -> None:
    served.add_events(ORG, [login("early", day(4)[0] + DAY / 8)])
    served.set_faults(WRONG_TOTAL)
    scheduled(4)
    served.set_faults()
    drop(served, "early")
    scheduled(1)
    assert coverage()[0][:3] == (day(4)[0], 2, "incomplete")
    served.add_events(ORG, [login("early", day(4)[0] + DAY / 8)])
    scheduled(1)
    assert coverage()[0][:3] == (day(4)[0], 2, "ok")


def test_a_damaged_unit_that_is_read_again_incompletely_covers_nothing(served: Sandbox, settings: Settings) -> None:
    run_usage("days", day(5)[0], day(2)[1])
    unit_path(settings.landing, ORG, *day(5)).write_bytes(b"")
    served.set_faults(WRONG_TOTAL)
    assert run_usage("again", *day(5)) == []
    assert coverage()[0][:3] == (day(5)[0], 1, "incomplete")
    assert known_range() == (day(4)[0], day(2)[1])


@pytest.mark.parametrize("rebuild_runs", [False, True])
def test_a_unit_that_a_killed_run_read_whole_is_whole(rebuild_runs: bool, served: Sandbox, settings: Settings) -> None:
    served.set_faults(WRONG_TOTAL)
    run_usage("incomplete", *day(5))
    served.set_faults()
    assert coverage()[0][2] == "incomplete"
    run_usage("killed", *day(5))
    (manifest,) = (settings.landing / "_runs" / "jumpcloud_usage").glob("killed*.parquet")
    manifest.unlink()
    if not rebuild_runs:
        run_usage("next", *day(1), run_type="backfill")
    run_warehouse("warehouse", rebuild_runs=rebuild_runs)
    (row,) = query(settings.warehouse, "from usage_coverage where interval_start = ?", [day(5)[0]])
    assert row["outcome"] == "ok"
    rows = query(settings.warehouse, "select outcome from sync_log where interval_start = ? order by recorded_at",
                 [day(5)[0]])  # fmt: skip
    assert [row["outcome"] for row in rows] == ["incomplete", "ok"]


def test_a_unit_read_whole_of_one_service_and_incompletely_of_both_does_not_cover(
    served: Sandbox, settings: Settings
) -> None:
    landed = unit_path(settings.landing, ORG, *day(4))
    run_usage("days", day(4)[0], day(2)[1])
    told = read_metadata(landed)
    write_table(landed, landed.open_parquet().read(), told | {"services": ["directory"]})
    served.set_faults(WRONG_TOTAL)
    run_usage("both", *day(4))
    served.set_faults()
    assert known_range() == (day(3)[0], day(2)[1])
    run_usage("both", *day(4))
    assert known_range() == (day(4)[0], day(2)[1])


def test_a_damaged_unit_is_set_aside_and_read_again_where_jumpcloud_still_has_it(
    served: Sandbox, settings: Settings, keeps: Callable[[int], None]
) -> None:
    for number in (9, 5, 4, 3, 2):
        scheduled(number)
    paths = [unit_path(settings.landing, ORG, *day(number)) for number in (4, 9)]
    for path in paths:
        path.write_bytes(path.read_bytes()[:50])
    keeps(7)
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(1, 4)
    assert [path.with_name(f"{path.name}.damaged").exists() for path in paths] == [True, False]
    assert ids(settings, day(4)) == ["noon 4"]


def test_an_empty_unit_that_proves_nothing_is_read_again_only_once_an_older_event_has_landed_since(
    served: Sandbox, settings: Settings, keeps: Callable[[int], None]
) -> None:
    drop(served, "noon 5", "noon 4", "noon 3")
    scheduled(4)
    keeps(3)
    run_usage("cut", *day(3))
    assert [row[2] for row in coverage()] == ["unverified", "unverified"]
    keeps(9)
    served.clear_requests()
    scheduled(1)
    assert read(served) == starts(1)
    run_usage("older", *day(6), run_type="backfill")
    served.clear_requests()
    scheduled(1)
    # Day 4 is proven by the event before it; day 3 had begun before the retention when it was read.
    assert read(served) == starts(5, 3, 2, 1)
    assert {row[2] for row in coverage()} == {"ok"}
    served.clear_requests()
    scheduled(1)
    assert read(served) == starts(1)


def test_an_answer_that_cannot_be_true_does_not_keep_older_days_from_being_read(
    served: Sandbox, settings: Settings, history: Callable[[object], None]
) -> None:
    history(6)
    match = {**PAGE, "body_regex": f'"start_time": ?"{day(3)[0]:%Y-%m-%d}'}
    served.set_faults({"match": match, "do": {"body": {"message": "odd"}}})
    [failure] = scheduled(1)
    assert "Events: expected" in failure["reason"]
    assert sorted(landed_units(settings.landing, ORG)) == [day(number) for number in (6, 5, 4, 2, 1)]


@pytest.mark.parametrize("asked_for", ["date", "range", "nothing"])
def test_runs_by_hand_catch_up_where_they_were_asked_for_nothing(
    asked_for: str, served: Sandbox, settings: Settings, history: Callable[[object], None]
) -> None:
    history(5)
    probed = usage.probe_directory_insights(common.list_organizations([]))
    logical_date = TODAY.replace(tzinfo=UTC) if asked_for == "date" else None
    params = {"start": day(2)[0].isoformat(), "end": day(1)[1].isoformat()} if asked_for == "range" else {}
    dag_run = SimpleNamespace(run_type="manual", logical_date=logical_date)
    run_of = {"dag_id": "jumpcloud_usage", "run_id": "by hand"}
    chosen = usage.choose_organizations_to_catch_up(probed, run_of, dag_run, params)
    assert [one["organization_id"] for one in chosen] == ([ORG] if asked_for == "nothing" else [])


def test_organizations_of_which_the_least_is_known_come_first_and_those_without_usage_not_at_all(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("much", "little", "nothing", "unavailable", "excluded", "gap")
    organizations = [
        {"id": f"{number:024x}", "displayName": name, "insights": "not_enabled" if name == "unavailable" else "enabled"}
        for number, name in enumerate(names, 1)
    ]
    identifiers = {one["displayName"]: one["id"] for one in organizations}
    key = {"key": KEY, "organizations": list(identifiers.values()), "is_multi_tenant": True}
    sandbox.set_world({"organizations": organizations, "keys": [key]})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, KEY))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_EXCLUDE", identifiers["excluded"].upper())
    for name, numbers in {"much": [3, 2, 1], "little": [1], "gap": [9, 8, 7, 6, 2, 1]}.items():
        for number in numbers:
            path = unit_path(settings.landing, identifiers[name], *day(number))
            path.parent.mkdir(parents=True)
            path.touch()
    probed = usage.probe_directory_insights(common.list_organizations([]))
    dag_run = SimpleNamespace(run_type="scheduled", logical_date=None)
    run_of = {"dag_id": "jumpcloud_usage", "run_id": "scheduled"}
    chosen = usage.choose_organizations_to_catch_up(probed, run_of, dag_run, {})
    assert [one["organization_name"] for one in chosen] == ["nothing", "little", "gap", "much"]


def test_an_organization_that_failed_in_its_own_interval_catches_up_nothing(
    served: Sandbox, settings: Settings, history: Callable[[object], None]
) -> None:
    history(5)
    served.set_faults({"match": {**PAGE, "times": 1}, "do": {"status": 400, "body": {"message": "odd"}}})
    assert len(scheduled(1)) == 1
    assert landed_units(settings.landing, ORG) == {}


@pytest.mark.parametrize("named", ["organization", "connection"])
def test_an_organization_whose_usage_is_excluded_shows_as_skipped_with_the_reason_and_is_not_asked(
    named: str, served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    scheduled(2)
    excluded = ORG if named == "organization" else "jumpcloud_default"
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_EXCLUDE", excluded)
    served.clear_requests()
    [probed] = usage.probe_directory_insights(common.list_organizations([]))
    assert counted(served) == []
    with pytest.raises(
        AirflowSkipException, match=r"One: Its usage is not read: \[jumpcloud_elt\] usage_exclude names"
    ):
        usage.extract_events(probed, {"dag_id": "jumpcloud_usage", "run_id": "x"}, planned(day(1)))
    assert scheduled(1) == []
    assert read(served) == set()
    assert [row[1] for row in outcomes(settings, "scheduled 1")] == ["excluded"]
    (row,) = query(run_warehouse("warehouse"), "select usage_state from organizations")
    assert row["usage_state"] == "available"


def test_a_right_that_was_taken_away_fails_where_events_have_landed(served: Sandbox, settings: Settings) -> None:
    def forbid() -> None:
        world = served.world()
        world["organizations"][0]["insights"] = "forbidden"
        served.set_world(world)

    before = served.world()
    forbid()
    assert scheduled(3) == []
    served.set_world(before)
    scheduled(2)
    forbid()
    [failure] = scheduled(1)
    assert "as it did before" in failure["reason"] and "usage_exclude" in failure["reason"]


def test_what_is_about_to_leave_retention_unread_is_said(
    served: Sandbox, settings: Settings, keeps: Callable[[int], None], history: Callable[[object], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    history("")
    keeps(6)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_CATCH_UP_MINUTES", "0.000001")
    assert scheduled(1) == []
    assert [row[:2] for row in outcomes(settings, "scheduled 1")] == [
        *((day(number)[0], "leaving") for number in (5, 4, 3)),
        (day(1)[0], "ok"),
    ]
    assert outcomes(settings, "scheduled 1")[0][3] == (
        "not read, and within three days JumpCloud no longer keeps its events"
    )


# ---- the retention of a plan ----------------------------------------------------------------------------------


def test_a_plan_that_keeps_events_for_less_long_than_configured_costs_the_old_ranges_only(
    served: Sandbox, settings: Settings, history: Callable[[object], None]
) -> None:
    history(4)
    old = "|".join(f"{day(number)[0]:%Y-%m-%d}" for number in (4, 3))
    match = {"path_regex": "/events", "body_regex": f'"start_time": ?"({old})'}
    served.set_faults({"match": match, "do": {"status": 402, "body": {"message": "plan"}}})
    assert scheduled(1) == []
    assert [row[:3] for row in coverage()] == [
        (day(4)[0], 0, "unverified"),
        (day(3)[0], 0, "unverified"),
        (day(2)[0], 1, "ok"),
        (day(1)[0], 1, "ok"),
    ]
    served.clear_requests()
    assert scheduled(1) == []
    assert read(served) == starts(1)


def test_a_plan_that_no_longer_reaches_what_has_landed_costs_nothing(
    served: Sandbox, settings: Settings, history: Callable[[object], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    history(4)
    assert scheduled(1) == []
    before = coverage()
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_RECONCILE_DAYS", "4")
    old = "|".join(f"{day(number)[0]:%Y-%m-%d}" for number in (4, 3))
    match = {"path_regex": "/events", "body_regex": f'"start_time": ?"({old})'}
    served.set_faults({"match": match, "do": {"status": 402, "body": {"message": "plan"}}})
    assert scheduled(1) == []
    assert [row[:3] for row in coverage()] == [row[:3] for row in before]
    assert {row[2] for row in before} == {"ok"}


# ---- more services --------------------------------------------------------------------------------------------


def of_many_services() -> list[Json]:
    """One event of each kind that a person logs in with, yesterday."""
    at = day(1)[0] + DAY / 4
    kinds = {
        "ldap": "ldap_bind",
        "radius": "radius_auth_attempt",
        "systems": "login_attempt",
        "access_management": "access_management_access_request",
        "workflows": "workflow_run",
    }
    return [login(service, at, service) | {"event_type": kind} for service, kind in kinds.items()]


@pytest.mark.parametrize(
    ("services", "expected"),
    [
        ("directory,sso", []),
        ("directory,sso,ldap,radius,systems", ["ldap", "radius", "systems"]),
        ("all", ["ldap", "radius", "systems", "workflows"]),
        ("all,access_management", ["access_management", "ldap", "radius", "systems", "workflows"]),
    ],
)
def test_more_services_land_more_and_change_no_mart(
    services: str, expected: list[str], served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`all` is JumpCloud's word; what it leaves out (access management) is named beside it."""
    served.add_events(ORG, of_many_services())
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", services)
    scheduled(1)
    assert sorted(ids(settings, day(1))) == sorted([*expected, "noon 1"])
    assert read_metadata(unit_path(settings.landing, ORG, *day(1)))["services"] == services.split(",")
    warehouse = run_warehouse("warehouse")
    assert query(warehouse, "select source, successes::int as n from usage_daily") == [
        {"source": "user_portal", "n": 1}
    ]
    (row,) = query(warehouse, "select count(*)::int as n from events")
    assert row["n"] == len(expected) + 1


def test_a_service_that_jumpcloud_does_not_know_fails_with_those_that_it_does(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """There is no closed list here: JumpCloud adds services."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,telepathy")
    [failure] = scheduled(1)
    assert "400 Unknown service 'telepathy', supported values are:" in failure["reason"]


@pytest.mark.parametrize("first", ["directory,sso,radius", "all"])
def test_a_unit_read_again_with_fewer_services_loses_none(
    first: str, served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither where that leaves it with fewer events, nor where it would not."""
    served.add_events(ORG, of_many_services())
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", first)
    scheduled(1)
    landed = ids(settings, day(1))
    assert "radius" in landed
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso")
    served.add_events(ORG, [login(f"late {number}", day(1)[0] + DAY / 3) for number in range(5)])
    scheduled(1)
    assert set(ids(settings, day(1))) == {*landed, *(f"late {number}" for number in range(5))}
    assert [row[1:] for row in outcomes(settings, "scheduled 1")] == [
        ("ok", len(landed) + 5, "read again: 0 kept, 5 added, 0 changed")
    ]


def test_a_unit_that_another_run_lands_meanwhile_with_more_services_has_them(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.add_events(ORG, of_many_services())
    read_unit = event_reader.read_unit
    begun: list[str] = []

    def while_another_lands(*arguments: Any, **options: Any) -> Any:
        counts = read_unit(*arguments, **options)
        if not begun:
            begun.append("this run")
            monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,ldap")
            run_usage("another", *day(1))
        return counts

    monkeypatch.setattr("jumpcloud_elt.extract.events.read_unit", while_another_lands)
    scheduled(1)
    assert sorted(ids(settings, day(1))) == ["ldap", "noon 1"]
    assert [row[1:] for row in outcomes(settings, "scheduled 1")] == [
        ("ok", 1, "read again: 1 kept, 0 added, 0 changed")
    ]
    assert read_metadata(unit_path(settings.landing, ORG, *day(1)))["services"] == ["directory", "sso", "ldap"]


def test_a_unit_read_again_with_more_services_has_them(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.add_events(ORG, of_many_services())
    scheduled(1)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,ldap")
    scheduled(1)
    assert sorted(ids(settings, day(1))) == ["ldap", "noon 1"]


def drop(sandbox: Sandbox, *names: str) -> None:
    """JumpCloud lets go of events."""
    world = sandbox.world()
    for organization in world["organizations"]:
        organization["events"] = [event for event in organization["events"] if event["id"] not in names]
    sandbox.set_world(world)


def test_more_services_are_added_and_events_that_are_gone_stay(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.add_events(ORG, [login(name, day(2)[0] + DAY / 8) for name in ("early 1", "early 2")])
    scheduled(2)
    drop(served, "early 1")
    served.add_events(ORG, [login(f"radius {n}", day(2)[0] + DAY / 2 + n * DAY / 99, "radius") for n in range(9)])
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,radius")
    assert run_usage("wider", *day(2)) == []
    assert sorted(ids(settings, day(2))) == sorted(
        ["early 1", "early 2", "noon 2", *(f"radius {number}" for number in range(9))]
    )
    kept = "read again: 1 kept, 9 added, 0 changed"
    assert outcomes(settings, "wider") == [(day(2)[0], "ok", 11, kept)]
    served.add_events(ORG, [login("early 1", day(2)[0] + DAY / 8)])
    served.clear_requests()
    assert run_usage("wider", *day(2)) == []
    assert len(ids(settings, day(2))) == 12
    (row,) = [row for row in pq.read_table(settings.landing / "_runs").to_pylist() if row["run_id"] == "wider"]
    assert row["requests"] == len(read(served)) + len(counted(served)) == 2


# ---- the retention --------------------------------------------------------------------------------------------


@pytest.fixture
def keeps(served: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Sets for how many days the connection says that JumpCloud keeps events."""

    def keep(days: int) -> None:
        extra = {"usage_retention_days": days}
        monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(served.url, KEY, extra=extra))

    return keep


def coverage() -> list[tuple[Any, ...]]:
    rows = query(run_warehouse("warehouse"), "select interval_start, events, outcome, reason from usage_coverage "
                 "order by all")  # fmt: skip
    return [tuple(row.values()) for row in rows]


def test_what_is_older_than_the_retention_is_not_asked_for(
    served: Sandbox, settings: Settings, keeps: Callable[[int], None]
) -> None:
    keeps(2)
    served.clear_requests()
    assert run_usage("all", day(5)[0], day(1)[1]) == []
    assert read(served) == set(counted(served)) == starts(2, 1)
    reason = "older than JumpCloud keeps events for this connection (2 days)"
    assert outcomes(settings, "all") == [
        *((day(number)[0], "not_asked", None, reason) for number in (5, 4, 3)),
        *((day(number)[0], "ok", 1, None) for number in (2, 1)),
    ]
    assert coverage() == [(day(2)[0], 1, "ok", None), (day(1)[0], 1, "ok", None)]


def test_an_empty_unit_that_began_before_the_retention_does_not_pass_for_no_usage(
    served: Sandbox, settings: Settings, keeps: Callable[[int], None]
) -> None:
    """Whether or not something older has been seen."""
    scheduled(5)
    drop(served, "noon 2", "noon 1")
    keeps(2)
    assert run_usage("all", day(2)[0], day(1)[1]) == []
    gone = "Empty, and begun before JumpCloud's retention when it was read: events may have been gone."
    assert coverage() == [(day(5)[0], 1, "ok", None), (day(2)[0], 0, "unverified", gone), (day(1)[0], 0, "ok", None)]


def test_what_was_read_before_the_retention_passed_it_stays_whole(
    served: Sandbox, settings: Settings, keeps: Callable[[int], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    drop(served, "noon 2")
    scheduled(3)
    scheduled(2)
    keeps(2)
    assert run_usage("again", *day(2)) == []
    assert [row[:3] for row in coverage()] == [(day(3)[0], 1, "ok"), (day(2)[0], 0, "ok")]
    # Whatever else is asked for later.
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,radius")
    assert run_usage("wider", *day(2)) == []
    assert [row[:3] for row in coverage()] == [(day(3)[0], 1, "ok"), (day(2)[0], 0, "ok")]


# ---- the lag --------------------------------------------------------------------------------------------------


@pytest.fixture
def at(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Callable[[datetime], None]:
    """Sets the clock; a quarter of an hour is waited for late events."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_ARRIVAL_LAG_MINUTES", "15")
    return lambda now: monkeypatch.setattr("jumpcloud_elt.tasks.usage.utc_now", lambda: now)


def run_of(run_type: str | None, interval: tuple[datetime, datetime] | None) -> SimpleNamespace:
    start, end = (moment.replace(tzinfo=UTC) for moment in interval) if interval else (None, None)
    return SimpleNamespace(run_type=run_type, data_interval_start=start, data_interval_end=end)


def planned(*intervals: tuple[datetime, datetime]) -> list[tuple[str, str]]:
    return [(start.isoformat(), end.isoformat()) for start, end in intervals]


@pytest.mark.parametrize("run_type", ["scheduled", "backfill"])
def test_an_interval_is_not_read_before_its_events_have_had_time_to_arrive(
    run_type: str, at: Callable[[datetime], None]
) -> None:
    end = day(1)[1]
    for minutes in (0, 14.99):
        at(end + timedelta(minutes=minutes))
        with pytest.raises(AirflowRescheduleException) as raised:
            usage.plan_units(run_of(run_type, day(1)), {})
        assert raised.value.reschedule_date == (end + timedelta(minutes=15)).replace(tzinfo=UTC)
    at(end + timedelta(minutes=15))
    assert usage.plan_units(run_of(run_type, day(1)), {}) == planned(day(1))


def test_a_run_by_hand_reads_the_interval_that_was_complete_a_lag_ago(at: Callable[[datetime], None]) -> None:
    end = day(1)[1]
    at(end + timedelta(minutes=14))
    assert usage.plan_units(run_of("manual", None), {}) == planned(day(2))
    at(end + timedelta(minutes=15))
    assert usage.plan_units(run_of("manual", None), {}) == planned(day(1))


def test_a_range_or_an_interval_that_a_person_asked_for_is_read_at_once(at: Callable[[datetime], None]) -> None:
    start, end = day(1)
    at(end + timedelta(minutes=1))
    params = {"start": f"{start.isoformat()}Z", "end": f"{end.isoformat()}Z"}
    assert usage.plan_units(run_of("manual", None), params) == planned(day(1))
    assert usage.plan_units(run_of("manual", day(1)), {}) == planned(day(1))


@pytest.mark.parametrize("run_type", ["manual", "asset_triggered", None])
def test_an_interval_that_has_not_ended_is_refused_whoever_asks(
    run_type: str | None, at: Callable[[datetime], None]
) -> None:
    start, end = day(1)
    at(end - timedelta(microseconds=1))
    words = f"^The run's interval {start} to {end} UTC given; allowed: one that has ended"
    with pytest.raises(AirflowFailException, match=words):
        usage.plan_units(run_of(run_type, day(1)), {})
    params = {"start": f"{start.isoformat()}Z", "end": f"{end.isoformat()}Z"}
    with pytest.raises(AirflowFailException, match=f"^end: '{params['end']}' given; allowed: a time that has passed"):
        usage.plan_units(run_of(run_type, None), params)
    at(end)
    assert usage.plan_units(run_of(run_type, day(1)), {}) == planned(day(1))
    assert usage.plan_units(run_of(run_type, None), params) == planned(day(1))
