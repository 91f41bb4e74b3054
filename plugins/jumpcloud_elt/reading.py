"""The reading interface: the published warehouse as a DuckDB connection, a mart as a DataFrame.

For people who take data out, and for the demo's report. Reads only, and only what has been published.
"""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pandas as pd

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.errors import NotPublishedError, WarehouseError
from jumpcloud_elt.warehouse.dictionary import marts
from jumpcloud_elt.warehouse.files import CATALOG, open_file
from jumpcloud_elt.warehouse.publish import publisher

# But for `events`, which is as long as all of landing: too long for a frame.
MARTS = tuple(mart.name for mart in marts() if mart.name != "events")


@dataclass
class _Opened:
    """A warehouse file that some of this process are reading, and how many they are."""

    connection: duckdb.DuckDBPyConnection
    readers: int = 0


_opened: dict[tuple[object, ...], _Opened] = {}
_opening = threading.Lock()


def unreadable(error: duckdb.Error) -> str:
    """What to say of a file that opens and cannot be asked: it is another database, or an older version built it."""
    reason = str(error).partition("\n")[0]
    return f"The warehouse cannot be read; if an older version built it, run jumpcloud_warehouse once. {reason}"


@contextlib.contextmanager
def open_warehouse(path: Path | str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published warehouse read-only, and close it on leaving.

    `path` is a DuckDB file; None means the warehouse of the `[jumpcloud_elt]` section, which is fetched from where it
    lies in an object store. All that is read within one `with` is of one build, and whoever enters later reads what
    has been published by then, whatever else this process has open: so open it for each request. Raises
    WarehouseError where nothing has been published.
    """
    if path is not None:
        file, landing = FolderPath(path), None
        if not file.exists():
            raise WarehouseError(f"There is no warehouse at {file}: run jumpcloud_warehouse first.")
    else:
        settings = read_settings()
        published, landing = publisher(settings).published_file(), settings.landing
        if published is None:
            raise NotPublishedError(f"There is no warehouse at {settings.warehouse}: run jumpcloud_warehouse first.")
        file = published
    try:
        connection, leave = _enter(file, landing)
    except (duckdb.Error, FileNotFoundError) as error:
        raise WarehouseError(f"The warehouse at {file} cannot be opened: {error}") from error
    try:
        yield connection
    finally:
        connection.close()
        leave()


def _enter(file: FolderPath, landing: Place | None) -> tuple[duckdb.DuckDBPyConnection, Callable[[], None]]:
    """A connection of its own to what this process has open of that very file, and what to call when it is closed.

    Requests beside each other share what is in memory. Who comes after a new file has been published opens that.
    """
    identity = (os.getpid(), landing is None, *file.identity())
    with _opening:
        opened = _opened.get(identity)
        if opened is None:
            opened = _opened[identity] = _Opened(open_file(file, landing))
        opened.readers += 1

    def leave() -> None:
        with _opening:
            opened.readers -= 1
            if not opened.readers:
                del _opened[identity]
                opened.connection.close()

    try:
        connection = opened.connection.cursor()
        connection.execute(f"use {CATALOG}")
    except BaseException:
        leave()
        raise
    return connection, leave


def read_mart(mart: str, *, organization_id: str | None = None, path: Path | str | None = None) -> pd.DataFrame:
    """Return a whole mart as a DataFrame, ordered by its columns; of one organization where one is given.

    Raises WarehouseError for a name that is no mart, and where nothing has been published.
    """
    if mart not in MARTS:
        raise WarehouseError(f"mart: {mart!r} given; allowed: {', '.join(MARTS)}")
    where = " where organization_id = $organization_id" if organization_id else ""
    parameters = {"organization_id": organization_id} if organization_id else None
    with open_warehouse(path) as connection:
        return connection.execute(f"select * from {mart}{where} order by all", parameters).df()
