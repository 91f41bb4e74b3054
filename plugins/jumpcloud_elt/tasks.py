"""What the Dags' tasks do: call the package, leave an outcome in landing, speak Airflow's states.

An error that the package raises on purpose has been retried as often as it deserves, so it fails the task at
once; Airflow's own retries are for workers that are lost. Wiring is in `dags/`, work in the modules called here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, TypeVar

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowRescheduleException, AirflowSkipException

from jumpcloud_elt import (
    capabilities,
    checkpoints,
    connection_check,
    directory,
    events,
    forget,
    late,
    notifications,
    organizations,
    problems,
    publishing,
    warehouse,
)
from jumpcloud_elt.errors import (
    ConfigurationError,
    JumpCloudError,
    NotEnabledError,
    PermissionDeniedError,
    WarehouseError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.intervals import (
    Interval,
    last_complete_interval,
    parse_moment,
    read_cron,
    split_into_units,
)
from jumpcloud_elt.landing import EVENTS, utc_now
from jumpcloud_elt.organizations import Organization
from jumpcloud_elt.places import open_data_root
from jumpcloud_elt.runs import FAILED, NOT_ASKED, OK, SKIPPED, Outcome, Run, failure
from jumpcloud_elt.settings import Settings, read_settings
from jumpcloud_elt.snapshots import Accepted

log = logging.getLogger(__name__)

T = TypeVar("T")

DIRECTORY = "directory"
# Types of Dag runs, as Airflow calls them; backfills and runs by hand leave what has landed to the scheduled ones.
SCHEDULED, BACKFILL = "scheduled", "backfill"
PROBE_THREADS = 8
PROBED_RANGE = timedelta(hours=1)


class ProbedOrganization(Organization):
    """An organization, and why its Directory Insights cannot be read (None: they can)."""

    unavailable: str | None


class Failure(TypedDict):
    """An organization that failed in this run."""

    organization_name: str
    reason: str


def list_organizations(only: Sequence[str], *, with_credentials: bool = False) -> list[Organization]:
    """The organizations to sync in this run; raises AirflowFailException with what to do where there is none.

    `with_credentials`: with what is known of each connection's key.
    """
    settings = read_settings()
    asked_for = [one.lower() for one in only]

    def list_them() -> list[Organization]:
        # A store that cannot be used is told before JumpCloud is asked for anything.
        open_data_root(settings.data_root)
        return organizations.list_organizations(settings, asked_for, with_credentials=with_credentials)

    return _or_fail(list_them)


def extract_directory(
    organization: Organization, run_of: dict[str, str], accept_drop: Sequence[str] = (), *, deleted: int = 0
) -> int:
    """Land one snapshot of an organization, and what can be done with it; return the number of rows.

    `accept_drop` names the organizations (by id) whose drop in users this run accepts; `deleted` is how many users
    this run has deleted itself.
    """
    settings = read_settings()

    def extract(hook: JumpCloudHook) -> list[Outcome]:
        is_accepted = str(organization["organization_id"]) in [one.lower() for one in accept_drop]
        accepted = Accepted(run_of["run_id"], None if is_accepted else deleted)
        return directory.land_directory(hook, organization, settings, accepted)

    is_synced = False
    try:
        outcomes = _leaving_outcomes(organization, run_of, DIRECTORY, settings, extract)
        is_synced = True
    finally:
        # One that was asked for and that nobody sees has no connection.
        if organization["organization_id"] and organization["connection_id"]:
            capabilities.land_capabilities(settings, organization, run_of["run_id"], is_synced=is_synced)
    return sum(outcome.rows or 0 for outcome in outcomes)


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
        _run(settings, run_of).add(organization, [_skipped(organization, str(organization["unavailable"]))])


def extract_events(
    organization: ProbedOrganization,
    run_of: dict[str, str],
    intervals: Sequence[tuple[str, str]],
    run_type: str | None = None,
) -> int:
    """Land an organization's events unit by unit; return the number of rows. Skipped where it has none to give.

    A scheduled run also reads again what JumpCloud counts differently by now of the days before.
    """
    settings = read_settings()
    if organization["unavailable"]:
        _run(settings, run_of).add(organization, [_skipped(organization, organization["unavailable"])])
        # Airflow itself shows why a task was skipped in a fold of its log only.
        log.info("%s: %s", organization["organization_name"], organization["unavailable"])
        raise AirflowSkipException(f"{organization['organization_name']}: {organization['unavailable']}")
    landed: list[Outcome] = []

    def extract(hook: JumpCloudHook) -> list[Outcome]:
        oldest = utc_now() - timedelta(days=hook.account.usage_retention_days)
        units = _from_xcom(intervals)
        retention_days = hook.account.usage_retention_days
        landed.extend(_not_asked(organization, one, retention_days) for one in units if one[1] <= oldest)
        events.land_units(hook, organization, [one for one in units if one[1] > oldest], settings, landed)
        if run_type == SCHEDULED and units:
            _reconcile(hook, organization, units[0][0], settings, landed)
        return landed

    interval = _whole(intervals)
    outcomes = _leaving_outcomes(organization, run_of, EVENTS, settings, extract, so_far=landed, interval=interval)
    return sum(outcome.rows or 0 for outcome in outcomes)


def plan_units(dag_run: Any, params: dict[str, Any]) -> list[tuple[str, str]]:
    """The units of this run, as ISO times: of the params `start` and `end`, else of the run's data interval, else
    of the last interval of the schedule that was complete `usage_arrival_lag_minutes` ago (a run started by hand has
    no data interval).

    A scheduled or backfill run whose interval ended later than that raises AirflowRescheduleException: Airflow frees
    the worker and tries again then.
    """
    settings = read_settings()

    def plan() -> list[tuple[str, str]]:
        cron = read_cron(settings.usage_schedule, "usage_schedule") or "0 0 * * *"
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
        return [(a.isoformat(), b.isoformat()) for a, b in split_into_units(*interval, cron)]

    return _or_fail(plan)


def record_run(
    listed: Iterable[Organization] | None,
    run_of: dict[str, str],
    stream: str,
    *,
    is_restricted: bool,
    intervals: Sequence[tuple[str, str]] = (),
) -> list[Failure]:
    """Write the run's manifest and return the organizations that failed; `intervals` are those of `plan_units`."""
    if listed is None:
        raise AirflowSkipException("Nothing was tried; there is nothing to record.")
    run = _run(read_settings(), run_of)
    outcomes = run.write_manifest(listed, stream, is_restricted=is_restricted, interval=_whole(intervals))
    return [
        Failure(organization_name=outcome.organization_name, reason=outcome.reason or "")
        for outcome in outcomes
        if outcome.outcome == FAILED
    ]


def report_failures(failures: Sequence[Failure] | None) -> None:
    """Fail, naming every organization that failed: everything else has landed by now."""
    if failures is None:
        raise AirflowFailException("Nothing was synced: see the tasks before this one.")
    if failures:
        told = "\n".join(f"- {one['organization_name']}: {one['reason']}" for one in failures)
        raise AirflowFailException(f"{len(failures)} failed; all others have landed:\n{told}")


def tell_of_directory(listed: Sequence[Organization] | None, run_of: dict[str, str], *, is_restricted: bool) -> None:
    """Tell the people whom the configuration names what has gone wrong since they were last told, and what is well.

    Skipped, saying why, where a notifier fails: the sync is as it is, and the next run tries again.
    """
    settings = read_settings()
    if listed is None:
        view = problems.of_nothing(_why_nothing_is_listed())
    else:
        outcomes = _run(settings, run_of).read_manifest()
        view = problems.of_directory(listed, outcomes, utc_now(), is_restricted=is_restricted)
    _tell(settings, run_of, view)


def tell_of_usage(listed: Sequence[Organization] | None, run_of: dict[str, str]) -> None:
    """As `tell_of_directory`; of a run that could not begin the directory's next run tells."""
    if listed is None:
        raise AirflowSkipException("Nothing was tried; jumpcloud_directory tells why.")
    settings = read_settings()
    _tell(settings, run_of, problems.of_usage(listed, _run(settings, run_of).read_manifest()))


def check_connection(connection_id: str) -> str:
    """Log what a connection can do, and return it. Fails where an organization of it could not be synced."""
    with JumpCloudHook(connection_id, connection_check.patient_for_seconds(read_settings())) as hook:
        report = connection_check.check_connection(hook, utc_now())
    text = connection_check.render(report)
    if not report.works:
        raise AirflowFailException(text)
    log.info("%s", text)
    return text


def build_warehouse(run_id: str) -> str:
    """Build the warehouse aside; return the path of the file, or what it is called in an object store."""
    settings = read_settings()

    def build() -> str:
        target = publishing.building_path(settings, run_id)
        warehouse.build(settings, target, run_id)
        return publishing.hand_over(settings, target)

    return _or_fail(build)


def check_warehouse(built: str) -> str:
    """Check a built warehouse; return its path."""
    settings = read_settings()
    _or_fail(lambda: warehouse.check(settings, publishing.local_file(settings, built)))
    return built


def publish_warehouse(checked: str) -> str:
    """Publish a checked warehouse; return the path of the published file."""
    settings = read_settings()

    def publish() -> str:
        if publishing.is_published(settings, checked):
            log.info("An earlier try of this task has published it.")
            return str(settings.warehouse)
        if warehouse.is_outdated(settings, publishing.local_file(settings, checked)):
            publishing.discard(settings, checked)
            raise WarehouseError(
                "Built, but not published: landed files were rewritten meanwhile (jumpcloud_forget). Run it again."
            )
        return publishing.publish(settings, checked)

    return _or_fail(publish)


def prune_snapshots() -> int:
    """Prune old snapshots as configured; return how many. Skipped where everything is kept."""
    settings = read_settings()
    if not settings.snapshot_retention_days:
        raise AirflowSkipException("[jumpcloud_elt] snapshot_retention_days is 0: every snapshot is kept.")
    return _or_fail(lambda: checkpoints.prune_snapshots(settings))


def find_person(params: dict[str, Any]) -> forget.Found:
    """How much has landed of the person whom the params name; nobody's name is in it, nor in the log."""
    settings = read_settings()
    found = _or_fail(lambda: forget.find(settings, params["organization_id"].lower(), params["target"].strip()))
    log.info("To be rewritten: %s", found)
    return found


def forget_person(params: dict[str, Any], run_of: dict[str, str], requested_by: str) -> forget.Found:
    """Rewrite what has landed of that person; return how much it was. Skipped where the run is dry."""
    if params["dry_run"]:
        raise AirflowSkipException("dry_run is true: nothing is changed. Run it with dry_run false to forget.")
    settings = read_settings()
    organization_id, target = params["organization_id"].lower(), params["target"].strip()
    return _or_fail(lambda: forget.forget(settings, organization_id, target, _run(settings, run_of), requested_by))


def finish_forgetting(params: dict[str, Any]) -> None:
    """Fail unless nothing of the person is left; then let go of what was kept to be able to go on."""
    settings = read_settings()
    _or_fail(lambda: forget.finish(settings, params["organization_id"].lower(), params["target"].strip()))


def _probe(organization: Organization, settings: Settings) -> ProbedOrganization:
    probed = ProbedOrganization(**organization, unavailable=None)
    if organization["error"] is not None:
        return probed
    end = datetime.now(UTC).replace(microsecond=0)
    with JumpCloudHook(organization["connection_id"], settings) as hook:
        try:
            hook.count_events(str(organization["organization_id"]), settings.usage_services, end - PROBED_RANGE, end)
        except (NotEnabledError, PermissionDeniedError) as error:
            probed["unavailable"], probed["error"] = _why_unavailable(hook, organization, error)
        except JumpCloudError as error:
            probed["error"] = str(error)
    return probed


def _why_unavailable(
    hook: JumpCloudHook, organization: Organization, error: NotEnabledError | PermissionDeniedError
) -> tuple[str | None, str | None]:
    """Whether the answer is about Directory Insights (reason, None) or about the key itself (None, error)."""
    try:
        hook.get("/api/systemusers", {"limit": 1}, organization_id=organization["organization_id"])
    except JumpCloudError as users_error:
        return None, f"{users_error} (Directory Insights refused too: {error.status} {error.detail})"
    if isinstance(error, NotEnabledError):
        return f"Directory Insights is not enabled for this organization (402 {error.detail})", None
    return f"The key may not read Directory Insights of this organization (403 {error.detail})", None


def _leaving_outcomes(
    organization: Organization,
    run_of: dict[str, str],
    stream: str,
    settings: Settings,
    extract: Callable[[JumpCloudHook], list[Outcome]],
    *,
    so_far: Sequence[Outcome] = (),
    interval: Interval | None = None,
) -> list[Outcome]:
    """Run `extract` with a hook and leave its outcomes, or those `so_far` and the failure, for the manifest."""
    run = _run(settings, run_of)
    try:
        if organization["error"] is not None:
            raise ConfigurationError(organization["error"])
        with JumpCloudHook(organization["connection_id"], settings) as hook:
            outcomes = extract(hook)
    except Exception as error:
        told = str(error) or type(error).__name__
        run.add(organization, [*so_far, failure(organization, stream, told, interval)])
        if isinstance(error, JumpCloudError):
            raise AirflowFailException(f"{organization['organization_name']}: {error}") from error
        raise
    run.add(organization, outcomes)
    return outcomes


def _why_nothing_is_listed() -> str:
    """What listing the organizations says now: what its task said is in that task's log only."""
    try:
        organizations.list_organizations(read_settings())
    except JumpCloudError as error:
        return str(error)
    return "The organizations could not be listed; see the log of list_organizations."


def _tell(settings: Settings, run_of: dict[str, str], view: problems.View) -> None:
    failures = notifications.tell(settings, run_of["dag_id"], view, dict(get_current_context()))
    if failures:
        told = "\n".join(f"- {one}" for one in failures)
        log.error("Not everybody could be told; the next run tries again:\n%s", told)
        raise AirflowSkipException(f"Not everybody could be told; the next run tries again:\n{told}")


def _reconcile(
    hook: JumpCloudHook, organization: Organization, before: datetime, settings: Settings, landed: list[Outcome]
) -> None:
    """Read the landed units of the days before again that JumpCloud counts differently by now."""
    found = late.find_differences(hook, str(organization["organization_id"]), before, settings)
    for one in found:
        log.info(
            "%s, %s to %s: %d events have landed, JumpCloud counts %d now; reading it again",
            organization["organization_name"],
            *one.interval,
            one.landed,
            one.counted,
        )
    again: list[Outcome] = []
    try:
        services = {one.interval: one.services for one in found}
        events.land_units(hook, organization, list(services), settings, again, services)
    finally:
        before_that = {one.interval: one.landed for one in found}
        for outcome in again:
            if outcome.outcome == OK and outcome.interval_start and outcome.interval_end:
                had = before_that[outcome.interval_start, outcome.interval_end]
                outcome.reason = f"read again for events that came late: {outcome.received} received, {had} had landed"
        landed += again


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


def _run(settings: Settings, run_of: dict[str, str]) -> Run:
    return Run(settings.landing, run_of["dag_id"], run_of["run_id"])


def _or_fail(call: Callable[[], T]) -> T:
    try:
        return call()
    except JumpCloudError as error:
        raise AirflowFailException(str(error)) from error
