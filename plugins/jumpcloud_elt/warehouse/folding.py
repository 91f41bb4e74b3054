"""Folds what is new in landing into the state: the rows of manifests, and snapshots one after the other.

What is folded is carried on by the next build. Does not know how the state file gets there and where it is kept:
`state_file` does. What cannot be read is `damage`'s.
"""

from __future__ import annotations

import itertools
import tempfile
from collections.abc import Sequence
from datetime import datetime

import duckdb

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.streams import DIRECTORY_STREAMS, ORGANIZATIONS, Stream
from jumpcloud_elt.landing.files import METADATA_KEY, write_table
from jumpcloud_elt.landing.layout import snapshot_path
from jumpcloud_elt.warehouse.checkpoints import STATE_TABLES, latest_checkpoint
from jumpcloud_elt.warehouse.sql_files import make, quote, read_sql, set_files

SNAPSHOT_STREAMS = (ORGANIZATIONS, *DIRECTORY_STREAMS)

STAGING_OF_A_ROUND = (
    "stg_organizations",
    "stg_users",
    "stg_roles",
    "stg_administrators",
    "stg_applications",
    "stg_groups",
    "stg_group_members",
    "stg_application_bindings",
)

# Each model gives the rows of this round's organizations anew; they replace those in the state.
FOLDED = {
    "int_roles": "roles",
    "int_administrators": "administrators",
    "int_users": "users",
    "int_applications": "applications",
    "int_access": "access",
    "int_groups": "groups",
    "int_group_members": "group_members",
    "int_application_groups": "application_groups",
}


def read_runs(connection: duckdb.DuckDBPyConnection, manifests: dict[str, str], settings: Settings) -> None:
    """Bring state.runs up to the manifests that are there, reading those that are new or have changed."""
    known = dict(connection.execute("select path, version from state.manifests").fetchall())
    outdated = [path for path in known if manifests.get(path) != known[path]]
    new = sorted(path for path in manifests if known.get(path) != manifests[path])
    connection.execute("set variable landing_length = ?", [len(settings.landing.url)])
    connection.execute("set variable outdated = ?::varchar[]", [outdated])
    connection.execute("delete from state.runs where manifest in (select unnest(getvariable('outdated')))")
    connection.execute("delete from state.manifests where path in (select unnest(getvariable('outdated')))")
    if new:
        set_files(connection, "manifests", [settings.landing / path for path in new])
        connection.execute(f"insert into state.runs by name {read_sql('staging/stg_manifests')}")
        connection.execute(
            "insert into state.manifests select unnest(?::varchar[]), unnest(?::varchar[])",
            [new, [manifests[path] for path in new]],
        )
    make(connection, "staging/stg_runs", "create temp table stg_runs")
    connection.execute("set variable excluded = ?::varchar[]", [list(settings.exclude)])
    connection.execute(read_sql("state/exclude"))


def fold_snapshots(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Fold the snapshots that the state has not seen into it, one per organization at a time.

    One may lack an optional stream: what is folded of it then stays as it is.
    """
    make(connection, "staging/stg_snapshots", "create temp table stg_snapshots")
    make(connection, "intermediate/int_accounts", "create temp view int_accounts")
    _begin_again_where_outdated(connection, settings)
    rounds = connection.execute(read_sql("state/snapshots_to_fold")).fetchall()
    for _, snapshots in itertools.groupby(rounds, key=lambda row: row[0]):
        _stage(connection, settings, [(at, organization_id, streams) for _, organization_id, at, streams in snapshots])
        for name, table in FOLDED.items():
            make(connection, f"intermediate/{name}", f"create or replace temp table {name}")
            connection.execute(
                f"delete from state.{table} where organization_id in (select organization_id from stg_organizations)"
            )
            connection.execute(f"insert into state.{table} by name select * from {name}")
        connection.execute("insert into state.snapshots by name select * from stg_organizations")
        connection.execute(read_sql("state/fold_histories"))


def _begin_again_where_outdated(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Take organizations whose state cannot be carried on back to the checkpoint, or to nothing."""
    checkpoint = latest_checkpoint(settings.landing)
    # One that landed before a table was thought of has none of it.
    landed = {file.stem: file for file in checkpoint.find_files("*.parquet")} if checkpoint else {}
    for table in STATE_TABLES:
        rows = f"state.{table} limit 0"
        if table in landed:
            rows = f"read_parquet({quote(landed[table].url)}, hive_partitioning = false)"
        connection.execute(f"create temp view checkpoint_{table} as select * from {rows}")
    connection.execute(read_sql("state/outdated"))
    for table in STATE_TABLES:
        connection.execute(
            f"delete from state.{table} where organization_id in (select organization_id from int_outdated)"
        )
    connection.execute(read_sql("state/restored"))
    for table in STATE_TABLES:
        connection.execute(
            f"insert into state.{table} by name select * from checkpoint_{table} "
            "where organization_id in (select organization_id from int_restored)"
        )


def _stage(
    connection: duckdb.DuckDBPyConnection,
    settings: Settings,
    snapshots: Sequence[tuple[datetime, str, Sequence[str]]],
) -> None:
    """Make the staging tables of a round of snapshots, and int_streams: which of them has which stream."""
    found = [(organization_id, stream) for _, organization_id, streams in snapshots for stream in streams]
    connection.execute(
        "create or replace temp table int_streams as "
        "select unnest(?::varchar[]) as organization_id, unnest(?::varchar[]) as stream",
        [list(column) for column in zip(*found, strict=True)],
    )
    with tempfile.TemporaryDirectory(prefix="jumpcloud_elt-") as empty:
        for stream in SNAPSHOT_STREAMS:
            files = [
                snapshot_path(settings.landing, stream.name, organization_id, snapshot_at)
                for snapshot_at, organization_id, streams in snapshots
                if stream.name in streams or not stream.is_optional
            ]
            set_files(connection, stream.name, files or [_empty_file(stream, FolderPath(empty))])
            if files:
                _count_rows(connection, stream.name)
        for name in STAGING_OF_A_ROUND:
            make(connection, f"staging/{name}", f"create or replace temp table {name}")


def _empty_file(stream: Stream, folder: Place) -> Place:
    """A file of a stream without rows, for models of a round in which no snapshot has the stream."""
    path = folder / "organization_id=none" / "snapshot_at=00010101T000000Z" / f"{stream.name}.parquet"
    write_table(path, stream.schema.empty_table())
    return path


def _count_rows(connection: duckdb.DuckDBPyConnection, stream: str) -> None:
    """Note how many rows each file of a stream gave, and how many its own metadata says were landed."""
    files = f"getvariable('{stream}_files')"
    connection.execute(
        "insert into state.read_counts by name "
        # Materialized: joined as they are read, DuckDB 1.5.0 to 1.5.2 find none.
        "with given as materialized (select filename, count(*) as rows "
        f"from read_parquet({files}, hive_partitioning = false, filename = true) group by all), "
        "landed as ("
        "    select file_name as filename, decode(value)::json as metadata "
        f"   from parquet_kv_metadata({files}) where decode(key) = '{METADATA_KEY.decode()}'"
        ") "
        "select landed.filename[getvariable('landing_length') + 2:] as path, coalesce(given.rows, 0) as rows, "
        "    (metadata ->> '$.rows')::bigint as landed_rows "
        "from landed left join given using (filename)"
    )
