"""RFC 3339 to integers and back.

Event times carry 0 to 9 fraction digits, and `datetime` stops at 6: nanoseconds since the epoch lose
nothing. Does not know what the times mean.
"""

from __future__ import annotations

import calendar
import re
from datetime import UTC, datetime

MILLISECOND = 1_000_000
SECOND = 1_000_000_000

_RFC3339 = re.compile(r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:?\d\d)?", re.ASCII)


def parse_ns(text: object) -> int:
    """Nanoseconds since the epoch; without a zone the time is UTC. Raises ValueError."""
    match = _RFC3339.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"not an RFC 3339 time: {text!r}")
    *parts, fraction, zone = match.groups()
    moment = datetime(*(int(part) for part in parts))  # type: ignore[arg-type]  # ranges are checked here
    seconds = calendar.timegm(moment.timetuple()) - (offset_seconds(zone) if zone else 0)
    return seconds * SECOND + int((fraction or "").ljust(9, "0"))


def offset_seconds(zone: str) -> int:
    """Seconds east of UTC of ``Z``, ``+02:00`` or ``-0500``."""
    if zone in ("Z", "z"):
        return 0
    digits = zone[1:].replace(":", "")
    seconds = int(digits[:2]) * 3600 + int(digits[2:4]) * 60
    return -seconds if zone[0] == "-" else seconds


def format_ns(ns: int, digits: int = 3) -> str:
    """RFC 3339 in UTC with `digits` fraction digits; the rest is cut off, never rounded."""
    seconds, rest = divmod(ns, SECOND)
    text = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{rest:09d}"[: 20 + digits] + "Z" if digits else f"{text}Z"
