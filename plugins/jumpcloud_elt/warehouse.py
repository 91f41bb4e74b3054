"""The warehouse: built aside by the SQL under `include/sql`, checked, and published by rename.

Runs SQL files in order and moves files; what the tables mean is in the files. A build that fails leaves the last
good file where it is.

    1. what happened   stg_runs, from the manifests
    2. directory       each snapshot not yet seen is folded into the state that the last build left
    3. usage           stg_events and its roll-ups
    4. marts, checks, publish
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import shutil
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

import jumpcloud_elt
from jumpcloud_elt.checkpoints import STATE_TABLES, latest_checkpoint, quote
from jumpcloud_elt.errors import CheckFailedError, WarehouseError
from jumpcloud_elt.events import SCHEMA as EVENTS_SCHEMA
from jumpcloud_elt.landing import EVENTS, METADATA_KEY, RUNS, rebuild_from, run_file_name, snapshot_path, utc_now
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.streams import DIRECTORY_STREAMS, ORGANIZATIONS

log = logging.getLogger(__name__)

SCHEMA_VERSION = 2
ABANDONED_SECONDS = 86_400
# DuckDB 1.2 and later clients can open it; 2.0's default cannot be opened by any 1.x client.
STORAGE_VERSION = "v1.2.0"
SNAPSHOT_STREAMS = (ORGANIZATIONS.name, *(stream.name for stream in DIRECTORY_STREAMS))
# Typed here, and not cast later: only so a filter by date keeps files of other days closed.
UNITS = (
    "hive_partitioning = true, hive_types = {'organization_id': varchar, 'date': date}, "
    "filename = true, file_row_number = true"
)

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
    "int_administrators": "administrators",
    "int_users": "users",
    "int_applications": "applications",
    "int_access": "access",
    "int_groups": "groups",
}
INTERMEDIATE = (
    "int_coverage",
    "int_usage_state",
    "int_directory_runs",
    "int_usage_actors",
    "int_usage_applications",
    "int_usage_daily",
)
MARTS = (
    "organizations",
    "usage_daily",
    "usage_by_day",
    "application_users",
    "applications",
    "users",
    "groups",
    "usage_coverage",
    "sync_log",
)
VIEWS = ("user_history", "access_history", "events")
CHECKS = ("check_keys", "check_organizations", "check_secrets", "check_counts")


def sql_folder() -> Path:
    """Where the SQL files are: inside an installed package, beside it in a source tree."""
    installed = Path(__file__).parent / "sql"
    return installed if installed.is_dir() else Path(__file__).parents[2] / "include" / "sql"


def building_path(settings: Settings, run_id: str) -> Path:
    """Where a run builds: beside the published file, so that a rename can publish it."""
    return settings.warehouse.with_name(f".{run_file_name(run_id)}.duckdb")


def build(settings: Settings, target: Path, run_id: str) -> None:
    """Build a warehouse from landing into the new file `target`.

    Raises WarehouseError where nothing has landed yet, or a model cannot be computed.
    """
    manifests = sorted((settings.landing / RUNS).glob("*/*.parquet"))
    if not manifests:
        raise WarehouseError(
            f"Nothing has landed under {settings.landing}: run jumpcloud_directory or jumpcloud_usage first."
        )
    began_at = utc_now()
    target.parent.mkdir(parents=True, exist_ok=True)
    discard(target)
    _discard_abandoned(target.parent)
    try:
        with contextlib.closing(_open_new(target, settings)) as connection:
            _read_runs(connection, manifests, settings)
            _fold_snapshots(connection, settings)
            _read_events(connection, settings)
            for name in INTERMEDIATE:
                _make(connection, f"intermediate/{name}", f"create temp table {name}")
            for name in MARTS:
                _make(connection, f"marts/{name}", f"create table {name}")
            for name in VIEWS:
                _make(connection, f"marts/{name}", f"create view {name}")
            _describe(connection, run_id, began_at)
    except duckdb.Error as error:
        discard(target)
        raise WarehouseError(f"The warehouse cannot be built: {error}") from error
    except BaseException:
        discard(target)
        raise


def check(target: Path) -> None:
    """Raise CheckFailedError, with the first rows found, unless every check of a built file finds nothing."""
    found = []
    with contextlib.closing(duckdb.connect(str(target), read_only=True)) as connection:
        for name in CHECKS:
            rows = connection.execute(_sql(f"checks/{name}")).fetchmany(5)
            found += [f"{name}: {row}" for row in rows]
    if found:
        raise CheckFailedError("Built, but not published: the warehouse's checks found\n" + "\n".join(found))


def is_published(settings: Settings, target: Path) -> bool:
    """Whether `target` is gone because it is the published file by now."""
    if target.exists() or not settings.warehouse.exists():
        return False
    with contextlib.closing(duckdb.connect(str(settings.warehouse), read_only=True)) as connection:
        run_id = connection.execute("select run_id from warehouse_info").fetchall()[0][0]
    return building_path(settings, run_id) == target


def refuse_outdated(settings: Settings, target: Path) -> None:
    """Raise WarehouseError where landed files were rewritten while `target` was being built of them."""
    with contextlib.closing(duckdb.connect(str(target), read_only=True)) as connection:
        built_at = connection.execute("select built_at from warehouse_info").fetchall()[0][0]
    if built_at <= rebuild_from(settings.landing):
        discard(target)
        raise WarehouseError(
            "Built, but not published: landed files were rewritten meanwhile (jumpcloud_forget). Run it again."
        )


def publish(target: Path, warehouse: Path) -> None:
    """Swap a checked warehouse in for the published one, read-only."""
    target.chmod(0o444)
    # The log of a killed read-write session would be replayed into the new file.
    warehouse.with_name(f"{warehouse.name}.wal").unlink(missing_ok=True)
    target.replace(warehouse)


def _discard_abandoned(folder: Path) -> None:
    """Remove what builds that were killed, or failed their checks, have left for a day."""
    for left in folder.glob(".*.duckdb*"):
        if time.time() - left.stat().st_mtime > ABANDONED_SECONDS:
            shutil.rmtree(left) if left.is_dir() else left.unlink(missing_ok=True)


def discard(target: Path) -> None:
    """Remove what a build has left."""
    target.unlink(missing_ok=True)
    target.with_name(f"{target.name}.wal").unlink(missing_ok=True)


def _open_new(target: Path, settings: Settings) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    if _can_be_carried_on(connection, settings):
        # A copy of bytes: what the histories keep costs no more than that, however much it is.
        shutil.copyfile(settings.warehouse, target)
    connection.execute(f"attach {quote(target)} as warehouse (storage_version '{STORAGE_VERSION}')")
    connection.execute("use warehouse")
    connection.execute("set timezone = 'UTC'")
    connection.execute("set memory_limit = ?", [settings.duckdb_memory_limit])
    connection.execute("set temp_directory = ?", [f"{target}.spill"])
    if settings.duckdb_threads:
        connection.execute("set threads = ?", [settings.duckdb_threads])
    _drop_all_but_state(connection)
    connection.execute(_sql("state/macros"))
    connection.execute(_sql("state/state"))
    _open_checkpoint(connection, settings)
    return connection


def _can_be_carried_on(connection: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Whether the published warehouse holds a state to begin with; where not, landing is folded from the start."""
    published = settings.warehouse
    if not published.exists():
        return False
    try:
        connection.execute(f"attach {quote(published)} as published (read_only)")
        info = connection.execute("select schema_version, built_at from published.warehouse_info").fetchone()
        connection.execute("detach published")
    except duckdb.Error as error:
        log.warning("%s cannot be read (%s); everything is built from landing", published, error)
        return False
    # A state of landed files that have been rewritten since is none.
    return info is not None and info[0] == SCHEMA_VERSION and info[1] > rebuild_from(settings.landing)


def _drop_all_but_state(connection: duckdb.DuckDBPyConnection) -> None:
    """Everything but the state is made anew by every build."""
    found = connection.execute(
        "select table_type, table_schema, table_name from information_schema.tables where table_catalog = 'warehouse'"
    ).fetchall()
    for table_type, schema, name in found:
        if schema != "state" or name not in STATE_TABLES:
            connection.execute(f'drop {"view" if table_type == "VIEW" else "table"} {schema}."{name}"')


def _open_checkpoint(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make the state that was landed before snapshots were pruned readable as checkpoint_<table>."""
    checkpoint = latest_checkpoint(settings.landing)
    for table in STATE_TABLES:
        path = checkpoint / f"{table}.parquet" if checkpoint else None
        # One of an older version may lack a table.
        rows = f"read_parquet({quote(path)})" if path and path.exists() else f"state.{table} limit 0"
        connection.execute(f"create temp view checkpoint_{table} as select * from {rows}")


def _read_runs(connection: duckdb.DuckDBPyConnection, manifests: Sequence[Path], settings: Settings) -> None:
    _set_files(connection, "runs", manifests)
    _make(connection, "staging/stg_runs", "create temp table stg_runs")
    connection.execute("set variable excluded = ?::varchar[]", [list(settings.exclude)])
    connection.execute(_sql("state/exclude"))


def _fold_snapshots(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Fold the snapshots that the state has not seen into it, one per organization at a time."""
    _make(connection, "intermediate/int_accounts", "create temp view int_accounts")
    connection.execute(_sql("state/forget_outdated"))
    rounds = connection.execute(_sql("state/snapshots_to_fold")).fetchall()
    for _, snapshots in itertools.groupby(rounds, key=lambda row: row[0]):
        partitions = [(organization_id, snapshot_at) for _, organization_id, snapshot_at in snapshots]
        for stream in SNAPSHOT_STREAMS:
            files = [snapshot_path(settings.landing, stream, *partition) for partition in partitions]
            _set_files(connection, stream, files)
            _count_rows(connection, settings, stream, "filename = true")
        for name in STAGING_OF_A_ROUND:
            _make(connection, f"staging/{name}", f"create or replace temp table {name}")
        for name, table in FOLDED.items():
            _make(connection, f"intermediate/{name}", f"create or replace temp table {name}")
            connection.execute(
                f"delete from state.{table} where organization_id in (select organization_id from stg_organizations)"
            )
            connection.execute(f"insert into state.{table} by name select * from {name}")
        connection.execute("insert into state.snapshots by name select * from stg_organizations")
        connection.execute(_sql("state/fold_histories"))


def _read_events(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make stg_events of the units that the manifests know, and the view's source of all that have landed."""
    units = connection.execute(
        "select distinct path from stg_runs where stream = ? and outcome in ('ok', 'kept') order by path", [EVENTS]
    ).fetchall()
    if units:
        # A view holds no variable and no relative path: the landing's own is written into it.
        everything = quote(settings.landing / EVENTS / "*" / "*" / "*.parquet")
        left_out = connection.execute("select organization_id from int_excluded").fetchall()
        excluded = ", ".join(quote(organization_id) for (organization_id,) in left_out)
        connection.execute(
            f"create view state.landed_events as select * from read_parquet({everything}, {UNITS})"
            + (f" where organization_id not in ({excluded})" if excluded else "")
        )
        _set_files(connection, "events", [settings.landing / path for (path,) in units])
        connection.execute(
            f"create temp view landed_units as select * from read_parquet(getvariable('events_files'), {UNITS})"
        )
        _count_rows(connection, settings, "events", UNITS)
    else:
        partitions = pa.schema(
            [("organization_id", pa.string()), ("date", pa.date32()), ("file_row_number", pa.int64())]
        )
        empty = pa.unify_schemas([EVENTS_SCHEMA, partitions]).empty_table()  # noqa: F841, read by name
        connection.execute("create table state.landed_events as select * from empty")
        connection.execute("create temp view landed_units as select * from state.landed_events")
    _make(connection, "staging/stg_events", "create temp table stg_events")


def _describe(connection: duckdb.DuckDBPyConnection, run_id: str, began_at: datetime) -> None:
    connection.execute(
        "create table warehouse_info as select ?::integer as schema_version, ? as package_version, "
        "?::timestamp as built_at, ? as run_id",
        [SCHEMA_VERSION, jumpcloud_elt.__version__, began_at, run_id],
    )


def _make(connection: duckdb.DuckDBPyConnection, model: str, create: str) -> None:
    connection.execute(f"{create} as\n{_sql(model)}")


def _count_rows(connection: duckdb.DuckDBPyConnection, settings: Settings, stream: str, options: str) -> None:
    """Note how many rows each file of a stream gave, and how many its own metadata says were landed."""
    files = f"getvariable('{stream}_files')"
    begin = len(str(settings.landing)) + 2
    connection.execute(
        "insert into state.read_counts by name "
        f"with given as (select filename, count(*) as rows from read_parquet({files}, {options}) group by filename), "
        "landed as ("
        "    select file_name as filename, decode(value)::json as metadata "
        f"   from parquet_kv_metadata({files}) where decode(key) = '{METADATA_KEY.decode()}'"
        ") "
        f"select landed.filename[{begin}:] as path, coalesce(given.rows, 0) as rows, "
        "    (metadata ->> '$.rows')::bigint as landed_rows, (metadata ->> '$.inside')::bigint as inside "
        "from landed left join given using (filename)"
    )


def _set_files(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Path]) -> None:
    connection.execute(f"set variable {name}_files = ?::varchar[]", [[str(file) for file in files]])


def _sql(name: str) -> str:
    return (sql_folder() / f"{name}.sql").read_text(encoding="utf-8")
