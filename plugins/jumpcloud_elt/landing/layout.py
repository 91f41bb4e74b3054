"""Where things lie below the landing folder: paths of snapshots, units, runs and checkpoints."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime

from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.times import format_time, parse_time
from jumpcloud_elt.errors import LandingError

EVENTS = "directory_insights_events"
RUNS = "_runs"
REBUILD_FROM = "_rebuild_from"


def snapshot_path(landing: Place, stream: str, organization_id: str, snapshot_at: datetime) -> Place:
    """The file of one stream of one organization's snapshot."""
    partition = landing / stream / f"organization_id={organization_id}" / f"snapshot_at={format_time(snapshot_at)}"
    return partition / f"{stream}.parquet"


def unit_path(landing: Place, organization_id: str, start: datetime, end: datetime) -> Place:
    """The file of one organization's events of one interval, which lies within one UTC day."""
    partition = landing / EVENTS / f"organization_id={organization_id}" / f"date={start:%Y-%m-%d}"
    return partition / f"{format_time(start)}_{format_time(end)}.parquet"


def landed_units(landing: Place, organization_id: str) -> dict[tuple[datetime, datetime], Place]:
    """The units of one organization, by their intervals; files with other names are left alone."""
    found = {}
    for path in (landing / EVENTS / f"organization_id={organization_id}").find_files("date=*/[!.]*.parquet"):
        interval = unit_interval(path)
        if interval is not None:
            found[interval] = path
    return found


def unit_interval(path: Place) -> tuple[datetime, datetime] | None:
    """The interval that the name of a unit's file says; None where landing writes no such name."""
    start, _, end = path.stem.partition("_")
    try:
        return parse_time(start), parse_time(end)
    except LandingError:
        return None


def snapshot_time(path: Place) -> datetime | None:
    """When the snapshot was taken in whose folder a file lies; None where landing writes no such name."""
    try:
        return parse_time(path.parent.name.removeprefix("snapshot_at="))
    except LandingError:
        return None


def organization_of(path: Place) -> str | None:
    """The organization in whose folder a landed file lies; None where it is nobody's alone."""
    found = re.search(r"/organization_id=([^/]+)/", path.url)
    return found[1] if found else None


def run_file_name(run_id: str) -> str:
    """A file name for a Dag run: readable, and distinct for run ids that differ only in odd characters."""
    readable = re.sub(r"[^A-Za-z0-9T_-]+", "-", run_id)[:80]
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:12]}"


def is_run_file(name: str) -> bool:
    """Whether a manifest may have this file name: landing writes no other."""
    return re.fullmatch(r"[A-Za-z0-9_-]*-[0-9a-f]{12}\.parquet", name) is not None


CHECKPOINTS = "_checkpoints"
