"""Files that a build cannot read: a damaged file is a file that has not landed.

What landed is set aside as `<name>.damaged` and recorded in the manifest of the run that found it, with the outcome
`damaged`; roll-ups are removed, for they are made anew. Models leave out what is recorded so, until it is there again
(`stg_damaged`). Files are looked at one by one only after a statement that read them has failed.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import datetime, timedelta

import duckdb

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place, name_within
from jumpcloud_elt.core.times import DAY, midnight_before, utc_now
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing import inventory
from jumpcloud_elt.landing.action_log import USER_ACTIONS
from jumpcloud_elt.landing.files import check_rows, damage_told, is_readable, read_metadata, set_aside
from jumpcloud_elt.landing.layout import EVENTS, RUNS, organization_of, snapshot_time, unit_interval
from jumpcloud_elt.landing.manifests import DAMAGED, Outcome, RunManifest
from jumpcloud_elt.landing.units import UNIT_SCHEMA
from jumpcloud_elt.warehouse.sql_files import make, quote

log = logging.getLogger(__name__)


def files_of(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """The URLs of the files that the models of a connection were last given to read."""
    names = connection.execute("select name from duckdb_variables() where ends_with(name, '_files')").fetchall()
    return [url for (name,) in names for url in _variable(connection, name)]


def repair(urls: Iterable[str], settings: Settings, run: RunManifest) -> bool:
    """Set aside those of the files that cannot be read, and record them; return whether there were any."""
    found_at = utc_now()
    found: dict[Place, str] = {}
    has_removed = False
    for url in urls:
        if url.startswith(f"{settings.rollups.url}/"):
            path = settings.rollups / url.removeprefix(f"{settings.rollups.url}/")
            if _why_unreadable(path):
                log.warning("%s cannot be read: it is made anew", path)
                path.unlink(missing_ok=True)
                has_removed = True
        elif url.startswith(f"{settings.landing.url}/"):
            path = settings.landing / url.removeprefix(f"{settings.landing.url}/")
            if why := _why_unreadable(path):
                found[path] = _set_aside(path, why)
    if found:
        _record(settings.landing, run, found, found_at)
    return has_removed or bool(found)


def show_damaged(
    connection: duckdb.DuckDBPyConnection, landing: Place, now: datetime, retention_days: Callable[[str], int]
) -> None:
    """Make `stg_damaged` of what builds have recorded and is still so.

    `retention_days`: how long JumpCloud keeps the events of a connection.
    """
    recorded = connection.execute(
        "select path, stream, max(interval_end), arg_max(connection_id, recorded_at) from stg_runs "
        "where outcome = 'damaged' and organization_id is not null group by path, stream"
    ).fetchall()
    damaged = [row for row in recorded if not is_readable(landing / row[0])]
    lost = [
        path
        for path, stream, interval_end, connection_id in damaged
        if stream == USER_ACTIONS
        or (interval_end is not None and interval_end <= _retained(now, retention_days(connection_id)))
    ]
    connection.execute("set variable damaged_paths = ?::varchar[]", [[path for path, *_ in damaged]])
    connection.execute("set variable lost_paths = ?::varchar[]", [lost])
    make(connection, "staging/stg_damaged", "create or replace temp table stg_damaged")


def _variable(connection: duckdb.DuckDBPyConnection, name: str) -> list[str]:
    ((value,),) = connection.execute(f"select getvariable({quote(name)})").fetchall()
    return list(value or [])


def _retained(now: datetime, days: int) -> datetime:
    """From when on events are read again: whole days that JumpCloud still has."""
    oldest = now - timedelta(days=days)
    midnight = midnight_before(oldest)
    return midnight if midnight == oldest else midnight + DAY


def _why_unreadable(path: Place) -> str | None:
    """`missing` or `damaged`; None where all of a file can be read."""
    try:
        read_metadata(path)
        with damage_told(path), path.open_parquet() as file:
            if not _columns(path) <= set(file.schema_arrow.names):
                return DAMAGED
        check_rows(path)
    except FileNotFoundError:
        return "missing"
    except LandingError:
        return DAMAGED
    return None


def _columns(path: Place) -> set[str]:
    """Some columns without which a file is none of landing's."""
    if f"/{EVENTS}/" in path.url:
        return set(UNIT_SCHEMA.names)
    return {"payload"} if snapshot_time(path) else set()


def _set_aside(path: Place, why: str) -> str:
    """Set a damaged file aside, unless it has landed anew meanwhile; return why it could not be read."""
    if why == DAMAGED:
        with path.one_writer():
            if _why_unreadable(path) == DAMAGED:
                return f"damaged, set aside as {set_aside(path).name}"
    log.warning("%s is %s", path, why)
    return why


def _record(landing: Place, run: RunManifest, found: dict[Place, str], found_at: datetime) -> None:
    organizations = inventory.read_manifests(landing)[1]
    outcomes = []
    for path, why in found.items():
        organization_id, name = organization_of(path), name_within(path, landing)
        organization = organizations.get(organization_id or "") or inventory.named(organization_id, "", "")
        interval = unit_interval(path) if f"/{EVENTS}/" in path.url else None
        outcomes.append(
            Outcome(
                connection_id=organization["connection_id"],
                organization_id=organization_id,
                organization_name=organization["organization_name"] or organization_id or "",
                stream=name.split("/")[0],
                outcome=DAMAGED,
                reason=f"{name} is {why}",
                path=name,
                snapshot_at=snapshot_time(path),
                interval_start=interval[0] if interval else None,
                interval_end=interval[1] if interval else None,
            )
        )
    run.append_outcomes(outcomes, found_at)
    if any(outcome.stream == RUNS for outcome in outcomes):
        # What they said of units and snapshots, these say themselves.
        inventory.record_unknown(landing, run)
