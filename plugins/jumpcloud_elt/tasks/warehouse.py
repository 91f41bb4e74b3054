"""What the tasks of jumpcloud_warehouse do: build, check, publish, prune."""

from __future__ import annotations

import logging

from airflow.sdk.exceptions import AirflowSkipException

from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.landing import inventory
from jumpcloud_elt.landing.manifests import RunManifest
from jumpcloud_elt.tasks.common import or_fail, settings_or_fail
from jumpcloud_elt.warehouse import build as warehouse
from jumpcloud_elt.warehouse import checkpoints
from jumpcloud_elt.warehouse.publish import publisher

log = logging.getLogger(__name__)

WAREHOUSE_DAG = "jumpcloud_warehouse"


def build_warehouse(run_id: str, *, rebuild_runs: bool = False) -> str:
    """Build the warehouse aside; return the path of the file, or what it is called in an object store.

    `rebuild_runs`: record first what lies in landing and no run has recorded.
    """
    settings = settings_or_fail()

    def build() -> str:
        if rebuild_runs:
            inventory.record_unknown(settings.landing, RunManifest(settings.landing, WAREHOUSE_DAG, run_id))
        target = publisher(settings).building_path(run_id)
        warehouse.build(settings, target, run_id)
        return publisher(settings).hand_over(target)

    return or_fail(build)


def check_warehouse(built: str) -> str:
    """Check a built warehouse; return its path."""
    settings = settings_or_fail()
    or_fail(lambda: warehouse.check(settings, publisher(settings).local_file(built)))
    return built


def publish_warehouse(checked: str) -> str:
    """Publish a checked warehouse; return the path of the published file."""
    settings = settings_or_fail()

    def publish() -> str:
        if publisher(settings).is_published(checked):
            log.info("An earlier try of this task has published it.")
            return str(settings.warehouse)
        if warehouse.is_outdated(settings, publisher(settings).local_file(checked)):
            publisher(settings).discard(checked)
            raise WarehouseError(
                "Built, but not published: landed files were rewritten meanwhile (jumpcloud_forget). Run it again."
            )
        return publisher(settings).publish(checked)

    return or_fail(publish)


def prune_snapshots() -> int:
    """Prune old snapshots as configured; return how many. Skipped where everything is kept."""
    settings = settings_or_fail()
    if not settings.snapshot_retention_days:
        raise AirflowSkipException("[jumpcloud_elt] snapshot_retention_days is 0: every snapshot is kept.")
    return or_fail(lambda: checkpoints.prune_landed_snapshots(settings))
