"""Pages of Directory Insights events as columns, and the Parquet that they become: the hot path.

A page is decoded once for its key columns and once for the raw text of each event, both in C; its bytes become the
payload column without passing through Python objects. Knows nothing of units, nor where pages come from.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa

from jumpcloud_elt.core.redaction import EVENT_SECRET_NAMES, remove_event_secrets
from jumpcloud_elt.core.streams import LINEAGE_FIELDS
from jumpcloud_elt.errors import PageShapeError
from jumpcloud_elt.landing.units import _ACTOR_FIELDS, _APPLICATION_FIELDS, TIME, UNIT_SCHEMA


class Actor(msgspec.Struct, gc=False):
    id: str | None = None
    type: str | None = None
    username: str | None = None
    email: str | None = None


class EventApplication(msgspec.Struct, gc=False):
    id: str | None = None
    name: str | None = None
    display_label: str | None = None
    sso_type: str | None = None


class Event(msgspec.Struct, gc=False):
    """The fields of an event that get a column; all others stay in its payload."""

    id: str
    event_type: str | None = None
    service: str | None = None
    timestamp: str | None = None
    success: bool | None = None
    sso_token_success: bool | None = None
    initiated_by: Actor | None = None
    resource: Actor | None = None
    application: EventApplication | None = None


_decode_typed = msgspec.json.Decoder(list[Event]).decode
# Numbers that no float holds are no reason to refuse an event.
_decode_any = msgspec.json.Decoder(float_hook=float).decode
_decode_raw = msgspec.json.Decoder(list[msgspec.Raw]).decode
_NO_ACTOR, _NO_APPLICATION = Actor(), EventApplication()


def decode_page(
    body: bytes | memoryview,
    lineage: tuple[str, datetime, datetime, datetime],
    names: frozenset[str] = EVENT_SECRET_NAMES,
    rows: list[msgspec.Raw] | None = None,
) -> pa.RecordBatch:
    """One page of events as received, as a batch of SCHEMA: key columns, and the payload without secrets.

    `lineage` is connection id, extraction time, interval start and end; `names` is what is cut out; `rows`
    are those of the page, where they are known. Raises
    PageShapeError when the page is not an array of events with ids.
    """
    try:
        raw, events = _decode_events(body, rows)
        payloads = remove_event_secrets(_payloads(raw), names)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise PageShapeError("Events: expected an array of objects, each with an `id`") from error
    if not all(event.id for event in events):
        raise PageShapeError("Events: expected every event to have an `id`, got one that is empty")
    size = len(events)
    initiators = [event.initiated_by or _NO_ACTOR for event in events]
    resources = [event.resource or _NO_ACTOR for event in events]
    applications = [event.application or _NO_APPLICATION for event in events]
    columns: list[pa.Array] = [
        pa.array([event.id for event in events], pa.string()),
        pa.array([event.event_type for event in events], pa.string()),
        pa.array([event.service for event in events], pa.string()),
        parse_timestamps([event.timestamp for event in events]),
        pa.array([event.success for event in events], pa.bool_()),
        pa.array([event.sso_token_success for event in events], pa.bool_()),
        *(pa.array([getattr(actor, name) for actor in initiators], pa.string()) for name in _ACTOR_FIELDS),
        *(pa.array([getattr(actor, name) for actor in resources], pa.string()) for name in _ACTOR_FIELDS),
        *(pa.array([getattr(one, name) for one in applications], pa.string()) for name in _APPLICATION_FIELDS),
        payloads,
        *(pa.repeat(pa.scalar(value, field.type), size) for value, field in zip(lineage, LINEAGE_FIELDS, strict=True)),
    ]
    return pa.record_batch(columns, schema=UNIT_SCHEMA)


def _payloads(raw: list[msgspec.Raw]) -> pa.StringArray:
    """The events' own bytes as one string column, without a Python string for each."""
    lengths = np.fromiter((memoryview(one).nbytes for one in raw), np.int32, len(raw))
    offsets = np.zeros(len(raw) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(b"".join(raw)))


def _decode_events(body: bytes | memoryview, rows: list[msgspec.Raw] | None) -> tuple[list[msgspec.Raw], list[Event]]:
    """The events of a page, as received and by their fields; nulls are left out."""
    raw = _decode_raw(body) if rows is None else rows
    try:
        return raw, _decode_typed(body)
    except msgspec.ValidationError:
        # Some field is of another type than ever seen, or the page holds nulls. Read it event by event.
        raw = [one for one in raw if bytes(memoryview(one)[:4]) != b"null"]
        return raw, [_read_event(_decode_any(one)) for one in raw]


def _read_event(event: Any) -> Event:
    """An event whose fields have unexpected types: what can be read is, the payload keeps the rest."""
    if not isinstance(event, dict) or not isinstance(event.get("id"), str):
        raise PageShapeError("Events: expected every event to be an object with an `id`")
    return Event(
        id=event["id"],
        event_type=_text(event.get("event_type")),
        service=_text(event.get("service")),
        timestamp=_text(event.get("timestamp")),
        success=_flag(event.get("success")),
        sso_token_success=_flag(event.get("sso_token_success")),
        initiated_by=Actor(**_texts(event.get("initiated_by"), _ACTOR_FIELDS)),
        resource=Actor(**_texts(event.get("resource"), _ACTOR_FIELDS)),
        application=EventApplication(**_texts(event.get("application"), _APPLICATION_FIELDS)),
    )


def _texts(value: Any, names: tuple[str, ...]) -> dict[str, str | None]:
    return {name: _text(value.get(name)) for name in names} if isinstance(value, dict) else {}


def _text(value: Any) -> str | None:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else None


def _flag(value: Any) -> bool | None:
    """A boolean, as JSON or as the text `true` or `false`."""
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value)
    return value if isinstance(value, bool) else None


def parse_timestamps(texts: list[str | None]) -> pa.Array:
    """ISO 8601 times with 0 to 9 digits of a second, as naive UTC in microseconds; finer digits are cut off.

    A text that is no time becomes null: its event is a stray.
    """
    try:
        exact = pa.array(texts, pa.string()).cast(pa.timestamp("ns", "UTC"))
    except pa.ArrowInvalid:
        return pa.array([_parse_timestamp(text) for text in texts], TIME)
    # A cast to microseconds would cut towards zero; times are after 1970, where that is the floor.
    return exact.cast(pa.timestamp("us", "UTC"), safe=False).cast(TIME)


def _parse_timestamp(text: str | None) -> datetime | None:
    try:
        # fromisoformat cuts digits beyond microseconds off, and knows `T` and `Z` in upper case only.
        moment = datetime.fromisoformat((text or "").upper())
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None
