"""The warehouse: built aside by the SQL under `include/sql`.

Runs SQL files in order; what the tables mean is in the files. A build that fails leaves the last good file where it
is. Neither checks nor publishes.

    1. what happened   state.runs, from the manifests that are new (`folding`)
    2. directory       each snapshot not yet seen is folded into the state that the last build left (`folding`)
    3. usage           the roll-ups of the days that have changed are made anew (`rollups`)
    4. marts

What of landing cannot be read is set aside (`damage`), and the build begins again without it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

import jumpcloud_elt
from jumpcloud_elt.core.account import USAGE_RETENTION_DAYS
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.landing import action_log, capabilities
from jumpcloud_elt.landing.files import rebuild_from
from jumpcloud_elt.landing.inventory import WAREHOUSE_DAG
from jumpcloud_elt.landing.manifests import RunManifest, list_manifests
from jumpcloud_elt.warehouse import damage, events_view, folding, rollups, state_file
from jumpcloud_elt.warehouse.dictionary import comment, marts
from jumpcloud_elt.warehouse.files import attach_state, building, built_by, discard_file, keep_within
from jumpcloud_elt.warehouse.sql_files import make, quote, read_sql, set_files

# DuckDB 1.2 and later clients can open it; 2.0's default cannot be opened by any 1.x client.
STORAGE_VERSION = "v1.2.0"

INTERMEDIATE = (
    "int_rolled_up_days",
    "int_coverage",
    "int_stretches",
    "int_attempts",
    "int_unread",
    "int_usage_state",
    "int_damage",
    "int_usage_runs",
    "int_directory_runs",
    "int_usage_applications",
    "int_known_applications",
    "int_access_since",
    "int_account_names",
)

# As long as usage itself: never written down between roll-ups and mart.
READ_ONCE = ("int_usage_actors", "int_usage_daily")


def build(
    settings: Settings,
    target: Path,
    run_id: str,
    retention_days: Callable[[str], int] = lambda _: USAGE_RETENTION_DAYS,
) -> None:
    """Build a warehouse from landing into the new file `target`, and the state that it leaves beside it.

    `retention_days`: how long JumpCloud keeps the events of a connection, by its id. Raises WarehouseError where
    nothing has landed yet, or a model cannot be computed.
    """
    run = RunManifest(settings.landing, WAREHOUSE_DAG, run_id)
    with building(target) as unfinished:
        from_nothing, is_done = False, False
        while not is_done:
            files: list[str] = []
            discard_file(unfinished)
            try:
                _build(settings, unfinished, run_id, retention_days, files, from_nothing=from_nothing)
                is_done = True
            except duckdb.Error as error:
                if damage.repair(files, settings, run):
                    continue
                if from_nothing or not state_file.is_damaged(settings):
                    raise WarehouseError(f"The warehouse cannot be built: {error}") from error
                from_nothing = True


def is_outdated(settings: Settings, target: Path) -> bool:
    """Whether landed files were rewritten while `target` was being built of them."""
    return built_by(target)[1] <= rebuild_from(settings.landing)


def _build(
    settings: Settings,
    target: Path,
    run_id: str,
    retention_days: Callable[[str], int],
    files: list[str],
    *,
    from_nothing: bool,
) -> None:
    """One attempt; where it fails, `files` are those that were last read."""
    manifests = list_manifests(settings.landing)
    if not manifests:
        raise WarehouseError(
            f"Nothing has landed under {settings.landing.url}: run jumpcloud_directory or jumpcloud_usage first. "
            "Where only its _runs are lost: jumpcloud_warehouse with rebuild_runs."
        )
    began_at = utc_now()
    with contextlib.closing(_open_new(target, settings, from_nothing=from_nothing)) as connection:
        try:
            _say_which_build(connection, run_id, began_at)
            folding.read_runs(connection, manifests, settings)
            damage.show_damaged(connection, settings.landing, began_at, retention_days)
            make(connection, "staging/stg_unit_runs", "create temp table stg_unit_runs")
            folding.fold_snapshots(connection, settings)
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
                _make_marts(connection, settings, months)
            comment(connection)
            state_file.say_which_build(connection, began_at)
        except duckdb.Error:
            with contextlib.suppress(duckdb.Error):
                files += damage.files_of(connection)
            raise


def _make_marts(connection: duckdb.DuckDBPyConnection, settings: Settings, months: Sequence[Place]) -> None:
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


def _say_which_build(connection: duckdb.DuckDBPyConnection, run_id: str, began_at: datetime) -> None:
    """Set the variables of `warehouse_info`."""
    version = state_file.SCHEMA_VERSION
    said = {"schema_version": version, "package_version": jumpcloud_elt.__version__, "built_at": began_at}
    for name, value in (said | {"run_id": run_id}).items():
        connection.execute(f"set variable {name} = ?", [value])


def _open_new(target: Path, settings: Settings, *, from_nothing: bool) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    settings.landing.let_read(connection)
    state = state_file.begin(settings, target, from_nothing=from_nothing)
    connection.execute(f"attach {quote(str(target))} as warehouse (storage_version '{STORAGE_VERSION}')")
    attach_state(connection, state, f"(storage_version '{STORAGE_VERSION}')")
    connection.execute("use warehouse")
    connection.execute("set timezone = 'UTC'")
    keep_within(connection, settings)
    connection.execute("set temp_directory = ?", [f"{target}.spill"])
    connection.execute(read_sql("state/macros"))
    connection.execute(read_sql("state/state"))
    return connection


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
        rows = (
            "(select * exclude (filename), partition_of(filename, 'organization_id') as organization_id from "
            f"read_parquet(getvariable('{stream}_files'), union_by_name = true, hive_partitioning = false, "
            "filename = true))"
        )
    else:
        nothing = schema.append(pa.field("organization_id", pa.string())).empty_table()  # noqa: F841, read by name
        rows = "nothing"
    connection.execute(f"create temp table landed_{stream} as select * from {rows}")
    make(connection, f"staging/stg_{stream}", f"create temp table stg_{stream}")
