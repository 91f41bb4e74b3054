"""The landed capabilities of each organization: path, schema and kinds."""

from __future__ import annotations

import pyarrow as pa

from jumpcloud_elt.core.storage import Place

# Kinds.
SYNC, ACTION = "sync", "action"

CAPABILITIES = "capabilities"

CAPABILITY_SCHEMA = pa.schema(
    [
        ("connection_id", pa.string()),
        ("capability", pa.string()),
        ("kind", pa.string()),
        ("state", pa.string()),
        ("reason", pa.string()),
        ("key_ends_at", pa.timestamp("us")),
        ("run_id", pa.string()),
        ("checked_at", pa.timestamp("us")),
    ]
)


def capabilities_path(landing: Place, organization_id: str) -> Place:
    """The file of one organization. Its folder names it; there is no column of that name inside."""
    return landing / CAPABILITIES / f"organization_id={organization_id}" / f"{CAPABILITIES}.parquet"


def capability_files(landing: Place) -> list[Place]:
    """Everything that has landed of capabilities."""
    return (landing / CAPABILITIES).find_files(f"organization_id=*/{CAPABILITIES}.parquet")
