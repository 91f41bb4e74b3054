"""What the tasks of jumpcloud_warehouse do: build, check, publish, prune."""

from __future__ import annotations

import logging
from typing import Any

from jumpcloud_elt.connections.client import open_account
from jumpcloud_elt.core.account import USAGE_RETENTION_DAYS
from jumpcloud_elt.core.airflow_compat import AirflowFailException, AirflowSkipException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import ConfigurationError, WarehouseError
from jumpcloud_elt.landing import inventory
from jumpcloud_elt.landing.inventory import WAREHOUSE_DAG
from jumpcloud_elt.landing.manifests import RunManifest
from jumpcloud_elt.tasks.common import or_fail, settings_or_fail
from jumpcloud_elt.warehouse import build as warehouse
from jumpcloud_elt.warehouse import checkpoints, holding
from jumpcloud_elt.warehouse.publish import publisher

log = logging.getLogger(__name__)


def build_warehouse(run_id: str, *, rebuild_runs: bool = False) -> str:
    """Build the warehouse aside; return the path of the file, or what it is called in an object store.

    `rebuild_runs`: record first what lies in landing and no run has recorded.
    """
    settings = settings_or_fail()

    def build() -> str:
        # Those of one organization go with its next directory run.
        settings.landing.remove_temporaries("_*")
        if rebuild_runs:
            inventory.record_unknown(settings.landing, RunManifest(settings.landing, WAREHOUSE_DAG, run_id))
        target = publisher(settings).building_path(run_id)
        warehouse.build(settings, target, run_id, _retention_days)
        return publisher(settings).hand_over(target)

    return or_fail(build)


def check_warehouse(built: str) -> str:
    """Check a built warehouse; return its path.

    An organization whose rows break a check is put back to how it was published last, in what is then another build.
    """
    settings = settings_or_fail()

    def check() -> str:
        _refuse_if_outdated(settings, built)
        file = publisher(settings).local_file(built)
        broken = holding.check(settings, file)
        if not broken:
            return built
        # First: a later try of the task finds nothing more.
        holding.record_held(settings, file, broken)
        target = publisher(settings).changeable_file(built)
        holding.hold(settings, target, broken)
        return publisher(settings).hand_over(target)

    return or_fail(check)


def publish_warehouse(checked: str, event: Any = None) -> str:
    """Publish a checked warehouse; return the path of the published file, which the asset event tells, too."""
    settings = settings_or_fail()

    def publish() -> str:
        if publisher(settings).is_published(checked):
            log.info("An earlier try of this task has published it.")
            return str(settings.warehouse)
        _refuse_if_outdated(settings, checked)
        return publisher(settings).publish(checked)

    published = or_fail(publish)
    if event is not None:
        event.extra = {"warehouse": published}
    return published


def prune_snapshots() -> int:
    """Prune old snapshots as configured; return how many. Skipped where everything is kept."""
    settings = settings_or_fail()
    if not settings.snapshot_retention_days:
        raise AirflowSkipException("[jumpcloud_elt] snapshot_retention_days is 0: every snapshot is kept.")
    return or_fail(lambda: checkpoints.prune_landed_snapshots(settings))


def report_unpublished(run_id: str) -> None:
    """Fail, naming every damaged file and every organization whose rows broke a check: all others are published."""
    settings = settings_or_fail()
    problems = RunManifest(settings.landing, WAREHOUSE_DAG, run_id).problems()
    if problems:
        told = sorted(f"{one.organization_name or 'landing'}: {one.reason}" for one in problems)
        raise AirflowFailException("Published, but for\n- " + "\n- ".join(told))


def _refuse_if_outdated(settings: Settings, built: str) -> None:
    """Discard a build of landed files that have been rewritten since it began, and raise WarehouseError."""
    if warehouse.is_outdated(settings, publisher(settings).local_file(built)):
        publisher(settings).discard(built)
        raise WarehouseError(
            "Built, but not published: landed files were rewritten meanwhile (jumpcloud_forget). Run it again."
        )


def _retention_days(connection_id: str) -> int:
    """How long JumpCloud keeps the events of a connection; the default where there is none any more."""
    try:
        return open_account(connection_id).usage_retention_days
    except ConfigurationError:
        return USAGE_RETENTION_DAYS
