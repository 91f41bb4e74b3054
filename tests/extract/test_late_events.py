"""Events that arrive after their interval was read: waited for a little, then found by JumpCloud's own counts."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pendulum
import pyarrow.parquet as pq
import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException
from airflow.timetables.base import DataInterval, TimeRestriction
from airflow.timetables.interval import CronDataIntervalTimetable

from jumpcloud_elt.core.intervals import read_cron
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.extract import event_reader
from jumpcloud_elt.landing.files import read_metadata
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
    reason = "read again for events that came late: 2 received, 1 had landed"
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
    assert [row[:3] for row in outcomes(settings, "scheduled 1")] == [
        (day(1)[0], "failed", None),
        (day(1)[0], "ok", 1),
    ]
    assert ids(settings, day(2)) == ["noon 2"]


def test_a_reconciling_run_that_is_run_again_keeps_what_it_recorded(served: Sandbox, settings: Settings) -> None:
    scheduled(2)
    served.add_events(ORG, [login("late", day(2)[0] + DAY / 3)])
    scheduled(1)
    scheduled(1)
    assert [row[:3] for row in outcomes(settings, "scheduled 1")] == [(day(2)[0], "ok", 2), (day(1)[0], "ok", 1)]


def test_only_the_folders_of_the_days_asked_for_are_listed(settings: Settings) -> None:
    hour = timedelta(hours=1)
    units = [day(3), day(2), (day(2)[0], day(2)[0] + hour), (day(2)[0] + hour, day(2)[0] + 2 * hour), day(1)]
    for unit in units:
        path = unit_path(settings.landing, ORG, *unit)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        path.with_name(f".{path.name}.0.tmp").touch()
    odd = unit_path(settings.landing, ORG, *day(9))
    odd.parent.mkdir(parents=True)
    odd.with_name("odd.parquet").touch()
    assert landed_units(settings.landing, ORG, *day(2)) == sorted(units[1:4])
    assert landed_units(settings.landing, ORG, day(2)[0] + hour, TODAY) == [units[3], units[4]]
    assert landed_units(settings.landing, "f" * 24, *day(2)) == []
    with pytest.raises(LandingError, match="'odd' is not a time"):
        landed_units(settings.landing, ORG, *day(9))


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
    reason = "no earlier run had landed it"
    assert outcomes(settings, "scheduled 2") == [(day(3)[0], "ok", 1, reason), (day(2)[0], "ok", 1, None)]


def test_a_scheduled_run_heals_a_downtime_of_no_more_than_the_days_that_it_reconciles(
    served: Sandbox, settings: Settings
) -> None:
    scheduled(6)
    served.clear_requests()
    scheduled(2)
    assert read(served) == starts(5, 4, 3, 2)
    # None of these is counted a second time.
    assert sorted(counted(served)) == sorted(starts(5, 4, 3, 2))


def test_a_longer_downtime_is_left_to_a_backfill(served: Sandbox, settings: Settings) -> None:
    scheduled(7)
    served.clear_requests()
    scheduled(2)
    scheduled(1)
    assert read(served) == starts(2, 1)


def test_an_organization_that_is_new_reads_its_interval_alone(served: Sandbox, settings: Settings) -> None:
    scheduled(1)
    assert read(served) == starts(1)


@pytest.mark.parametrize(("run_type", "days"), [("backfill", 3), ("manual", 3), ("scheduled", 0)])
def test_gaps_are_left_by_backfills_by_runs_by_hand_and_where_nothing_is_reconciled(
    run_type: str, days: int, served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_RECONCILE_DAYS", str(days))
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

    extract = usage.extract_events

    def killed(*arguments: Any) -> int:
        with pytest.raises(KeyboardInterrupt):
            extract(*arguments)
        return 0

    monkeypatch.setattr("jumpcloud_elt.extract.late_events.find_differences", die)
    monkeypatch.setattr(usage, "extract_events", killed)
    assert len(scheduled(2)) == 1
    warehouse = run_warehouse("warehouse")
    rows = query(warehouse, "select interval_start, events from usage_coverage order by all")
    assert [tuple(row.values()) for row in rows] == [(day(number)[0], 1) for number in (4, 3, 2)]


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
    assert [row[1:] for row in outcomes(settings, "scheduled 1")] == [("ok", len(landed) + 5, None)]


def test_a_unit_that_another_run_lands_meanwhile_with_more_services_stays(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.add_events(ORG, of_many_services())
    read_complete_unit = event_reader.read_complete_unit
    begun: list[str] = []

    def while_another_lands(*arguments: Any, **options: Any) -> Any:
        counts = read_complete_unit(*arguments, **options)
        if not begun:
            begun.append("this run")
            monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,ldap")
            run_usage("another", *day(1))
        return counts

    monkeypatch.setattr("jumpcloud_elt.extract.events.read_complete_unit", while_another_lands)
    scheduled(1)
    assert sorted(ids(settings, day(1))) == ["ldap", "noon 1"]
    [(_, outcome, received, reason)] = outcomes(settings, "scheduled 1")
    assert (outcome, received) == ("kept", 1)
    assert reason.endswith("They landed meanwhile, with services that this run did not ask for: ldap.")


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


def test_more_services_do_not_hide_that_events_are_gone(
    served: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    served.add_events(ORG, [login(name, day(2)[0] + DAY / 8) for name in ("early 1", "early 2")])
    scheduled(2)
    drop(served, "early 1")
    served.add_events(ORG, [login(f"radius {n}", day(2)[0] + DAY / 2 + n * DAY / 99, "radius") for n in range(9)])
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,radius")
    assert run_usage("wider", *day(2)) == []
    assert sorted(ids(settings, day(2))) == ["early 1", "early 2", "noon 2"]
    kept = "2 events of directory, sso counted, 3 have landed; these stay. JumpCloud no longer keeps the others."
    assert outcomes(settings, "wider") == [(day(2)[0], "kept", 11, kept)]
    served.add_events(ORG, [login("early 1", day(2)[0] + DAY / 8)])
    served.clear_requests()
    assert run_usage("wider", *day(2)) == []
    assert len(ids(settings, day(2))) == 12
    (row,) = [row for row in pq.read_table(settings.landing / "_runs").to_pylist() if row["run_id"] == "wider"]
    assert row["requests"] == len(read(served)) + len(counted(served)) == 3


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
    # Of other services nobody had asked while they were there.
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", "directory,sso,radius")
    assert run_usage("wider", *day(2)) == []
    assert [row[:3] for row in coverage()] == [(day(3)[0], 1, "ok"), (day(2)[0], 0, "unverified")]


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
