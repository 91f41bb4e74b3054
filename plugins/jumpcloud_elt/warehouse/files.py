"""Warehouse files on this host: how they are opened, who built them, and how builds are removed.

Does not build, check or publish.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from jumpcloud_elt.core.folder import FolderPath, for_owner_only
from jumpcloud_elt.core.host import spill_folder
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.warehouse.sql_files import quote

# The name of the attached warehouse in a DuckDB connection, and of the state beside it.
CATALOG = "jumpcloud"
STATE = "state"
# In the folder of the state: how the private copies of published warehouses begin.
LAST_GOOD = "last_good-"
ABANDONED = timedelta(days=1)


def open_file(file: Path, landing: Place | None = None) -> duckdb.DuckDBPyConnection:
    """Open a warehouse file as it is now, read-only; its view of events reads `landing`, if one is given.

    Attached, not connected to: `duckdb.connect` gives a process that has the name open already what it has open, which
    may be a file that has been replaced since. Raises duckdb.Error.
    """
    connection = duckdb.connect()
    try:
        if landing is not None:
            landing.let_read(connection)
        connection.execute("set temp_directory = ?", [str(spill_folder())])
        connection.execute(f"attach {quote(str(file))} as {CATALOG} (read_only)")
        connection.execute(f"use {CATALOG}")
    except BaseException:
        connection.close()
        raise
    return connection


def state_file_of(warehouse: Path) -> Path:
    """The state file of a warehouse file, in a folder that nobody else may enter."""
    return warehouse.parent / STATE / warehouse.name


def open_built(target: Path, landing: Place) -> duckdb.DuckDBPyConnection:
    """Open a built warehouse as `open_file` does, with the state that was built with it attached as `state`."""
    connection = open_file(target, landing)
    attach_state(connection, state_file_of(target), "(read_only)")
    return connection


def attach_state(connection: duckdb.DuckDBPyConnection, state: Path, options: str) -> None:
    """Let statements name the tables of a state file as `state.<table>`."""
    connection.execute(f"attach {quote(str(state))} as {STATE} {options}")


def keep_within(connection: duckdb.DuckDBPyConnection, settings: Settings) -> None:
    """Let queries keep to the memory limit and threads that are configured."""
    connection.execute("set memory_limit = ?", [settings.duckdb_memory_limit])
    if settings.duckdb_threads:
        connection.execute("set threads = ?", [settings.duckdb_threads])


@contextlib.contextmanager
def building(target: Path) -> Iterator[Path]:
    """Where to build the new file `target` and its state; both appear when they are whole, and nothing else is left.

    In a folder that only this user may enter, as DuckDB's logs and what it spills are. Removes what killed builds left.
    """
    folder = FolderPath(target.parent)
    folder.make_folder()
    folder.remove_temporaries()
    discard_file(target)
    discard_abandoned(folder)
    with for_owner_only(), FolderPath(target).temporary_folder() as aside:
        yield aside / target.name
        state_file_of(target).parent.mkdir(mode=0o700, exist_ok=True)
        state_file_of(aside / target.name).replace(state_file_of(target))
        (aside / target.name).replace(target)


def built_by(file: Path) -> tuple[str, datetime]:
    """The id of the run that built a warehouse, and when the build began."""
    with contextlib.closing(open_file(file)) as connection:
        run_id, built_at = connection.execute("select run_id, built_at from warehouse_info").fetchall()[0]
    return run_id, built_at


def session_log(published: Path) -> Path:
    """The file in which DuckDB logs a read-write session, and which every reader replays."""
    return published.with_name(f"{published.name}.wal")


def discard_file(target: Path) -> None:
    """Remove what a build has left on this host, with its state."""
    for file in (target, state_file_of(target)):
        file.unlink(missing_ok=True)
        session_log(file).unlink(missing_ok=True)


def discard_abandoned(folder: Path) -> None:
    """Remove builds that were killed, or failed their checks, at least a day ago on this host."""
    discard_builds(folder, older_than=time.time() - ABANDONED.total_seconds())


def discard_builds(folder: Path, *, older_than: float | None = None) -> None:
    """Remove unpublished builds from a folder; only those last changed before `older_than` (Unix time), if given."""
    for left in (*folder.glob(".*.duckdb*"), *folder.glob(f"{STATE}/.*")):
        if older_than is None or left.stat().st_mtime < older_than:
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink(missing_ok=True)
