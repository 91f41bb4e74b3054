"""The view `events` and the macro `events_of`: every landed event, read from where it lies.

DuckDB takes the columns of several files from the first of them, whichever are asked for. So the first is an empty one
of the package's own, and a query opens nobody's files but those that it is about:

    landing/_columns/organization_id=none/date=1970-01-01/directory_insights_events-<which columns>.parquet

No pattern for units matches it. Does not know what an event means: `marts/events.sql` does.
"""

from __future__ import annotations

import glob
import hashlib

import duckdb

from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.files import read_metadata, write_table
from jumpcloud_elt.landing.layout import EVENTS
from jumpcloud_elt.landing.units import UNIT_SCHEMA
from jumpcloud_elt.warehouse.sql_files import quote, read_sql

COLUMNS_FOLDER = "_columns"
# Not DuckDB's partitioning, which takes the folders above the data root (`env=prod`) for columns. A filter by either
# keeps other files closed all the same.
_ROWS = """select * from (
    select
        * exclude (filename),
        regexp_extract(filename, '(?s).*/organization_id=([^/]*)/', 1) as organization_id,
        regexp_extract(filename, '(?s).*/date=([^/]*)/', 1)::date as date
    from read_parquet([{files}], hive_partitioning = false, filename = true)
)"""


def show_events(connection: duckdb.DuckDBPyConnection, landing: Place) -> None:
    """Make `events` over everything that has landed, and `events_of`.

    What lands later is in both. Whoever asks the view has DuckDB list all of landing, and `events_of` only the
    organization's.
    """
    model = read_sql("marts/events")
    left_out = connection.execute("select organization_id from int_excluded order by all").fetchall()
    excluded = ", ".join(quote(organization_id) for (organization_id,) in left_out)
    where = f" where organization_id not in ({excluded})" if excluded else ""
    # A view holds no variable and no relative path: the landing's own is written into it.
    columns = quote(_columns(landing).url)
    # The data root's own path may hold what DuckDB would take for a pattern.
    folder = glob.escape((landing / EVENTS).url)
    everybodys = f", {quote(f'{folder}/*/*/*.parquet')}"
    organizations = f", {quote(f'{folder}/organization_id=')} || organization || '/*/*.parquet'"
    if not connection.execute("select 1 from stg_runs where stream = ? and path is not null", [EVENTS]).fetchone():
        # A pattern that nothing matches would be an error.
        everybodys = organizations = ""
    of_all = _ROWS.replace("{files}", columns + everybodys) + where
    of_one = _ROWS.replace("{files}", columns + organizations) + where
    connection.execute(f"create view events as\n{_reading(model, of_all)}")
    connection.execute(f"create macro events_of(organization) as table\n{_reading(model, of_one)}")


def _reading(model: str, rows: str) -> str:
    """The model over these rows of landing."""
    return model.replace("from landed_events", f"from ({rows}) as landed_events")


def _columns(landing: Place) -> Place:
    """The file that has the columns and nothing else. With others it is another: published views keep theirs."""
    which = hashlib.sha256(str(UNIT_SCHEMA).encode()).hexdigest()[:12]
    path = landing / COLUMNS_FOLDER / "organization_id=none" / "date=1970-01-01" / f"{EVENTS}-{which}.parquet"
    try:
        read_metadata(path)
    except (FileNotFoundError, LandingError):
        write_table(path, UNIT_SCHEMA.empty_table())
    return path
