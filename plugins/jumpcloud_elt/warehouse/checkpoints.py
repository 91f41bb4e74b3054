"""Old snapshots are pruned here, once what they say has landed as a checkpoint of the histories.

    landing/_checkpoints/<time>/<state table>.parquet

A checkpoint is the state that the last build left, as Parquet: a build from nothing starts from it and folds the
snapshots that came later. Does not decide when to prune; `snapshot_retention_days` does.
"""

from __future__ import annotations

import contextlib
import logging
from datetime import timedelta

import duckdb

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.streams import DIRECTORY_STREAMS
from jumpcloud_elt.core.times import format_time, utc_now
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.landing.files import METADATA_KEY, read_metadata
from jumpcloud_elt.landing.layout import CHECKPOINTS, snapshot_path
from jumpcloud_elt.landing.snapshots import COMMIT_STREAM, iter_snapshots
from jumpcloud_elt.warehouse.files import attach_state
from jumpcloud_elt.warehouse.publish import publisher
from jumpcloud_elt.warehouse.sql_files import quote

log = logging.getLogger(__name__)

# Of the tables below, as they are landed; raised when they change, together with the way from the last version on:
# snapshots that were pruned cannot be folded again. Checkpoints without one are of version 1: that has no group_members
# and application_groups, and fewer columns of users; version 2 has no display names of administrators. Those are there
# from the next snapshot on.
STATE_VERSION = 3

# Written in this order: a checkpoint without its last table is none.
STATE_TABLES = (
    "users",
    "administrators",
    "applications",
    "groups",
    "roles",
    "group_members",
    "application_groups",
    "access",
    "user_history",
    "access_history",
    "snapshots",
)


def latest_checkpoint(landing: Place) -> Place | None:
    """The folder of the youngest whole checkpoint, None where there is none.

    Raises WarehouseError where it is of a version that this package does not know: it holds what nothing else does.
    """
    whole = (landing / CHECKPOINTS).find_files(f"*/{STATE_TABLES[-1]}.parquet")
    if not whole:
        return None
    version = read_metadata(whole[-1]).get("state_version", 1)
    if version not in (1, 2, STATE_VERSION):
        raise WarehouseError(
            f"Checkpoint {whole[-1].parent}: state version {version!r} found; allowed: 1, 2, {STATE_VERSION}. "
            "Another version of this package landed it; install that version or a later one."
        )
    return whole[-1].parent


def prune_landed_snapshots(settings: Settings) -> int:
    """Prune the snapshots older than `snapshot_retention_days`; return how many.

    Each organization keeps its latest folded snapshot, whatever its age, and those that came after it. Those of
    organizations that the state leaves out stay.
    """
    if not settings.snapshot_retention_days:
        return 0
    oldest = utc_now() - timedelta(days=settings.snapshot_retention_days)
    state = publisher(settings).state_file()
    if state is None:
        raise WarehouseError("No build has left a state to prune by: run jumpcloud_warehouse first.")
    try:
        with contextlib.closing(duckdb.connect()) as connection:
            settings.landing.let_read(connection)
            attach_state(connection, state, "(read_only)")
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
        raise WarehouseError(f"{state} cannot be read: {error}") from error
    for organization_id, snapshot_at in old:
        # Without its last file a snapshot is not whole: a killed pruning leaves nothing that is read by halves.
        for stream in (COMMIT_STREAM, *(stream.name for stream in DIRECTORY_STREAMS)):
            snapshot_path(settings.landing, stream, organization_id, snapshot_at).parent.remove_folder()
    log.info("%d snapshots older than %s pruned", len(old), oldest)
    return len(old)


def _land_checkpoint(connection: duckdb.DuckDBPyConnection, landing: Place) -> None:
    """Land the state; of organizations that it leaves out, what the last checkpoint has of them."""
    before = latest_checkpoint(landing)
    folder = landing / CHECKPOINTS / format_time(utc_now())
    for table in STATE_TABLES:
        path = folder / f"{table}.parquet"
        rows = f"select * from state.{table}"
        # One of an older version may lack a table.
        if before and (before / path.name).exists():
            rows += (
                f" union all by name select * from read_parquet({quote((before / path.name).url)}, "
                "hive_partitioning = false) "
                "where organization_id not in (select organization_id from state.snapshots)"
            )
        with path.temporary() as temporary:
            connection.execute(
                f"copy ({rows}) to {quote(str(temporary))} (format parquet, compression zstd, use_tmp_file false, "
                f"kv_metadata {{{METADATA_KEY.decode()}: '{{\"state_version\": {STATE_VERSION}}}'}})"
            )
            path.put(temporary)
    for superseded in {path.parent for path in (landing / CHECKPOINTS).find_files("*/*")} - {folder}:
        superseded.remove_folder()
