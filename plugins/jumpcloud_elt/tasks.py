"""What the Dags' tasks do: call the package, leave an outcome in landing, speak Airflow's states.

An error that the package raises on purpose has been retried as often as it deserves, so it fails the task at
once; Airflow's own retries are for workers that are lost. Wiring is in `dags/`, work in the modules called here.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from typing import Any, TypedDict, TypeVar

from airflow.sdk import get_current_context
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from jumpcloud_elt import (
    capabilities,
    checkpoints,
    connection_check,
    directory,
    forget,
    inventory,
    notifications,
    organizations,
    problems,
    publishing,
    warehouse,
)
from jumpcloud_elt.errors import ConfigurationError, JumpCloudError, WarehouseError
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.intervals import Interval
from jumpcloud_elt.landing import utc_now
from jumpcloud_elt.organizations import Organization
from jumpcloud_elt.places import open_data_root
from jumpcloud_elt.runs import FAILED, Outcome, Run, failure
from jumpcloud_elt.settings import Settings, read_settings
from jumpcloud_elt.snapshots import Accepted

log = logging.getLogger(__name__)

T = TypeVar("T")

DIRECTORY = "directory"
WAREHOUSE_DAG = "jumpcloud_warehouse"


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

    return or_fail(list_them)


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
        outcomes = leaving_outcomes(organization, run_of, DIRECTORY, settings, extract)
        is_synced = True
    finally:
        # One that was asked for and that nobody sees has no connection.
        if organization["organization_id"] and organization["connection_id"]:
            capabilities.land_capabilities(settings, organization, run_of["run_id"], is_synced=is_synced)
    return sum(outcome.rows or 0 for outcome in outcomes)


def record_run(
    listed: Iterable[Organization] | None,
    run_of: dict[str, str],
    stream: str,
    *,
    is_restricted: bool,
    interval: Interval | None = None,
    find_landed: Callable[[Organization], list[Outcome]] = lambda _: [],
) -> list[Failure]:
    """Write the run's manifest and return the organizations that failed.

    `interval` is all that a run of events was to land, `find_landed` what has landed of an organization whose task
    was killed.
    """
    if listed is None:
        raise AirflowSkipException("Nothing was tried; there is nothing to record.")
    run = run_in_landing(read_settings(), run_of)
    outcomes = run.write_manifest(
        listed, stream, is_restricted=is_restricted, interval=interval, find_landed=find_landed
    )
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
        outcomes = run_in_landing(settings, run_of).read_manifest()
        view = problems.of_directory(listed, outcomes, utc_now(), is_restricted=is_restricted)
    _tell(settings, run_of, view)


def tell_of_usage(listed: Sequence[Organization] | None, run_of: dict[str, str]) -> None:
    """As `tell_of_directory`; of a run that could not begin the directory's next run tells."""
    if listed is None:
        raise AirflowSkipException("Nothing was tried; jumpcloud_directory tells why.")
    settings = read_settings()
    _tell(settings, run_of, problems.of_usage(listed, run_in_landing(settings, run_of).read_manifest()))


def check_connection(connection_id: str) -> str:
    """Log what a connection can do, and return it. Fails where an organization of it could not be synced."""
    with JumpCloudHook(connection_id, connection_check.patient_for_seconds(read_settings())) as hook:
        report = connection_check.check_connection(hook, utc_now())
    text = connection_check.render(report)
    if not report.works:
        raise AirflowFailException(text)
    log.info("%s", text)
    return text


def build_warehouse(run_id: str, *, rebuild_runs: bool = False) -> str:
    """Build the warehouse aside; return the path of the file, or what it is called in an object store.

    `rebuild_runs`: record first what lies in landing and no run has recorded.
    """
    settings = read_settings()

    def build() -> str:
        if rebuild_runs:
            inventory.record_unknown(settings.landing, Run(settings.landing, WAREHOUSE_DAG, run_id))
        target = publishing.building_path(settings, run_id)
        warehouse.build(settings, target, run_id)
        return publishing.hand_over(settings, target)

    return or_fail(build)


def check_warehouse(built: str) -> str:
    """Check a built warehouse; return its path."""
    settings = read_settings()
    or_fail(lambda: warehouse.check(settings, publishing.local_file(settings, built)))
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

    return or_fail(publish)


def prune_snapshots() -> int:
    """Prune old snapshots as configured; return how many. Skipped where everything is kept."""
    settings = read_settings()
    if not settings.snapshot_retention_days:
        raise AirflowSkipException("[jumpcloud_elt] snapshot_retention_days is 0: every snapshot is kept.")
    return or_fail(lambda: checkpoints.prune_snapshots(settings))


def find_person(params: dict[str, Any]) -> forget.Found:
    """How much has landed of the person whom the params name; nobody's name is in it, nor in the log."""
    settings = read_settings()
    found = or_fail(lambda: forget.find(settings, params["organization_id"].lower(), params["target"].strip()))
    log.info("To be rewritten: %s", found)
    return found


def forget_person(params: dict[str, Any], run_of: dict[str, str], requested_by: str) -> forget.Found:
    """Rewrite what has landed of that person; return how much it was. Skipped where the run is dry."""
    if params["dry_run"]:
        raise AirflowSkipException("dry_run is true: nothing is changed. Run it with dry_run false to forget.")
    settings = read_settings()
    organization_id, target = params["organization_id"].lower(), params["target"].strip()
    return or_fail(
        lambda: forget.forget(settings, organization_id, target, run_in_landing(settings, run_of), requested_by)
    )


def finish_forgetting(params: dict[str, Any]) -> None:
    """Fail unless nothing of the person is left; then let go of what was kept to be able to go on."""
    settings = read_settings()
    or_fail(lambda: forget.finish(settings, params["organization_id"].lower(), params["target"].strip()))


def leaving_outcomes(
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
    run = run_in_landing(settings, run_of)
    run.begin(organization)
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


def run_in_landing(settings: Settings, run_of: dict[str, str]) -> Run:
    """The Dag run's place in landing."""
    return Run(settings.landing, run_of["dag_id"], run_of["run_id"])


def or_fail(call: Callable[[], T]) -> T:
    """Call; what the package raises on purpose fails the task at once."""
    try:
        return call()
    except JumpCloudError as error:
        raise AirflowFailException(str(error)) from error


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
