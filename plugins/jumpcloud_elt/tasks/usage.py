"""What the common of jumpcloud_usage do: who can be asked, which intervals, land them, record, in Airflow's states.

Work is in the modules called here, wiring in `dags/`; what both syncing Dags do is in `common`.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowRescheduleException, AirflowSkipException

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.insights import PROBED_RANGE
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.core.intervals import Interval, last_complete_interval, read_usage_cron, split_into_units
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.core.times import parse_moment, utc_now
from jumpcloud_elt.errors import ConfigurationError, JumpCloudError, NotEnabledError, PermissionDeniedError
from jumpcloud_elt.extract import events, late_events
from jumpcloud_elt.extract.late_events import _fill_gaps, _reconcile
from jumpcloud_elt.landing import inventory
from jumpcloud_elt.landing.layout import EVENTS
from jumpcloud_elt.landing.manifests import NOT_ASKED, SKIPPED, Outcome, failure
from jumpcloud_elt.tasks import common

log = logging.getLogger(__name__)

# Types of Dag runs, as Airflow calls them; backfills and runs by hand leave what has landed to the scheduled ones.
SCHEDULED, BACKFILL = "scheduled", "backfill"
PROBE_THREADS = 8


class ProbedOrganization(Organization):
    """An organization, and why its Directory Insights cannot be read (None: they can)."""

    unavailable: str | None


def probe_directory_insights(listed: Sequence[Organization]) -> list[ProbedOrganization]:
    """Ask each organization whether its events can be read, without reading any."""
    settings = read_settings()
    with ThreadPoolExecutor(PROBE_THREADS) as pool:
        return list(pool.map(lambda one: _probe(one, settings), listed))


def choose_usage_branch(probed: Sequence[ProbedOrganization], extract: str, unavailable: str) -> str:
    """The task to follow: `unavailable` when no organization has Directory Insights, else `extract`."""
    return unavailable if all(one["unavailable"] for one in probed) else extract


def record_unavailable(probed: Sequence[ProbedOrganization], run_of: dict[str, str]) -> None:
    """Leave the reason why no organization's events are read."""
    settings = read_settings()
    for organization in probed:
        log.info("%s: %s", organization["organization_name"], organization["unavailable"])
        common.run_in_landing(settings, run_of).add(
            organization, [_skipped(organization, str(organization["unavailable"]))]
        )


def extract_events(
    organization: ProbedOrganization,
    run_of: dict[str, str],
    intervals: Sequence[tuple[str, str]],
    run_type: str | None = None,
) -> int:
    """Land an organization's events unit by unit; return the number of rows. Skipped where it has none to give.

    A scheduled run also reads, of the days before, the gaps between landed units, and again the units of which
    JumpCloud counts more by now.
    """
    settings = read_settings()
    if organization["unavailable"]:
        common.run_in_landing(settings, run_of).add(organization, [_skipped(organization, organization["unavailable"])])
        # Airflow itself shows why a task was skipped in a fold of its log only.
        log.info("%s: %s", organization["organization_name"], organization["unavailable"])
        raise AirflowSkipException(f"{organization['organization_name']}: {organization['unavailable']}")
    landed: list[Outcome] = []

    def extract(client: JumpCloudClient) -> list[Outcome]:
        oldest = utc_now() - timedelta(days=client.account.usage_retention_days)
        units = _from_xcom(intervals)
        retention_days = client.account.usage_retention_days
        landed.extend(_not_asked(organization, one, retention_days) for one in units if one[1] <= oldest)
        events.land_units(client, organization, [one for one in units if one[1] > oldest], settings, landed)
        if run_type == SCHEDULED and units:
            before = units[0][0]
            landed_before = late_events.landed_before(str(organization["organization_id"]), before, settings)
            _fill_gaps(
                client, organization, late_events.find_gaps(client, landed_before, before, settings), settings, landed
            )
            _reconcile(client, organization, landed_before, before, settings, landed)
        return landed

    interval = _whole(intervals)
    outcomes = common.leaving_outcomes(
        organization, run_of, EVENTS, settings, extract, so_far=landed, interval=interval
    )
    return sum(outcome.rows or 0 for outcome in outcomes)


def plan_units(dag_run: Any, params: dict[str, Any]) -> list[tuple[str, str]]:
    """The units of this run, as ISO times: of the params `start` and `end`, else of the run's data interval, else
    of the last interval of the schedule that was complete `usage_arrival_lag_minutes` ago (a run started by hand has
    no data interval).

    A scheduled or backfill run whose interval ended later than that raises AirflowRescheduleException: Airflow frees
    the worker and tries again then. Of anybody else an interval that has not ended is refused: it would be taken for
    read.
    """
    settings = read_settings()

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
    run_type: str | None = None,
) -> list[common.Failure]:
    """Write the run's manifest and return the organizations that failed; `intervals` are those of `plan_units`.

    What an organization's task had landed when it was killed is recorded all the same.
    """
    settings = read_settings()
    interval = _whole(intervals or [])
    if listed is None or interval is None:
        return common.record_run(None, run_of, EVENTS, is_restricted=False)
    start, end = interval
    since = start - timedelta(days=settings.usage_reconcile_days) if run_type == SCHEDULED else start
    return common.record_run(
        listed,
        run_of,
        EVENTS,
        is_restricted=False,
        interval=interval,
        find_landed=lambda organization: inventory.find_units(settings.landing, organization, since, end),
    )


def _probe(organization: Organization, settings: Settings) -> ProbedOrganization:
    probed = ProbedOrganization(**organization, unavailable=None)
    if organization["error"] is not None:
        return probed
    end = datetime.now(UTC).replace(microsecond=0)
    organization_id = str(organization["organization_id"])
    try:
        with open_client(organization["connection_id"], settings) as client:
            try:
                client.count_events(organization_id, settings.usage_services, end - PROBED_RANGE, end)
            except (NotEnabledError, PermissionDeniedError) as error:
                probed["unavailable"], probed["error"] = _why_unavailable(client, organization, error)
    except JumpCloudError as error:
        probed["error"] = str(error)
    return probed


def _why_unavailable(
    client: JumpCloudClient, organization: Organization, error: NotEnabledError | PermissionDeniedError
) -> tuple[str | None, str | None]:
    """Whether the answer is about Directory Insights (reason, None) or about the key itself (None, error)."""
    try:
        client.get("/api/systemusers", {"limit": 1}, organization_id=organization["organization_id"])
    except JumpCloudError as users_error:
        return None, f"{users_error} (Directory Insights refused too: {error.status} {error.detail})"
    if isinstance(error, NotEnabledError):
        return f"Directory Insights is not enabled for this organization (402 {error.detail})", None
    return f"The key may not read Directory Insights of this organization (403 {error.detail})", None


def _skipped(organization: Organization, reason: str) -> Outcome:
    outcome = failure(organization, EVENTS, reason)
    outcome.outcome = SKIPPED
    return outcome


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
    return tuple(moment.astimezone(UTC).replace(tzinfo=None) for moment in (start, end))


def _from_xcom(intervals: Sequence[tuple[str, str]]) -> list[Interval]:
    return [(datetime.fromisoformat(start), datetime.fromisoformat(end)) for start, end in intervals]


def _whole(intervals: Sequence[tuple[str, str]]) -> Interval | None:
    """From the start of the first to the end of the last; None of none."""
    units = _from_xcom(intervals)
    return (min(start for start, _ in units), max(end for _, end in units)) if units else None
