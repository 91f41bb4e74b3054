"""The file format of landed events: schema, writer, metadata. Does not know how events are read."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from jumpcloud_elt.core.streams import LINEAGE_FIELDS
from jumpcloud_elt.landing.files import COMPRESSION_LEVEL

# In a unit's metadata: who was asked, for which services, and whether JumpCloud may have let go of some of it before.
CONNECTION_ID, SERVICES, BEGAN_BEFORE_RETENTION = "connection_id", "services", "began_before_retention"
_TIME = pa.timestamp("us")
_ACTOR_FIELDS = ("id", "type", "username", "email")
_APPLICATION_FIELDS = ("id", "name", "display_label", "sso_type")

UNIT_SCHEMA = pa.schema(
    [
        ("event_id", pa.string()),
        ("event_type", pa.string()),
        ("service", pa.string()),
        ("event_at", _TIME),
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


def open_writer(path: Path) -> pq.ParquetWriter:
    """A writer of SCHEMA. Each batch becomes a row group: nothing waits in memory for the next page."""
    return pq.ParquetWriter(
        path,
        UNIT_SCHEMA,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=_DICTIONARY_COLUMNS,
        write_statistics=_STATISTICS_COLUMNS,
    )
