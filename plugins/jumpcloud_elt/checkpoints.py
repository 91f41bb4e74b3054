"""Old snapshots are pruned here, once what they say has landed as a checkpoint of the histories.

    landing/_checkpoints/<time>/<state table>.parquet

A checkpoint is the state of a published warehouse, as Parquet: a build from nothing starts from it and folds the
snapshots that came later. Does not decide when to prune; `snapshot_retention_days` does.
"""

from __future__ import annotations

import contextlib
import logging
import shutil
from datetime import timedelta
from pathlib import Path

import duckdb

from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.landing import format_time, publish, snapshot_path, temporary_beside, utc_now
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.snapshots import COMMIT_STREAM, iter_snapshots
from jumpcloud_elt.streams import DIRECTORY_STREAMS

log = logging.getLogger(__name__)

CHECKPOINTS = "_checkpoints"
# Written in this order: a checkpoint without its last table is none.
STATE_TABLES = (
    "users",
    "administrators",
    "applications",
    "groups",
    "access",
    "user_history",
    "access_history",
    "snapshots",
)


def latest_checkpoint(landing: Path) -> Path | None:
    """The folder of the youngest whole checkpoint, None where there is none."""
    folders = sorted((landing / CHECKPOINTS).glob("*"), reverse=True)
    return next((folder for folder in folders if (folder / f"{STATE_TABLES[-1]}.parquet").exists()), None)


def prune_snapshots(settings: Settings) -> int:
    """Prune the snapshots older than `snapshot_retention_days`; return how many.

    Each organization keeps its latest folded snapshot, whatever its age, and those that came after it. Those of
    organizations that the published warehouse leaves out stay.
    """
    if not settings.snapshot_retention_days:
        return 0
    oldest = utc_now() - timedelta(days=settings.snapshot_retention_days)
    try:
        with contextlib.closing(duckdb.connect(str(settings.warehouse), read_only=True)) as connection:
            folded = connection.execute(
                "select organization_id, max(snapshot_at) from state.snapshots group by organization_id"
            ).fetchall()
            old = [
                (organization_id, snapshot_at)
                for organization_id, last_at in folded
                for snapshot_at, _ in iter_snapshots(settings.landing, organization_id)
                if snapshot_at < min(last_at, oldest)
            ]
            if not old:
                return 0
            _land_checkpoint(connection, settings.landing)
    except duckdb.Error as error:
        raise WarehouseError(f"The published warehouse cannot be read: {error}") from error
    for organization_id, snapshot_at in old:
        # Without its last file a snapshot is not whole: a killed pruning leaves nothing that is read by halves.
        for stream in (COMMIT_STREAM, *(stream.name for stream in DIRECTORY_STREAMS)):
            partition = snapshot_path(settings.landing, stream, organization_id, snapshot_at).parent
            shutil.rmtree(partition, ignore_errors=True)
    log.info("%d snapshots older than %s pruned", len(old), oldest)
    return len(old)


def _land_checkpoint(connection: duckdb.DuckDBPyConnection, landing: Path) -> None:
    """Land the published state; of organizations that it leaves out, what the last checkpoint has of them."""
    before = latest_checkpoint(landing)
    folder = landing / CHECKPOINTS / format_time(utc_now())
    for table in STATE_TABLES:
        path = folder / f"{table}.parquet"
        rows = f"select * from state.{table}"
        # One of an older version may lack a table.
        if before and (before / path.name).exists():
            rows += (
                f" union all by name select * from read_parquet({quote(before / path.name)}) "
                "where organization_id not in (select organization_id from state.snapshots)"
            )
        with temporary_beside(path) as temporary:
            connection.execute(f"copy ({rows}) to {quote(temporary)} (format parquet, compression zstd)")
            publish(temporary, path)
    for superseded in (landing / CHECKPOINTS).iterdir():
        if superseded != folder:
            shutil.rmtree(superseded, ignore_errors=True)


def quote(text: Path | str) -> str:
    """A path or id as an SQL literal, where a parameter cannot stand."""
    return "'" + str(text).replace("'", "''") + "'"
