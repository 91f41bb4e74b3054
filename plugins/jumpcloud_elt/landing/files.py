"""Landing: where Parquet as received lies, and how a file gets there whole or not at all.

    landing/<stream>/organization_id=<id>/snapshot_at=<time>/<stream>.parquet
    landing/directory_insights_events/organization_id=<id>/date=<day>/<start>_<end>.parquet
    landing/_runs/<dag id>/<run>.parquet
    landing/_rebuild_from

Knows file formats and metadata. Does not know JumpCloud, or whether landing lies in a folder or in a bucket.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from jumpcloud_elt.core.storage import Place, read_if_there
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.layout import REBUILD_FROM

log = logging.getLogger(__name__)

METADATA_KEY = b"jumpcloud_elt"
DAMAGED_SUFFIX = ".damaged"
COMPRESSION_LEVEL = 3


def write_table(path: Place, table: pa.Table, metadata: Mapping[str, object] | None = None) -> None:
    """Write `table` to `path`, replacing what was there, whole or not at all."""
    with path.temporary() as temporary:
        with pq.ParquetWriter(
            temporary, table.schema, compression="zstd", compression_level=COMPRESSION_LEVEL
        ) as writer:
            writer.write_table(table)
            writer.add_key_value_metadata(encode_metadata(metadata or {}))
        path.put(temporary)


def encode_metadata(metadata: Mapping[str, object]) -> dict[bytes, bytes]:
    """What is known of a file beside its rows, for the file's own key-value metadata."""
    return {METADATA_KEY: msgspec.json.encode(metadata)}


def read_metadata(path: Place) -> dict[str, object]:
    """What `write_table` was given beside the rows; empty for a file that carries nothing."""
    with damage_told(path), path.open_parquet() as file:
        # The file's own: a schema that is read back knows only what it was written with.
        metadata = file.metadata.metadata or {}
        return msgspec.json.decode(metadata.get(METADATA_KEY, b"{}"), type=dict[str, object])


def is_readable(path: Place) -> bool:
    """Whether a file is there and, as far as its own end tells, whole."""
    try:
        read_metadata(path)
    except (LandingError, FileNotFoundError):
        return False
    return True


@contextmanager
def damage_told(path: Place) -> Iterator[None]:
    """Raise LandingError where what is read of a file within the block cannot be what landing wrote."""
    try:
        yield
    except Exception as error:
        if not is_damage(error):
            raise
        raise LandingError(f"{path.name} in {path.parent} is not a Parquet file of landing: {error}") from error


def is_damage(error: Exception) -> bool:
    """Whether an error in reading a file is about what it holds, not about memory, the system, or a store.

    Errors of the system or of a store are subclasses of OSError or have a number; Arrow's about pages have neither.
    """
    is_about_content = isinstance(error, pa.ArrowInvalid | UnicodeDecodeError | msgspec.MsgspecError)
    return is_about_content or (type(error) is OSError and error.errno is None)


def check_rows(path: Place) -> None:
    """Read all rows of a file, some at a time. Raises LandingError where it is damaged."""
    with damage_told(path), path.open_parquet() as file:
        for _ in file.iter_batches():
            pass


def set_aside(path: Place) -> Place:
    """Give a damaged file the name `<name>.damaged`: it has not landed. Return where it lies."""
    damaged = path.with_name(f"{path.name}{DAMAGED_SUFFIX}")
    damaged.create_hard_link_to(path)
    path.unlink()
    log.warning("%s in %s is damaged; set aside as %s", path.name, path.parent, damaged.name)
    return damaged


def require_rebuild(landing: Place) -> None:
    """Note that landed files have been rewritten: what was built before now is not to be built upon."""
    path = landing / REBUILD_FROM
    with path.temporary() as temporary:
        temporary.write_text(f"{utc_now().isoformat()}\n")
        path.put(temporary)


def rebuild_from(landing: Place) -> datetime:
    """When landed files were last rewritten; the least of times where they never were."""
    path = landing / REBUILD_FROM
    try:
        written = read_if_there(path)
        return datetime.fromisoformat(written.decode().strip()) if written is not None else datetime(1, 1, 1)
    except ValueError as error:
        raise LandingError(f"{path} does not hold an ISO 8601 time, as jumpcloud_forget writes it") from error
