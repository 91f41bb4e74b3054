"""What lies in landing, as its own files tell it: for what no run has come to record.

Lists, and reads what files say of themselves. Of lost manifests come back what landed, when, and the decisions that
landed with it; not what failed or was skipped, nor how long anything took.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import msgspec
import pyarrow as pa

from jumpcloud_elt.core.organization import Organization, name_of
from jumpcloud_elt.core.storage import Place, name_within
from jumpcloud_elt.core.times import format_time, parse_time
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.files import damage_told, read_metadata
from jumpcloud_elt.landing.layout import EVENTS, snapshot_time, unit_interval
from jumpcloud_elt.landing.manifests import (
    DAMAGED,
    HELD,
    MANIFEST_SCHEMA,
    OK,
    SKIPPED,
    Outcome,
    RunManifest,
    list_manifests,
)
from jumpcloud_elt.landing.snapshots import COMMIT_STREAM
from jumpcloud_elt.landing.units import read_landed_unit, read_unit_metadata

log = logging.getLogger(__name__)

FOUND_LATER = "found in landing; no run had recorded it"
DIRECTORY_DAG, USAGE_DAG, WAREHOUSE_DAG = "jumpcloud_directory", "jumpcloud_usage", "jumpcloud_warehouse"
READING_THREADS = 16


class _Told(msgspec.Struct):
    """What a file of a snapshot says of itself; older ones say less. The last four stand in the snapshot's last."""

    rows: int | None = None
    received: int | None = None
    api_total: int | None = None
    connection_id: str | None = None
    decision: str | None = None
    reason: str | None = None
    streams: list[str] = []
    unread: dict[str, str] = {}


def record_unknown(
    landing: Place, run: RunManifest, *, of: Collection[str] | None = None, since: datetime = datetime(1, 1, 1)
) -> int:
    """Record every unit and every whole snapshot that no manifest knows, as of when it landed; return how many.

    `of`: the units of these organizations only. A unit that has landed anew since the manifests that know it is
    recorded anew; whether it has is looked up in the files of units that end after `since`. What is landing meanwhile
    may be recorded twice, here and by its own run; it is one all the same. Damaged units are set aside.
    """
    known, organizations = read_manifests(landing)

    def is_named(path: Place) -> bool:
        return name_within(path, landing) in known

    def is_settled(path: Place) -> bool:
        interval = unit_interval(path)
        return is_named(path) and (interval is None or interval[1] <= since)

    def unrecorded(organization: Organization, path: Place) -> Outcome | None:
        recorded = known.get(name_within(path, landing))
        return _unit(landing, organization, path) if recorded is None or _has_landed_since(path, recorded) else None

    units = _files_by_organization(landing, EVENTS, "date=*/[!.]*.parquet", is_settled, of)
    snapshots: dict[str, list[Place]] = {}
    if of is None:
        snapshots = _files_by_organization(
            landing,
            COMMIT_STREAM,
            f"snapshot_at=*/{COMMIT_STREAM}.parquet",
            lambda path: name_within(path, landing) in known,
        )
    with ThreadPoolExecutor(READING_THREADS) as threads:

        def read(organization_id: str) -> Iterator[dict[str, Any]]:
            committed = snapshots.get(organization_id, [])
            organization = organizations.get(organization_id) or _organization(organization_id, committed)
            for landed in threads.map(lambda path: _whole_snapshot(landing, organization, path), committed):
                yield from (_row(one, DIRECTORY_DAG, one.snapshot_at, one.snapshot_at) for one in landed)
            for one in threads.map(lambda path: unrecorded(organization, path), units.get(organization_id, [])):
                if one is not None:
                    yield _row(one, USAGE_DAG, one.interval_start, one.extracted_at or one.interval_end)

        tables = [
            pa.Table.from_pylist(list(read(organization_id)), schema=MANIFEST_SCHEMA)
            for organization_id in sorted({*units, *snapshots})
        ]
    count = len({path for table in tables for path in table["path"].to_pylist()})
    if count:
        run.append(pa.concat_tables(tables))
        log.info("%d files that no run had recorded are recorded now", count)
    return count


def read_manifests(landing: Place) -> tuple[dict[str, datetime], dict[str, Organization]]:
    """The paths that manifests know, with the latest extraction of each, and the organizations as last named.

    Of manifests that do not say when something was extracted the time at which they were written stands for it.
    """
    known: dict[str, datetime] = {}
    latest: dict[str, tuple[datetime, Organization]] = {}
    columns = ["path", "organization_id", "connection_id", "organization_name", "recorded_at", "outcome",
               "extracted_at"]  # fmt: skip
    with ThreadPoolExecutor(READING_THREADS) as threads:
        manifests = [landing / path for path in list_manifests(landing)]
        for table in threads.map(lambda manifest: _read_manifest(manifest, columns), manifests):
            for row in table.to_pylist():
                if row["path"] is not None and row["outcome"] != DAMAGED:
                    extracted_at = row.get("extracted_at") or row["recorded_at"]
                    known[row["path"]] = max(extracted_at, known.get(row["path"], extracted_at))
                organization_id, recorded_at = row["organization_id"], row["recorded_at"]
                if organization_id and (organization_id not in latest or recorded_at > latest[organization_id][0]):
                    name = row["organization_name"]
                    latest[organization_id] = recorded_at, named(organization_id, row["connection_id"], name)
    return known, {organization_id: organization for organization_id, (_, organization) in latest.items()}


def _read_manifest(manifest: Place, columns: list[str]) -> pa.Table:
    """These columns of a manifest; no rows where it is damaged, which the next build says."""
    try:
        with damage_told(manifest), manifest.open_parquet() as file:
            return file.read(columns)
    except LandingError:
        log.warning("%s in %s is damaged: left out", manifest.name, manifest.parent)
        return MANIFEST_SCHEMA.empty_table().select(columns)


def _files_by_organization(
    landing: Place, stream: str, pattern: str, is_known: Callable[[Place], bool], of: Collection[str] | None = None
) -> dict[str, list[Place]]:
    """The files of a stream that are not known, in order; of these organizations (None: of all)."""
    found: dict[str, list[Place]] = {}
    for one in ["*"] if of is None else of:
        for path in (landing / stream).find_files(f"organization_id={one}/{pattern}"):
            if not is_known(path):
                found.setdefault(path.parent.parent.name.removeprefix("organization_id="), []).append(path)
    return found


def _organization(organization_id: str, committed: list[Place]) -> Organization:
    """An organization as its latest snapshot names it; by its id where it has none."""
    if not committed:
        return named(organization_id, "", organization_id)
    try:
        with damage_told(committed[-1]), committed[-1].open_parquet() as file:
            [row] = file.read().to_pylist()
            payload = msgspec.json.decode(row["payload"], type=dict[str, Any])
    except LandingError:
        return _organization(organization_id, committed[:-1])
    return named(organization_id, row["_connection_id"], name_of(payload, organization_id))


def named(organization_id: str | None, connection_id: str, name: str) -> Organization:
    """An organization of which no more is known."""
    return Organization(
        connection_id=connection_id, organization_id=organization_id, organization_name=name, payload="{}", error=None
    )


def _unit(landing: Place, organization: Organization, path: Place) -> Outcome | None:
    """A landed unit, None where the file is damaged or landing writes no such name."""
    interval = unit_interval(path)
    unit = read_landed_unit(path) if interval else None
    if interval is None or unit is None:
        return None
    return Outcome(
        connection_id=unit.connection_id or organization["connection_id"],
        organization_id=organization["organization_id"],
        organization_name=organization["organization_name"],
        stream=EVENTS,
        outcome=unit.outcome,
        reason=FOUND_LATER,
        interval_start=interval[0],
        interval_end=interval[1],
        path=name_within(path, landing),
        rows=unit.rows,
        received=unit.received,
        api_total=unit.api_total,
        inside=unit.inside,
        strays=unit.strays,
        extracted_at=unit.extracted_at,
    )


def _has_landed_since(path: Place, recorded: datetime) -> bool:
    """Whether a unit was extracted later than this, as far as its file can be read."""
    try:
        unit = read_unit_metadata(path)
    except (LandingError, FileNotFoundError):
        return False
    return unit.extracted_at is not None and unit.extracted_at > recorded


def _whole_snapshot(landing: Place, organization: Organization, committed: Place) -> list[Outcome]:
    """As `_snapshot`; nothing where a file of it is damaged or missing, or landing writes no such name."""
    if snapshot_time(committed) is None:
        return []
    try:
        return _snapshot(landing, organization, committed)
    except (LandingError, FileNotFoundError) as error:
        log.warning("Snapshot %s is left out: %s", committed.parent, error)
        return []


def _snapshot(landing: Place, organization: Organization, committed: Place) -> list[Outcome]:
    """The streams of a whole snapshot, with the decision that has landed with it."""
    decided = _tell(committed)
    outcomes = []
    for stream in (*decided.streams, COMMIT_STREAM):
        partition = landing / stream / committed.parent.parent.name / committed.parent.name
        path = partition / f"{stream}.parquet"
        # The last file's own row is the organization.
        told = _Told(rows=1, received=1) if stream == COMMIT_STREAM else _tell(path)
        outcome = _outcome(landing, organization, stream, path, told)
        outcome.snapshot_at = parse_time(committed.parent.name.removeprefix("snapshot_at="))
        outcome.outcome = HELD if decided.decision == HELD else OK
        outcome.decision, outcome.reason = decided.decision, decided.reason or FOUND_LATER
        outcomes.append(outcome)
    for stream, reason in decided.unread.items():
        outcome = msgspec.structs.replace(outcomes[-1], stream=stream, outcome=SKIPPED, reason=reason)
        outcome.path = outcome.rows = outcome.received = outcome.api_total = None
        outcomes.insert(0, outcome)
    return outcomes


def _tell(path: Place) -> _Told:
    with damage_told(path):
        return msgspec.convert(read_metadata(path), _Told)


def _outcome(landing: Place, organization: Organization, stream: str, path: Place, told: _Told) -> Outcome:
    return Outcome(
        connection_id=told.connection_id or organization["connection_id"],
        organization_id=organization["organization_id"],
        organization_name=organization["organization_name"],
        stream=stream,
        outcome=OK,
        path=name_within(path, landing),
        rows=told.rows,
        received=told.received,
        api_total=told.api_total,
    )


def _row(outcome: Outcome, dag_id: str, began: datetime | None, recorded_at: datetime | None) -> dict[str, Any]:
    """A row of a manifest, as if the run that landed it had written it when it landed: later answers stay later."""
    return {
        **msgspec.structs.asdict(outcome),
        "dag_id": dag_id,
        "run_id": f"found__{format_time(began)}" if began else None,
        # Which others its run tried is not known.
        "is_restricted": True,
        "recorded_at": recorded_at,
    }
