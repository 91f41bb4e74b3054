"""What the Dags' tasks do: call the package, leave an outcome in landing, speak Airflow's states.

Of the errors that the package raises on purpose, Airflow retries those that can heal; the others fail the task at once.
Wiring is in `dags/`, work in the modules called here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, TypedDict, TypeVar

from airflow.sdk import Context

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.connections import organizations
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.core import settings as core_settings
from jumpcloud_elt.core.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
    AirflowTaskTimeout,
)
from jumpcloud_elt.core.data_root import open_data_root
from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import CAN_HEAL, ConfigurationError, JumpCloudError, TransientError
from jumpcloud_elt.landing import inventory
from jumpcloud_elt.landing.manifests import FAILED, HELD, LANDED, Outcome, RunManifest, failure

log = logging.getLogger(__name__)

_T = TypeVar("_T")
DIRECTORY = "directory"


class Failure(TypedDict):
    """An organization that failed in this run."""

    organization_name: str
    reason: str


def settings_or_fail() -> Settings:
    """The configuration; a wrong option fails the task at once, by its name."""
    return or_fail(core_settings.read_settings)


def is_last_try(context: Context) -> bool:
    """Whether Airflow does not try the task again, or has put it off already for as long as JumpCloud asked."""
    this: Any = context["ti"]
    return bool(this.try_number > this.max_tries or context.get("task_reschedule_count"))


def list_organizations(
    only: Sequence[str], *, with_credentials: bool = False, is_last_try: bool = True
) -> list[Organization]:
    """The organizations to sync in this run; raises AirflowFailException with what to do where there is none.

    `with_credentials`: with what is known of each connection's key. A connection that fails and may heal fails this
    try, or puts it off for as long as JumpCloud asked; the last try goes on with the other connections.
    """
    settings = settings_or_fail()
    asked_for = [one.lower() for one in only]

    def list_them() -> list[Organization]:
        # A store that cannot be used is told before JumpCloud is asked for anything.
        open_data_root(settings.data_root)
        listed = organizations.discover_organizations(settings, asked_for, with_credentials=with_credentials)
        # What JumpCloud wants to be left alone for longer than a run lasts is the next run's.
        waits = [
            one for one in listed if one.get("error_can_heal") and _fits_run(one.get("error_retry_after"), settings)
        ]
        known = known_error(waits)
        if known is not None and not is_last_try:
            raise known
        for one in listed:
            one.pop("error_can_heal", None)
            one.pop("error_retry_after", None)
        return listed

    return or_fail(list_them)


def record_run(
    listed: Iterable[Organization] | None,
    run_of: dict[str, str],
    stream: str,
    *,
    is_restricted: bool,
    interval: Interval | None = None,
    event: Any = None,
) -> list[Failure]:
    """Write the run's manifest and return the organizations that failed.

    `interval` is all that a run of events was to land; `event` the asset event that says what has landed.
    """
    if listed is None:
        raise AirflowSkipException("Nothing was tried; there is nothing to record.")
    run = run_in_landing(settings_or_fail(), run_of)
    outcomes = run.write_manifest(listed, stream, is_restricted=is_restricted, interval=interval)
    if run.was_damaged:
        # What it said of units and snapshots, these say themselves.
        inventory.record_unknown(run.landing, run)
    if event is not None:
        event.extra = what_landed(outcomes)
    return [
        Failure(organization_name=outcome.organization_name, reason=outcome.reason or "")
        for outcome in outcomes
        if outcome.outcome == FAILED
    ]


def what_landed(outcomes: Iterable[Outcome]) -> dict[str, Any]:
    """The extra of an asset event: of each organization of which something has landed its name, units and rows.

    A unit is an interval of events, or a stream of a snapshot. `failed` names the organizations that failed.
    """
    organizations: dict[str, dict[str, Any]] = {}
    failed = set()
    for one in outcomes:
        if one.outcome in (*LANDED, HELD) and one.organization_id:
            landed = organizations.setdefault(
                one.organization_id, {"organization_name": one.organization_name, "units": 0, "rows": 0}
            )
            landed["units"] += 1
            landed["rows"] += one.rows or 0
        elif one.outcome == FAILED:
            failed.add(one.organization_id or one.organization_name)
    return {
        "organizations": organizations,
        "rows": sum(one["rows"] for one in organizations.values()),
        "failed": sorted(failed),
    }


def report_failures(failures: Sequence[Failure] | None, context: Context) -> None:
    """Fail, naming every organization and every task that failed: everything else has landed by now.

    Tasks count besides organizations: the manifest may know one only by what an earlier try of the run has landed.
    """
    not_run = _tasks_without_success(context)
    if failures is None:
        raise AirflowFailException(f"Nothing was synced: see the tasks before this one. {not_run}".rstrip())
    if failures:
        told = "\n".join(f"- {one['organization_name']}: {one['reason']}" for one in failures)
        raise AirflowFailException(f"{len(failures)} failed; all others have landed:\n{told}\n{not_run}".rstrip())
    if not_run:
        raise AirflowFailException(not_run)
    if not run_in_landing(
        settings_or_fail(), {"dag_id": context["ti"].dag_id, "run_id": context["run_id"]}
    ).is_complete():
        raise AirflowFailException("Landed, but not recorded: clear record_run with its downstream tasks.")


def fail_unless_all_ran(context: Context) -> None:
    """Fail where another task of the run failed or was never run."""
    not_run = _tasks_without_success(context)
    if not_run:
        raise AirflowFailException(not_run)


def _tasks_without_success(context: Context) -> str:
    """The other tasks of the run that failed or were never run, in words; a mapped task with its map index.

    What was skipped was left out on purpose, what Airflow removed belongs to an earlier try that had more
    organizations, and notifying decides nothing.
    """
    this: Any = context["ti"]
    states = this.get_task_states(dag_id=this.dag_id, run_ids=[this.run_id])[this.run_id]
    told = [
        f"{task} ({state or 'not run'})"
        for task, state in sorted(states.items())
        if state not in ("success", "skipped", "removed") and task not in (this.task_id, "notify")
    ]
    if not told:
        return ""
    return f"Failed or not run: {', '.join(told)}. See their logs, then clear them with their downstream tasks."


def leaving_outcomes(
    organization: Organization,
    run_of: dict[str, str],
    stream: str,
    settings: Settings,
    extract: Callable[[JumpCloudClient], list[Outcome]],
    *,
    so_far: Sequence[Outcome] = (),
    interval: Interval | None = None,
    step: str = "",
) -> list[Outcome]:
    """Run `extract` with a client and leave its outcomes, or those `so_far` and the failure, for the manifest."""
    run = run_in_landing(settings, run_of)
    run.begin(organization, stream, interval, step=step)
    try:
        if known := known_error([organization]):
            raise known
        with open_client(organization["connection_id"], settings) as client:
            outcomes = extract(client)
    except (Exception, AirflowTaskTimeout) as error:
        told = str(error) or type(error).__name__
        if isinstance(error, AirflowTaskTimeout):
            told = f"not finished within task_timeout_minutes ({settings.task_timeout_minutes:g})"
        run.add(organization, [*so_far, failure(organization, stream, told, interval)], step=step)
        if isinstance(error, JumpCloudError):
            raise airflow_error(error, settings, f"{organization['organization_name']}: ") from error
        raise
    run.add(organization, outcomes, step=step)
    return outcomes


def known_error(organizations: Iterable[Organization]) -> JumpCloudError | None:
    """What is known already to be wrong with organizations, as one error; it can heal where one of theirs can."""
    wrong = [one for one in organizations if one["error"] is not None]
    told = "\n".join(str(one["error"]) for one in wrong)
    if any(one.get("error_can_heal") for one in wrong):
        return TransientError(told, retry_after=max(one.get("error_retry_after") or 0.0 for one in wrong))
    return ConfigurationError(told) if wrong else None


def run_in_landing(settings: Settings, run_of: dict[str, str]) -> RunManifest:
    """The Dag run's place in landing."""
    return RunManifest(settings.landing, run_of["dag_id"], run_of["run_id"], run_of.get("task_id", ""))


def or_fail(call: Callable[[], _T]) -> _T:
    """Call; raise `airflow_error` for what the package raises on purpose."""
    try:
        return call()
    except JumpCloudError as error:
        raise airflow_error(error, core_settings.settings_of_dags()) from error


def airflow_error(error: JumpCloudError, settings: Settings, whose: str = "") -> AirflowException:
    """What makes Airflow do about `error` what is right: try again later, try again when JumpCloud said, or fail.

    A `Retry-After` beyond the run's own time limit is not waited for.
    """
    wait = getattr(error, "retry_after", None) or 0.0
    if settings.retry_wait_max_seconds < wait and _fits_run(wait, settings):
        log.warning("%s%s", whose, error)
        moment = datetime.now(UTC) + timedelta(seconds=wait)
        return AirflowRescheduleException(moment)  # type: ignore[no-untyped-call]
    can_heal = isinstance(error, CAN_HEAL) and wait <= settings.retry_wait_max_seconds
    return (AirflowException if can_heal else AirflowFailException)(f"{whose}{error}")


def _fits_run(wait: float | None, settings: Settings) -> bool:
    """Whether a run lasts longer than a wait of so many seconds."""
    return (wait or 0.0) < 3600 * settings.run_timeout_hours
