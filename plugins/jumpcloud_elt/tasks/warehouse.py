"""What the tasks of jumpcloud_warehouse do: build, check, publish, prune."""

from __future__ import annotations

import logging

from airflow.sdk.exceptions import AirflowSkipException

from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.landing import inventory
from jumpcloud_elt.landing.manifests import RunManifest
from jumpcloud_elt.tasks.common import or_fail
from jumpcloud_elt.warehouse import build as warehouse
from jumpcloud_elt.warehouse import checkpoints
from jumpcloud_elt.warehouse import publish as publishing

log = logging.getLogger(__name__)

WAREHOUSE_DAG = "jumpcloud_warehouse"


def build_warehouse(run_id: str, *, rebuild_runs: bool = False) -> str:
    """Build the warehouse aside; return the path of the file, or what it is called in an object store.

    `rebuild_runs`: record first what lies in landing and no run has recorded.
    """
    settings = read_settings()

    def build() -> str:
        if rebuild_runs:
            inventory.record_unknown(settings.landing, RunManifest(settings.landing, WAREHOUSE_DAG, run_id))
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
    return or_fail(lambda: checkpoints.prune_landed_snapshots(settings))
