"""The reading interface: the published warehouse as a DuckDB connection, a mart as a DataFrame.

For people who take data out, and for the demo's report. Reads only, and only what has been published.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pandas as pd

from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.settings import read_settings

MARTS = (
    "organizations",
    "users",
    "applications",
    "application_users",
    "groups",
    "usage_daily",
    "usage_by_day",
    "user_history",
    "access_history",
    "usage_coverage",
    "sync_log",
    "warehouse_info",
)


@contextlib.contextmanager
def open_warehouse(path: Path | str | None = None) -> Iterator[duckdb.DuckDBPyConnection]:
    """Open the published warehouse read-only, and close it on leaving.

    `path` is the DuckDB file; None means that of the `[jumpcloud_elt]` section. Close soon, as this does: inside
    one process DuckDB goes on showing the old file while any connection to it is open. Raises WarehouseError
    where nothing has been published.
    """
    file = Path(path) if path is not None else read_settings().warehouse
    if not file.exists():
        raise WarehouseError(f"There is no warehouse at {file}: run jumpcloud_warehouse first.")
    try:
        connection = duckdb.connect(str(file), read_only=True)
    except duckdb.Error as error:
        raise WarehouseError(f"The warehouse at {file} cannot be opened: {error}") from error
    with contextlib.closing(connection):
        yield connection


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
