"""Where things lie below the landing folder: paths of snapshots, units, runs and checkpoints."""

from __future__ import annotations

import hashlib
import re
from datetime import datetime, timedelta

from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.times import format_time, parse_time

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


def landed_units(
    landing: Place, organization_id: str, since: datetime, until: datetime
) -> list[tuple[datetime, datetime]]:
    """The units of one organization that lie in [since, until); only the folders of those days are listed."""
    found = []
    day = datetime(since.year, since.month, since.day)
    while day < until:
        for path in unit_path(landing, organization_id, day, day).parent.find_files("[!.]*.parquet"):
            start, _, end = path.stem.partition("_")
            found.append((parse_time(start), parse_time(end)))
        day += timedelta(days=1)
    return sorted(unit for unit in found if since <= unit[0] and unit[1] <= until)


def run_file_name(run_id: str) -> str:
    """A file name for a Dag run: readable, and distinct for run ids that differ only in odd characters."""
    readable = re.sub(r"[^A-Za-z0-9T_-]+", "-", run_id)[:80]
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:12]}"


CHECKPOINTS = "_checkpoints"
