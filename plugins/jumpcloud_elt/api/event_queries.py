"""Bodies of Directory Insights queries, and the number in the answer of a count."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from jumpcloud_elt.api.responses import ApiResponse
from jumpcloud_elt.errors import PageShapeError


def read_count(answer: ApiResponse) -> int:
    """The number in an answer of ``events/count``. Raises PageShapeError."""
    body = answer.decode()
    count = body.get("count") if isinstance(body, dict) else None
    if not isinstance(count, int) or isinstance(count, bool) or count < 0:
        raise PageShapeError(f"events/count: expected {{'count': N}}, got {str(body)[:80]}")
    return count


def events_body(services: Sequence[str], start: datetime, end: datetime) -> dict[str, Any]:
    """The body of a Directory Insights query over [start, end], ascending. `start` and `end` are aware."""
    return {
        "service": list(services),
        "start_time": _rfc3339(start),
        "end_time": _rfc3339(end),
        "sort": "ASC",
    }


def _rfc3339(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def interval_of(width: int) -> dict[str, str]:
    """The parameters of `/events/interval` for buckets of `width` seconds."""
    for unit, seconds in (("h", 3600), ("m", 60)):
        if width % seconds == 0:
            return {"interval_unit": unit, "interval_value": str(width // seconds)}
    return {"interval_unit": "s", "interval_value": str(width)}
