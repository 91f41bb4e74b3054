"""The state file: what builds carry on, in a DuckDB database of its own that is attached as `state`.

    warehouse/state/jumpcloud.duckdb             what is folded of snapshots, and the rows of all manifests
    warehouse/state/last_good-jumpcloud.duckdb   the warehouse as it was last published

Everything in it comes from landing and can be made again from there. Readers have no business in the folder, which
only its owner may enter: the published file, which everybody may open, is no input of a build. A build works on a copy;
`publish` puts that where the next build finds it.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable
from datetime import datetime
from pathlib import Path

import duckdb

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.files import rebuild_from
from jumpcloud_elt.warehouse.checkpoints import STATE_TABLES
from jumpcloud_elt.warehouse.files import STATE, attach_state, discard_file, state_file_of
from jumpcloud_elt.warehouse.publish import publisher

log = logging.getLogger(__name__)

# Of the state's tables and of the marts.
SCHEMA_VERSION = 5


def begin(settings: Settings, target: Path, *, from_nothing: bool) -> Path:
    """Make the state that the build of `target` goes on with; return its file, which may not exist yet.

    A copy of the bytes that the last build left: what the histories keep costs no more than that, however much it is.
    """
    state = state_file_of(target)
    state.parent.mkdir(parents=True, exist_ok=True)
    kept = None if from_nothing else publisher(settings).state_file()
    if kept is not None:
        kept.copy_to(state)
        if why_not := _why_not_to_go_on_with(state, settings):
            log.warning("%s is not gone on with: %s. Everything is built from landing", kept, why_not)
            discard_file(target)
    return state


def say_which_build(connection: duckdb.DuckDBPyConnection, began_at: datetime) -> None:
    """Note which build has made the state: the last that a build does to it."""
    connection.execute("insert into state.build values (?, ?)", [SCHEMA_VERSION, began_at])


def is_damaged(settings: Settings) -> bool:
    """Whether what the last build left cannot be read from beginning to end."""
    kept = publisher(settings).state_file()
    if kept is None:
        return False
    try:
        with contextlib.closing(duckdb.connect()) as connection:
            attach_state(connection, kept, "(read_only)")
            tables = connection.execute(
                "select table_name from information_schema.tables where table_catalog = ?", [STATE]
            ).fetchall()
            for (table,) in tables:
                connection.execute(f"select bit_xor(hash(rows)) from state.{table} as rows").fetchall()
    except duckdb.Error as error:
        log.warning("%s is damaged (%s). Everything is built from landing", kept, error)
        return True
    return False


def let_go_of(state: Path, organization_ids: Iterable[str]) -> None:
    """Leave organizations to be folded from landing by the next build: what this one made of them is not good."""
    with contextlib.closing(duckdb.connect()) as connection:
        attach_state(connection, state, "")
        connection.execute("set variable organization_ids = ?::varchar[]", [list(organization_ids)])
        for table in STATE_TABLES:
            connection.execute(
                f"delete from state.{table} where list_contains(getvariable('organization_ids'), organization_id)"
            )
        connection.execute(
            "delete from state.read_counts where list_contains(getvariable('organization_ids'), "
            "regexp_extract(path, '/organization_id=([^/]+)/', 1))"
        )


def _why_not_to_go_on_with(state: Path, settings: Settings) -> str:
    """Why a state file cannot be gone on with; empty where it can."""
    try:
        with contextlib.closing(duckdb.connect()) as connection:
            attach_state(connection, state, "(read_only)")
            version, built_at = connection.execute("select schema_version, built_at from state.build").fetchall()[0]
    except (duckdb.Error, IndexError) as error:
        return f"it cannot be read ({error})"
    if version != SCHEMA_VERSION:
        return f"its schema version is {version}, this package's {SCHEMA_VERSION}"
    if built_at <= rebuild_from(settings.landing):
        return "landed files have been rewritten since it was built (jumpcloud_forget)"
    return ""
