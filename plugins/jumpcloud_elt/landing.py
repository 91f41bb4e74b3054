"""Landing: where Parquet as received lies, and how a file gets there whole or not at all.

    landing/<stream>/organization_id=<id>/snapshot_at=<time>/<stream>.parquet
    landing/directory_insights_events/organization_id=<id>/date=<day>/<start>_<end>.parquet
    landing/_runs/<dag id>/<run>.parquet
    landing/_rebuild_from

Knows paths, schemas of manifests and atomic writes. Does not know JumpCloud.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from jumpcloud_elt.errors import LandingError

EVENTS = "directory_insights_events"
RUNS = "_runs"
REBUILD_FROM = "_rebuild_from"
METADATA_KEY = b"jumpcloud_elt"
COMPRESSION_LEVEL = 3


def utc_now() -> datetime:
    """Now, as a naive UTC time: the form in which every time is landed."""
    return datetime.now(UTC).replace(tzinfo=None)


def format_time(moment: datetime) -> str:
    """A naive UTC time in basic ISO form, microseconds only where there are any."""
    return moment.strftime("%Y%m%dT%H%M%S.%fZ" if moment.microsecond else "%Y%m%dT%H%M%SZ")


def parse_time(text: str) -> datetime:
    """The time that `format_time` wrote."""
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%S.%fZ" if "." in text else "%Y%m%dT%H%M%SZ")
    except ValueError as error:
        raise LandingError(f"{text!r} is not a time as landing writes it, such as 20261122T000000Z") from error


def snapshot_path(landing: Path, stream: str, organization_id: str, snapshot_at: datetime) -> Path:
    """The file of one stream of one organization's snapshot."""
    partition = landing / stream / f"organization_id={organization_id}" / f"snapshot_at={format_time(snapshot_at)}"
    return partition / f"{stream}.parquet"


def unit_path(landing: Path, organization_id: str, start: datetime, end: datetime) -> Path:
    """The file of one organization's events of one interval, which lies within one UTC day."""
    partition = landing / EVENTS / f"organization_id={organization_id}" / f"date={start:%Y-%m-%d}"
    return partition / f"{format_time(start)}_{format_time(end)}.parquet"


def landed_units(
    landing: Path, organization_id: str, since: datetime, until: datetime
) -> list[tuple[datetime, datetime]]:
    """The units of one organization that lie in [since, until); only the folders of those days are listed."""
    found = []
    day = datetime(since.year, since.month, since.day)
    while day < until:
        folder = unit_path(landing, organization_id, day, day).parent
        for path in folder.glob("[!.]*.parquet") if folder.exists() else ():
            start, _, end = path.stem.partition("_")
            found.append((parse_time(start), parse_time(end)))
        day += timedelta(days=1)
    return sorted(unit for unit in found if since <= unit[0] and unit[1] <= until)


def write_table(path: Path, table: pa.Table, metadata: Mapping[str, object] | None = None) -> None:
    """Write `table` to `path`, replacing what was there, whole or not at all."""
    with temporary_beside(path) as temporary:
        with pq.ParquetWriter(
            temporary, table.schema, compression="zstd", compression_level=COMPRESSION_LEVEL
        ) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(encode_metadata(metadata or {}))
        publish(temporary, path)


def encode_metadata(metadata: Mapping[str, object]) -> dict[bytes, bytes]:
    """What is known of a file beside its rows, for the file's own key-value metadata."""
    return {METADATA_KEY: msgspec.json.encode(metadata)}


def read_metadata(path: Path) -> dict[str, object]:
    """What `write_table` was given beside the rows; empty for a file that carries nothing."""
    try:
        # The file's own: a schema that is read back knows only what it was written with.
        metadata = pq.read_metadata(path).metadata or {}
        decoded = msgspec.json.decode(metadata.get(METADATA_KEY, b"{}"), type=dict[str, object])
    except (pa.ArrowException, msgspec.MsgspecError) as error:
        raise LandingError(f"{path.name} in {path.parent} is not a Parquet file of landing") from error
    return decoded


@contextmanager
def temporary_beside(path: Path) -> Iterator[Path]:
    """Give a temporary path in the folder of `path`, for `publish`; what is left of it is removed.

    Temporary names begin with a dot and do not end in `.parquet`: no reader takes one for a unit.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def one_writer(path: Path) -> Iterator[None]:
    """Hold the folder of `path` alone: runs of the same interval beside each other take turns to publish."""
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def publish(temporary: Path, path: Path) -> None:
    """Make a finished file appear as `path`, whole, replacing what was there."""
    with temporary.open("rb") as written:
        # A rename may survive a power cut that the data before it did not.
        os.fsync(written.fileno())
    temporary.replace(path)


def require_rebuild(landing: Path) -> None:
    """Note that landed files have been rewritten: what was built before now is not to be built upon."""
    path = landing / REBUILD_FROM
    with temporary_beside(path) as temporary:
        temporary.write_text(f"{utc_now().isoformat()}\n")
        publish(temporary, path)


def rebuild_from(landing: Path) -> datetime:
    """When landed files were last rewritten; the least of times where they never were."""
    path = landing / REBUILD_FROM
    try:
        return datetime.fromisoformat(path.read_text().strip()) if path.exists() else datetime(1, 1, 1)
    except ValueError as error:
        raise LandingError(f"{path} does not hold an ISO 8601 time, as jumpcloud_forget writes it") from error


def run_file_name(run_id: str) -> str:
    """A file name for a Dag run: readable, and distinct for run ids that differ only in odd characters."""
    readable = re.sub(r"[^A-Za-z0-9T_-]+", "-", run_id)[:80]
    return f"{readable}-{hashlib.sha256(run_id.encode()).hexdigest()[:12]}"
