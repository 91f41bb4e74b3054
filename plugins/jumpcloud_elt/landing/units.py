"""The file format of landed events: schema, writer, metadata. Does not know how events are read."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.streams import LINEAGE_FIELDS
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.files import COMPRESSION_LEVEL, damage_told, encode_metadata, read_metadata, set_aside
from jumpcloud_elt.landing.manifests import OK

TIME = pa.timestamp("us")
_ACTOR_FIELDS = ("id", "type", "username", "email")
_APPLICATION_FIELDS = ("id", "name", "display_label", "sso_type")

UNIT_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_type", pa.string()),
        ("service", pa.string()),
        ("event_at", TIME),
        ("success", pa.bool_()),
        ("sso_token_success", pa.bool_()),
        *((f"initiated_by_{name}", pa.string()) for name in _ACTOR_FIELDS),
        *((f"resource_{name}", pa.string()) for name in _ACTOR_FIELDS),
        *((f"application_{name}", pa.string()) for name in _APPLICATION_FIELDS),
        ("payload", pa.string()),
        *((field.name, field.type) for field in LINEAGE_FIELDS),
    ]
)

# Everything repeats within a page but ids, times and payloads.
_DICTIONARY_COLUMNS = [name for name in UNIT_SCHEMA.names if name not in ("event_id", "event_at", "payload")]
# The least and the greatest payload of a row group are of no use to a reader, and a kilobyte each.
_STATISTICS_COLUMNS = [name for name in UNIT_SCHEMA.names if name != "payload"]


class UnitMetadata(msgspec.Struct, kw_only=True):
    """What a unit's file says of itself; older files say less.

    `received` and `api_total` are the distinct ids and the API's own count of the latest reading, before anything was
    cut; `inside` and `strays` the distinct ids of the file that are dated in and outside of the interval; `outcome` is
    `ok` once a reading has agreed with its count and has returned all that had landed, `unverified` where JumpCloud
    has not answered for a range that old, else `incomplete`; `services` are those of the readings that made it `ok`,
    if any did. `began_before_retention`: in every reading JumpCloud may have let go of some of it before.
    `extracted_at`, the latest, tells one content from the next.
    """

    rows: int = 0
    received: int = 0
    api_total: int | None = None
    inside: int = 0
    strays: int = 0
    extracted_at: datetime | None = None
    connection_id: str | None = None
    services: list[str] | None = None
    began_before_retention: bool | None = None
    outcome: str = OK


def open_writer(path: Path) -> pq.ParquetWriter:
    """A writer of UNIT_SCHEMA. Each batch becomes a row group: nothing waits in memory for the next page."""
    return pq.ParquetWriter(
        path,
        UNIT_SCHEMA,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=_DICTIONARY_COLUMNS,
        write_statistics=_STATISTICS_COLUMNS,
    )


def add_metadata(writer: pq.ParquetWriter, metadata: UnitMetadata) -> None:
    """Let the file that is being written say of itself what is known of it."""
    writer.add_key_value_metadata(encode_metadata(msgspec.structs.asdict(metadata)))


def read_unit_metadata(path: Place) -> UnitMetadata:
    """What a unit says of itself. Raises LandingError where the file is damaged, FileNotFoundError where it is not."""
    with damage_told(path):
        return msgspec.convert(read_metadata(path), UnitMetadata)


def read_landed_unit(path: Place) -> UnitMetadata | None:
    """What a unit says of itself, None where it has not landed; a damaged file is set aside, and has not."""
    try:
        return read_unit_metadata(path)
    except FileNotFoundError:
        return None
    except LandingError:
        # Another run may be landing it anew.
        with path.one_writer():
            try:
                return read_unit_metadata(path)
            except FileNotFoundError:
                return None
            except LandingError:
                set_aside(path)
                return None


def is_between(times: pa.Array | pa.ChunkedArray, start: datetime, end: datetime) -> pa.Array:
    """Whether times lie in [start, end); no time does not."""
    is_in = pc.and_(pc.greater_equal(times, pa.scalar(start, TIME)), pc.less(times, pa.scalar(end, TIME)))
    return pc.fill_null(is_in, False)
