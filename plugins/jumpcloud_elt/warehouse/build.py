"""The warehouse: built aside by the SQL under `include/sql`, and checked.

Runs SQL files in order; what the tables mean is in the files. A build that fails leaves the last good file where it
is. Does not publish: `publish` does.

    1. what happened   state.runs, from the manifests that are new
    2. directory       each snapshot not yet seen is folded into the state that the last build left
    3. usage           the roll-ups of the days that have changed are made anew (`rollups`)
    4. marts, checks
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import tempfile
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

import jumpcloud_elt
from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.streams import DIRECTORY_STREAMS, ORGANIZATIONS, Stream
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import CheckFailedError, WarehouseError
from jumpcloud_elt.landing import action_log, capabilities
from jumpcloud_elt.landing.files import METADATA_KEY, rebuild_from, write_table
from jumpcloud_elt.landing.layout import snapshot_path
from jumpcloud_elt.landing.manifests import list_manifests
from jumpcloud_elt.warehouse import events_view, rollups
from jumpcloud_elt.warehouse.checkpoints import STATE_TABLES, latest_checkpoint
from jumpcloud_elt.warehouse.checks import find_broken
from jumpcloud_elt.warehouse.dictionary import comment, marts
from jumpcloud_elt.warehouse.files import built_by, discard_abandoned, discard_file, open_file
from jumpcloud_elt.warehouse.publish import publisher
from jumpcloud_elt.warehouse.sql_files import make, quote, read_sql, set_files

log = logging.getLogger(__name__)

SCHEMA_VERSION = 3
# DuckDB 1.2 and later clients can open it; 2.0's default cannot be opened by any 1.x client.
STORAGE_VERSION = "v1.2.0"
SNAPSHOT_STREAMS = (ORGANIZATIONS, *DIRECTORY_STREAMS)
# What a build hands on beside what is folded.
CARRIED = (*STATE_TABLES, "runs", "manifests", "views")

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

INTERMEDIATE = (
    "int_rolled_up_days",
    "int_coverage",
    "int_stretches",
    "int_usage_state",
    "int_directory_runs",
    "int_usage_applications",
    "int_known_applications",
    "int_access_since",
    "int_account_names",
)

# As long as usage itself: never written down between roll-ups and mart.
READ_ONCE = ("int_usage_actors", "int_usage_daily")


def build(settings: Settings, target: Path, run_id: str) -> None:
    """Build a warehouse from landing into the new file `target`.

    Raises WarehouseError where nothing has landed yet, or a model cannot be computed.
    """
    manifests = list_manifests(settings.landing)
    if not manifests:
        raise WarehouseError(
            f"Nothing has landed under {settings.landing.url}: run jumpcloud_directory or jumpcloud_usage first. "
            "Where only its _runs are lost: jumpcloud_warehouse with rebuild_runs."
        )
    began_at = utc_now()
    target.parent.mkdir(parents=True, exist_ok=True)
    discard_file(target)
    discard_abandoned(target.parent)
    try:
        with contextlib.closing(_open_new(target, settings)) as connection:
            _say_which_build(connection, run_id, began_at)
            _read_runs(connection, manifests, settings)
            _fold_snapshots(connection, settings)
            _read_landed(
                connection,
                capabilities.CAPABILITIES,
                capabilities.capability_files(settings.landing),
                capabilities.CAPABILITY_SCHEMA,
            )
            _read_landed(
                connection, action_log.USER_ACTIONS, action_log.action_files(settings.landing), action_log.ACTION_SCHEMA
            )
            with rollups.up_to_date(connection, settings) as months:
                for name in INTERMEDIATE:
                    make(connection, f"intermediate/{name}", f"create temp table {name}")
                for name in READ_ONCE:
                    make(connection, f"intermediate/{name}", f"create temp view {name}")
                for mart in marts():
                    if mart.name == "usage_daily":
                        _fill_usage_daily(connection, months)
                    elif mart.name == "events":
                        events_view.show_events(connection, settings.landing)
                    else:
                        make(connection, f"marts/{mart.name}", f"create {mart.meta.kind} {mart.name}")
            comment(connection)
    except duckdb.Error as error:
        discard_file(target)
        raise WarehouseError(f"The warehouse cannot be built: {error}") from error
    except BaseException:
        discard_file(target)
        raise


def check(settings: Settings, target: Path) -> None:
    """Raise CheckFailedError, with the first rows found, unless every check of a built file finds nothing."""
    with contextlib.closing(open_file(target, settings.landing)) as connection:
        found = [finding.message for finding in find_broken(connection, settings)]
    if found:
        raise CheckFailedError("Built, but not published: the warehouse's checks found\n" + "\n".join(found))


def is_outdated(settings: Settings, target: Path) -> bool:
    """Whether landed files were rewritten while `target` was being built of them."""
    return built_by(target)[1] <= rebuild_from(settings.landing)


def _say_which_build(connection: duckdb.DuckDBPyConnection, run_id: str, began_at: datetime) -> None:
    """Set the variables of `warehouse_info`."""
    said = {"schema_version": SCHEMA_VERSION, "package_version": jumpcloud_elt.__version__, "built_at": began_at}
    for name, value in (said | {"run_id": run_id}).items():
        connection.execute(f"set variable {name} = ?", [value])


def _open_new(target: Path, settings: Settings) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    settings.landing.let_read(connection)
    published = publisher(settings).published_file()
    if published:
        _begin_with(published, target, settings)
    connection.execute(f"attach {quote(str(target))} as warehouse (storage_version '{STORAGE_VERSION}')")
    connection.execute("use warehouse")
    connection.execute("set timezone = 'UTC'")
    connection.execute("set memory_limit = ?", [settings.duckdb_memory_limit])
    connection.execute("set temp_directory = ?", [f"{target}.spill"])
    if settings.duckdb_threads:
        connection.execute("set threads = ?", [settings.duckdb_threads])
    _drop_all_but_state(connection)
    connection.execute(read_sql("state/macros"))
    connection.execute(read_sql("state/state"))
    _open_checkpoint(connection, settings)
    return connection


def _begin_with(published: FolderPath, target: Path, settings: Settings) -> None:
    """Make `target` a copy of the published warehouse, unless that holds no state to go on with.

    A copy of bytes: what the histories keep costs no more than that, however much it is. And the copy is looked at, not
    the published file: somebody's session may have that locked, or have left a log which is none of the build's.
    """
    before = published.identity()
    published.copy_to(target)
    why_not = "it has been written to while it was copied"
    if published.identity() == before:
        why_not = _why_not_to_go_on_with(target, settings)
    if why_not:
        log.warning("%s is not gone on with: %s. Everything is built from landing", published, why_not)
        discard_file(target)


def _why_not_to_go_on_with(copy: Path, settings: Settings) -> str:
    """Why a warehouse holds no state to go on with; empty where it does."""
    try:
        with contextlib.closing(open_file(copy)) as connection:
            version, built_at = connection.execute("select schema_version, built_at from warehouse_info").fetchall()[0]
    except (duckdb.Error, IndexError) as error:
        return f"it cannot be read ({error})"
    if version != SCHEMA_VERSION:
        return f"its schema version is {version}, this package's {SCHEMA_VERSION}"
    if built_at <= rebuild_from(settings.landing):
        return "landed files have been rewritten since it was built (jumpcloud_forget)"
    return ""


def _drop_all_but_state(connection: duckdb.DuckDBPyConnection) -> None:
    """Everything but the state is made anew by every build."""
    found = connection.execute(
        "select table_type, table_schema, table_name from information_schema.tables where table_catalog = 'warehouse'"
    ).fetchall()
    for table_type, schema, name in found:
        if name not in events_view.EVENT_VIEWS and (schema != "state" or name not in CARRIED):
            connection.execute(f'drop {"view" if table_type == "VIEW" else "table"} {schema}."{name}"')


def _open_checkpoint(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Make the state that was landed before snapshots were pruned readable as checkpoint_<table>."""
    checkpoint = latest_checkpoint(settings.landing)
    # One that landed before a table was thought of has none of it.
    landed = {file.stem: file for file in checkpoint.find_files("*.parquet")} if checkpoint else {}
    for table in STATE_TABLES:
        rows = f"read_parquet({quote(landed[table].url)})" if table in landed else f"state.{table} limit 0"
        connection.execute(f"create temp view checkpoint_{table} as select * from {rows}")


def _read_runs(connection: duckdb.DuckDBPyConnection, manifests: dict[str, str], settings: Settings) -> None:
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


def _fold_snapshots(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Fold the snapshots that the state has not seen into it, one per organization at a time.

    One may lack an optional stream: what is folded of it then stays as it is.
    """
    make(connection, "intermediate/int_accounts", "create temp view int_accounts")
    connection.execute(read_sql("state/forget_outdated"))
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


def _fill_usage_daily(connection: duckdb.DuckDBPyConnection, months: Sequence[Place]) -> None:
    """Make usage_daily month by month: memory does not grow with the history, and the days of a month lie together, so
    that whoever asks for some has DuckDB read no others.
    """
    model = read_sql("marts/usage_daily")
    connection.execute(f"create table usage_daily as select * from (\n{model}\n) limit 0")
    for month in months:
        set_files(connection, "usage_daily", [month])
        connection.execute(f"insert into usage_daily by name\n{model}")


def _read_landed(connection: duckdb.DuckDBPyConnection, stream: str, files: Sequence[Place], schema: pa.Schema) -> None:
    """Make stg_<stream> of landed files that are partitioned by organization alone; there may be none yet."""
    if files:
        set_files(connection, stream, files)
        options = "union_by_name = true, hive_partitioning = true, hive_types = {'organization_id': varchar}"
        rows = f"read_parquet(getvariable('{stream}_files'), {options})"
    else:
        nothing = schema.append(pa.field("organization_id", pa.string())).empty_table()  # noqa: F841, read by name
        rows = "nothing"
    connection.execute(f"create temp table landed_{stream} as select * from {rows}")
    make(connection, f"staging/stg_{stream}", f"create temp table stg_{stream}")


def _count_rows(connection: duckdb.DuckDBPyConnection, stream: str) -> None:
    """Note how many rows each file of a stream gave, and how many its own metadata says were landed."""
    files = f"getvariable('{stream}_files')"
    connection.execute(
        "insert into state.read_counts by name "
        f"with given as (select filename, count(*) as rows from read_parquet({files}, filename = true) group by all), "
        "landed as ("
        "    select file_name as filename, decode(value)::json as metadata "
        f"   from parquet_kv_metadata({files}) where decode(key) = '{METADATA_KEY.decode()}'"
        ") "
        "select landed.filename[getvariable('landing_length') + 2:] as path, coalesce(given.rows, 0) as rows, "
        "    (metadata ->> '$.rows')::bigint as landed_rows "
        "from landed left join given using (filename)"
    )
