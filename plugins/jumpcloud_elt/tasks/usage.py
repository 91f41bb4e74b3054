"""What the tasks of jumpcloud_usage do: who can be asked, which intervals, land them, record, in Airflow's states.

Work is in the modules called here, wiring in `dags/`; what both syncing Dags do is in `common`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.connections.check import count_events_until
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.core.account import USAGE_RETENTION_DAYS
from jumpcloud_elt.core.airflow_compat import AirflowRescheduleException, AirflowSkipException
from jumpcloud_elt.core.intervals import Interval, last_complete_interval, read_usage_cron, split_into_units
from jumpcloud_elt.core.organization import Organization, note_error
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.times import parse_moment, utc_now
from jumpcloud_elt.errors import ConfigurationError, JumpCloudError, NotEnabledError, PermissionDeniedError
from jumpcloud_elt.extract import catch_up, events
from jumpcloud_elt.landing import inventory
from jumpcloud_elt.landing.layout import EVENTS, landed_units
from jumpcloud_elt.landing.manifests import CATCH_UP, EXCLUDED, FAILED, NOT_ASKED, OK, SKIPPED, Outcome, failure
from jumpcloud_elt.landing.units import read_landed_unit
from jumpcloud_elt.tasks import common
from jumpcloud_elt.tasks.common import settings_or_fail

log = logging.getLogger(__name__)

# Types of Dag runs, as Airflow calls them.
SCHEDULED, BACKFILL, MANUAL = "scheduled", "backfill", "manual"
PROBE_THREADS = 8
LONGEST_RETENTION = timedelta(days=366)
NOT_READ = "Its usage is not read: [jumpcloud_elt] usage_exclude names it, or its connection"


class ProbedOrganization(Organization):
    """An organization, and why its Directory Insights cannot be read (None: they can)."""

    unavailable: str | None


def probe_directory_insights(listed: Sequence[Organization]) -> list[ProbedOrganization]:
    """Ask each organization whether its events can be read, without reading any."""
    settings = settings_or_fail()
    with ThreadPoolExecutor(PROBE_THREADS) as pool:
        return list(pool.map(lambda one: _probe(one, settings), listed))


def choose_usage_branch(probed: Sequence[ProbedOrganization], extract: str, unavailable: str) -> str:
    """The task to follow: `unavailable` when no organization has Directory Insights, else `extract`."""
    return unavailable if all(one["unavailable"] for one in probed) else extract


def record_unavailable(probed: Sequence[ProbedOrganization], run_of: dict[str, str]) -> None:
    """Leave the reason why no organization's events are read."""
    settings = settings_or_fail()
    for organization in probed:
        log.info("%s: %s", organization["organization_name"], organization["unavailable"])
        common.run_in_landing(settings, run_of).add(organization, [_skipped(organization)])


def extract_events(
    organization: ProbedOrganization,
    run_of: dict[str, str],
    intervals: Sequence[tuple[str, str]],
) -> int:
    """Land an organization's events unit by unit; return the number of rows. Skipped where it has none to give.

    What an earlier try of the task has read whole is not read again.
    """
    settings = settings_or_fail()
    if organization.get("error_can_heal"):
        organization = _probe(organization | {"error": None}, settings)
    if organization["unavailable"]:
        common.run_in_landing(settings, run_of).add(organization, [_skipped(organization)])
        raise _skip(organization)
    run = common.run_in_landing(settings, run_of)

    def read(client: JumpCloudClient, landed: list[Outcome]) -> None:
        oldest = utc_now() - timedelta(days=client.account.usage_retention_days)
        # An earlier try of the task may have read some whole; a run that has been recorded remembers none.
        whole = {(one.interval_start, one.interval_end) for one in run.outcomes_of(organization) if one.outcome == OK}
        units = [one for one in _from_xcom(intervals) if one not in whole]
        retention_days = client.account.usage_retention_days
        landed.extend(_not_asked(organization, one, retention_days) for one in units if one[1] <= oldest)
        events.land_units(client, organization, [one for one in units if one[1] > oldest], settings, landed)

    return _land(organization, run_of, settings, read, interval=_whole(intervals))


def choose_organizations_to_catch_up(
    probed: Sequence[ProbedOrganization], run_of: dict[str, str], dag_run: Any, params: dict[str, Any]
) -> list[ProbedOrganization]:
    """The organizations of which a run reads what lacks, those of which the least is known first.

    None in backfills and in runs that were asked for a range or a date; none that failed or has no usage to read. What
    JumpCloud soon no longer keeps of one that is not chosen is left as an outcome.
    """
    settings = settings_or_fail()
    is_by_hand = dag_run.run_type == MANUAL and dag_run.logical_date is None and not _asked_for(params)
    if not (dag_run.run_type == SCHEDULED or is_by_hand):
        return []
    run = common.run_in_landing(settings, run_of)
    chosen = []
    for organization in probed:
        ended = {one.outcome for one in run.outcomes_of(organization)}
        if organization["unavailable"] or not ended.isdisjoint((SKIPPED, EXCLUDED)):
            continue
        if settings.usage_catch_up_minutes and FAILED not in ended:
            chosen.append(organization)
        elif ended and organization["organization_id"]:
            # Nobody reads it: what is about to be lost is told all the same.
            with suppress(ConfigurationError), open_client(organization["connection_id"], settings) as client:
                run.add(organization, catch_up.find_leaving(client, organization, settings), step=CATCH_UP)
    return catch_up.order_by_need(chosen, settings)


def catch_up_events(
    organization: ProbedOrganization, run_of: dict[str, str], intervals: Sequence[tuple[str, str]], dag_run: Any
) -> int:
    """Land what lacks of an organization before the run's interval; return the number of rows.

    No unit begins once `usage_catch_up_minutes` have passed since the run began, or since the events of its interval
    had had time to arrive.
    """
    settings = settings_or_fail()
    if organization.get("error_can_heal"):
        # Its own interval has landed meanwhile.
        organization = organization | {"error": None}
    units = _from_xcom(intervals)
    before, arrived = units[0][0], units[-1][1] + timedelta(minutes=settings.usage_arrival_lag_minutes)
    until = max(_naive(dag_run.start_date), arrived) + timedelta(minutes=settings.usage_catch_up_minutes)

    def read(client: JumpCloudClient, landed: list[Outcome]) -> None:
        catch_up.catch_up(client, organization, before, settings, until, landed)

    # Where it fails, any unit that JumpCloud may have kept may have landed anew.
    interval = (before - LONGEST_RETENTION, before)
    return _land(organization, run_of, settings, read, interval=interval, step=CATCH_UP)


def plan_units(dag_run: Any, params: dict[str, Any]) -> list[tuple[str, str]]:
    """The units of this run, as ISO times: of the params `start` and `end`, else of the run's data interval, else
    of the last interval of the schedule that was complete `usage_arrival_lag_minutes` ago (a run started by hand has
    no data interval).

    A scheduled or backfill run whose interval ended later than that raises AirflowRescheduleException: Airflow frees
    the worker and tries again then. Of anybody else an interval that has not ended is refused: it would be taken for
    read.
    """
    settings = settings_or_fail()

    def plan() -> list[tuple[str, str]]:
        cron = read_usage_cron(settings.usage_schedule)
        lag = timedelta(minutes=settings.usage_arrival_lag_minutes)
        interval = _asked_for(params) or _data_interval(dag_run)
        if interval is None:
            interval = last_complete_interval(cron, utc_now() - lag)
        elif not _asked_for(params) and getattr(dag_run, "run_type", None) in (SCHEDULED, BACKFILL):
            arrived = interval[1] + lag
            if arrived > utc_now():
                log.info(
                    "The interval ended at %s UTC; it is read at %s, when its events have arrived", interval[1], arrived
                )
                raise AirflowRescheduleException(arrived.replace(tzinfo=UTC))  # type: ignore[no-untyped-call]
        elif interval[1] > utc_now():
            raise ConfigurationError(
                f"The run's interval {interval[0]} to {interval[1]} UTC given; allowed: one that has ended, such "
                "as that of a logical date that has passed"
            )
        return [(a.isoformat(), b.isoformat()) for a, b in split_into_units(*interval, cron)]

    return common.or_fail(plan)


def record_usage_run(
    listed: Sequence[Organization] | None,
    run_of: dict[str, str],
    intervals: Sequence[tuple[str, str]] | None,
    *,
    is_restricted: bool = False,
    event: Any = None,
) -> list[common.Failure]:
    """Write the run's manifest and return the organizations that failed; `intervals` are those of `plan_units`, `event`
    is the asset event that says what has landed.

    Units of these organizations that have landed and that no manifest names, or that have landed anew since, because a
    task or a run was killed, are recorded, too.
    """
    settings = settings_or_fail()
    interval = _whole(intervals or [])
    if listed is None or interval is None:
        return common.record_run(None, run_of, EVENTS, is_restricted=False)
    failures = common.record_run(listed, run_of, EVENTS, is_restricted=is_restricted, interval=interval, event=event)
    of = {str(one["organization_id"]) for one in listed if one["organization_id"]}
    # What JumpCloud no longer keeps nobody lands anew.
    since = utc_now() - timedelta(days=USAGE_RETENTION_DAYS)
    inventory.record_unknown(settings.landing, common.run_in_landing(settings, run_of), of=of, since=since)
    return failures


def _land(
    organization: ProbedOrganization,
    run_of: dict[str, str],
    settings: Settings,
    read: Callable[[JumpCloudClient, list[Outcome]], None],
    *,
    interval: Interval | None,
    step: str = "",
) -> int:
    """Leave what `read` lands for the manifest; return the number of rows.

    Raises AirflowSkipException where Directory Insights are refused by now, as they are when they are probed.
    """
    landed: list[Outcome] = []
    probed = organization

    def extract(client: JumpCloudClient) -> list[Outcome]:
        nonlocal probed
        try:
            read(client, landed)
        except (NotEnabledError, PermissionDeniedError):
            probed = _probe(organization, settings)
            if known := common.known_error([probed]):
                raise known from None
            if not probed["unavailable"]:
                raise
            landed.append(_skipped(probed))
        return landed

    common.leaving_outcomes(
        organization, run_of, EVENTS, settings, extract, so_far=landed, interval=interval, step=step
    )
    if probed["unavailable"]:
        raise _skip(probed)
    return sum(outcome.rows or 0 for outcome in landed)


def _probe(organization: Organization, settings: Settings) -> ProbedOrganization:
    probed = ProbedOrganization(**{**organization, "unavailable": None})
    if _is_excluded(organization, settings):
        # Whatever is wrong with it: nobody wants to know.
        probed["error"], probed["unavailable"] = None, NOT_READ
        return probed
    if organization["error"] is not None:
        return probed
    organization_id = str(organization["organization_id"])
    try:
        with open_client(organization["connection_id"], settings) as client:
            count_events_until(client, organization_id, utc_now())
    except NotEnabledError as error:
        probed["unavailable"] = f"Directory Insights is not enabled for this organization (402 {error.detail})"
    except PermissionDeniedError as error:
        told = f"The key may not read Directory Insights of this organization (403 {error.detail})"
        if _has_landed_events(organization_id, settings):
            probed["error"] = (
                f"{told}, as it did before. Give the key's administrator the right again, or name the organization in "
                "[jumpcloud_elt] usage_exclude"
            )
        else:
            probed["unavailable"] = told
    except JumpCloudError as error:
        note_error(probed, error)
    return probed


def _has_landed_events(organization_id: str, settings: Settings) -> bool:
    units = sorted(landed_units(settings.landing, organization_id).items(), reverse=True)
    return any(unit is not None and unit.rows for unit in (read_landed_unit(path) for _, path in units))


def _is_excluded(organization: Organization, settings: Settings) -> bool:
    return not {organization["organization_id"], organization["connection_id"]}.isdisjoint(settings.usage_exclude)


def _skipped(organization: ProbedOrganization) -> Outcome:
    outcome = failure(organization, EVENTS, str(organization["unavailable"]))
    outcome.outcome = EXCLUDED if organization["unavailable"] == NOT_READ else SKIPPED
    return outcome


def _skip(organization: ProbedOrganization) -> AirflowSkipException:
    told = f"{organization['organization_name']}: {organization['unavailable']}"
    # Airflow itself shows why a task was skipped in a fold of its log only.
    log.info("%s", told)
    return AirflowSkipException(told)


def _not_asked(organization: Organization, interval: Interval, retention_days: int) -> Outcome:
    outcome = failure(
        organization, EVENTS, f"older than JumpCloud keeps events for this connection ({retention_days} days)"
    )
    outcome.outcome = NOT_ASKED
    outcome.interval_start, outcome.interval_end = interval
    return outcome


def _asked_for(params: dict[str, Any]) -> Interval | None:
    start, end = params.get("start"), params.get("end")
    if not start and not end:
        return None
    if not (start and end):
        given, missing = ("start", "end") if start else ("end", "start")
        raise ConfigurationError(f"{missing}: missing; {given} was given; allowed: both or neither")
    interval = parse_moment(start, "start"), parse_moment(end, "end")
    if interval[0] >= interval[1]:
        raise ConfigurationError(f"end: {end!r} given; allowed: a time after start ({start!r})")
    if interval[1] > utc_now():
        raise ConfigurationError(f"end: {end!r} given; allowed: a time that has passed")
    return interval


def _data_interval(dag_run: Any) -> Interval | None:
    start, end = dag_run.data_interval_start, dag_run.data_interval_end
    if start is None or end is None or start == end:
        return None
    return _naive(start), _naive(end)


def _naive(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(tzinfo=None)


def _from_xcom(intervals: Sequence[tuple[str, str]]) -> list[Interval]:
    return [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in intervals]


def _whole(intervals: Sequence[tuple[str, str]]) -> Interval | None:
    """From the start of the first to the end of the last; None of none."""
    units = _from_xcom(intervals)
    return (min(start for start, _ in units), max(end for _, end in units)) if units else None
