"""Landing: where Parquet as received lies, and how a file gets there whole or not at all.

    landing/<stream>/organization_id=<id>/snapshot_at=<time>/<stream>.parquet
    landing/directory_insights_events/organization_id=<id>/date=<day>/<start>_<end>.parquet
    landing/_runs/<dag id>/<run>.parquet
    landing/_rebuild_from

Knows paths, metadata and who may write when. Does not know JumpCloud, nor whether landing is a folder or lies in an
object store: `places` does.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from jumpcloud_elt.core.storage import Place, open_parquet, put, read_if_there, temporary_for, version_of
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.layout import REBUILD_FROM

METADATA_KEY = b"jumpcloud_elt"
COMPRESSION_LEVEL = 3
# The place of an object store that this context publishes to, and what was there when its turn began.
_turn: ContextVar[tuple[Place, str] | None] = ContextVar("_turn", default=None)


def write_table(path: Place, table: pa.Table, metadata: Mapping[str, object] | None = None) -> None:
    """Write `table` to `path`, replacing what was there, whole or not at all."""
    with temporary_beside(path) as temporary:
        with pq.ParquetWriter(
            temporary, table.schema, compression="zstd", compression_level=COMPRESSION_LEVEL
        ) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(encode_metadata(metadata or {}))
        put_whole(temporary, path)


def encode_metadata(metadata: Mapping[str, object]) -> dict[bytes, bytes]:
    """What is known of a file beside its rows, for the file's own key-value metadata."""
    return {METADATA_KEY: msgspec.json.encode(metadata)}


def read_metadata(path: Place) -> dict[str, object]:
    """What `write_table` was given beside the rows; empty for a file that carries nothing."""
    try:
        with open_parquet(path) as file:
            # The file's own: a schema that is read back knows only what it was written with.
            metadata = file.metadata.metadata or {}
        decoded = msgspec.json.decode(metadata.get(METADATA_KEY, b"{}"), type=dict[str, object])
    except (pa.ArrowException, msgspec.MsgspecError) as error:
        raise LandingError(f"{path.name} in {path.parent} is not a Parquet file of landing") from error
    return decoded


@contextmanager
def temporary_beside(path: Place) -> Iterator[Path]:
    """Give a temporary local path, for `publish`; what is left of it is removed."""
    with temporary_for(path) as temporary:
        yield temporary


@contextmanager
def one_writer(path: Place) -> Iterator[None]:
    """Look at `path` and publish to it as its only writer: runs of the same interval beside each other take turns.

    In a folder the second one waits. An object store has no locks: there `publish` raises PutRefusedError where
    somebody else has published to `path` since the turn began, and the task that is tried again finds what it landed.
    """
    if isinstance(path, Path):
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            yield
        finally:
            os.close(folder)
    else:
        turn = _turn.set((path, version_of(path)))
        try:
            yield
        finally:
            _turn.reset(turn)


def put_whole(temporary: Path, path: Place) -> None:
    """Make a finished file appear as `path`, whole, replacing what was there."""
    turn = _turn.get()
    put(temporary, path, version=turn[1] if turn and turn[0] == path else None)


def require_rebuild(landing: Place) -> None:
    """Note that landed files have been rewritten: what was built before now is not to be built upon."""
    path = landing / REBUILD_FROM
    with temporary_beside(path) as temporary:
        temporary.write_text(f"{utc_now().isoformat()}\n")
        put_whole(temporary, path)


def rebuild_from(landing: Place) -> datetime:
    """When landed files were last rewritten; the least of times where they never were."""
    path = landing / REBUILD_FROM
    try:
        written = read_if_there(path)
        return datetime.fromisoformat(written.decode().strip()) if written is not None else datetime(1, 1, 1)
    except ValueError as error:
        raise LandingError(f"{path} does not hold an ISO 8601 time, as jumpcloud_forget writes it") from error
