"""Directory Insights events of one organization and interval, landed as one Parquet file: the hot path.

A page is decoded once for its key columns and once for the raw text of each event, both in C; its bytes become the
payload column without passing through Python objects. Memory holds one page, and the ids of the interval to count.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jumpcloud_elt.errors import IncompleteListingError, PageShapeError
from jumpcloud_elt.hook import JumpCloudHook, events_body
from jumpcloud_elt.intervals import Interval
from jumpcloud_elt.landing import (
    COMPRESSION_LEVEL,
    EVENTS,
    encode_metadata,
    one_writer,
    publish,
    read_metadata,
    temporary_beside,
    unit_path,
    utc_now,
)
from jumpcloud_elt.organizations import Organization
from jumpcloud_elt.pagination import iter_insights_pages
from jumpcloud_elt.places import name_within
from jumpcloud_elt.redaction import EVENT_SECRET_NAMES, PERSONAL_EVENT_NAMES, remove_event_secrets
from jumpcloud_elt.runs import KEPT, OK, Outcome
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.streams import LINEAGE_FIELDS

READ_ATTEMPTS = 3
_TIME = pa.timestamp("us")
_ACTOR_FIELDS = ("id", "type", "username", "email")
_APPLICATION_FIELDS = ("id", "name", "display_label", "sso_type")
SCHEMA = pa.schema(
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
_DICTIONARY_COLUMNS = [name for name in SCHEMA.names if name not in ("event_id", "event_at", "payload")]
# The least and the greatest payload of a row group are of no use to a reader, and a kilobyte each.
_STATISTICS_COLUMNS = [name for name in SCHEMA.names if name != "payload"]


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


@dataclass(frozen=True)
class UnitCounts:
    """What was received of a unit, in distinct event ids.

    `received` is everything, before anything is cut; `inside` is dated in the interval; `strays` is dated
    elsewhere, but for the interval's very end: those belong to the next unit and are cut. `extracted_at` tells one
    reading of the unit from the next: the roll-ups ask the file for it.
    """

    received: int
    inside: int
    strays: int
    rows: int
    api_total: int
    extracted_at: datetime


def land_unit(hook: JumpCloudHook, organization: Organization, interval: Interval, settings: Settings) -> Outcome:
    """Land the events of one organization in one interval, which lies within one UTC day.

    The distinct ids received agree with `/events/count` for the same bounds, or the interval is read again, up to
    READ_ATTEMPTS times, before IncompleteListingError is raised with both numbers. A unit that has landed with
    more events than JumpCloud still has stays as it is.

    Raises NotEnabledError or PermissionDeniedError where there is no Directory Insights.
    """
    organization_id = str(organization["organization_id"])
    path = unit_path(settings.landing, organization_id, *interval)
    began, requests = time.monotonic(), hook.request_count
    with temporary_beside(path) as temporary:
        counts = _read_complete_unit(temporary, hook, organization_id, interval, settings.usage_services)
        outcome = Outcome(
            connection_id=organization["connection_id"],
            organization_id=organization_id,
            organization_name=organization["organization_name"],
            stream=EVENTS,
            outcome=OK,
            interval_start=interval[0],
            interval_end=interval[1],
            path=name_within(path, settings.landing),
            rows=counts.rows,
            received=counts.received,
            api_total=counts.api_total,
            inside=counts.inside,
            strays=counts.strays,
            requests=hook.request_count - requests,
            seconds=round(time.monotonic() - began, 3),
            extracted_at=counts.extracted_at,
        )
        with one_writer(path):
            landed = read_metadata(path).get("received", 0) if path.exists() else 0
            if isinstance(landed, int) and counts.received < landed:
                outcome.outcome = KEPT
                outcome.extracted_at = None
                outcome.reason = (
                    f"{counts.received} events received, {landed} have landed; these stay. JumpCloud no longer keeps "
                    "the others, or usage_services names fewer services than then."
                )
            else:
                publish(temporary, path)
    return outcome


def _read_complete_unit(
    temporary: Path, hook: JumpCloudHook, organization_id: str, interval: Interval, services: Sequence[str]
) -> UnitCounts:
    counts: UnitCounts | None = None
    for _ in range(READ_ATTEMPTS):
        counts = _read_unit(temporary, hook, organization_id, interval, services)
        if counts.received == counts.api_total:
            return counts
        hook.log.warning(
            "Events of organization %s from %s to %s: %d distinct ids received, %d counted by the API; once more",
            organization_id,
            *interval,
            counts.received,
            counts.api_total,
        )
    assert counts is not None
    raise IncompleteListingError(
        f"Events of organization {organization_id} from {interval[0]} to {interval[1]}: {counts.received} "
        f"distinct ids received, {counts.api_total} counted by the API; tried {READ_ATTEMPTS} times"
    )


def _read_unit(
    temporary: Path, hook: JumpCloudHook, organization_id: str, interval: Interval, services: Sequence[str]
) -> UnitCounts:
    """One walk over the interval, written to `temporary` page by page."""
    start, end = (moment.replace(tzinfo=UTC) for moment in interval)
    lineage = (hook.jumpcloud_conn_id, utc_now(), *interval)
    api_total = hook.count_events(organization_id, services, start, end)
    pages = iter_insights_pages(
        lambda body: hook.insights("events", body, organization_id=organization_id),
        events_body(services, start, end),
        api_total,
    )
    names = EVENT_SECRET_NAMES
    if not hook.settings.land_personal_fields:
        names |= PERSONAL_EVENT_NAMES
    ids: list[pa.Array] = []
    times: list[pa.Array] = []
    rows = 0
    with open_writer(temporary) as writer:
        for page in pages:
            batch = decode_page(page.body, lineage, names)
            ids.append(batch["event_id"])
            times.append(batch["event_at"])
            batch = batch.filter(pc.fill_null(pc.not_equal(batch["event_at"], _scalar(interval[1])), True))
            rows += batch.num_rows
            writer.write_batch(batch)
        counts = _count_distinct(ids, times, interval, rows, api_total, lineage[1])
        if counts.received != api_total:
            # The count was taken first: events may have arrived since. It is the later count that must agree.
            api_total = hook.count_events(organization_id, services, start, end)
            counts = _count_distinct(ids, times, interval, rows, api_total, lineage[1])
        writer.add_key_value_metadata(encode_metadata(asdict(counts)))
    return counts


def open_writer(path: Path) -> pq.ParquetWriter:
    """A writer of SCHEMA. Each batch becomes a row group: nothing waits in memory for the next page."""
    return pq.ParquetWriter(
        path,
        SCHEMA,
        compression="zstd",
        compression_level=COMPRESSION_LEVEL,
        use_dictionary=_DICTIONARY_COLUMNS,
        write_statistics=_STATISTICS_COLUMNS,
    )


def _count_distinct(
    ids: list[pa.Array],
    times: list[pa.Array],
    interval: Interval,
    rows: int,
    api_total: int,
    extracted_at: datetime,
) -> UnitCounts:
    all_ids = pa.chunked_array(ids, pa.string())
    all_times = pa.chunked_array(times, _TIME)
    start, end = map(_scalar, interval)
    is_inside = pc.fill_null(pc.and_(pc.greater_equal(all_times, start), pc.less(all_times, end)), False)
    is_at_end = pc.fill_null(pc.equal(all_times, end), False)
    is_stray = pc.and_not(pc.invert(is_inside), is_at_end)
    received = pc.count_distinct(all_ids).as_py()
    return UnitCounts(
        received=received,
        # Counting ids is what takes most memory: not over a copy of them where that would be all of them.
        inside=received if pc.all(is_inside).as_py() else pc.count_distinct(all_ids.filter(is_inside)).as_py(),
        strays=pc.count_distinct(all_ids.filter(is_stray)).as_py(),
        rows=rows,
        api_total=api_total,
        extracted_at=extracted_at,
    )


def decode_page(
    body: bytes, lineage: tuple[str, datetime, datetime, datetime], names: frozenset[str] = EVENT_SECRET_NAMES
) -> pa.RecordBatch:
    """One page of events as received, as a batch of SCHEMA: key columns, and the payload without secrets.

    `lineage` is connection id, extraction time, interval start and end; `names` is what is cut out. Raises
    PageShapeError when the page is not an array of events with ids.
    """
    try:
        raw, events = _decode_events(body)
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
    return pa.record_batch(columns, schema=SCHEMA)


def _payloads(raw: list[msgspec.Raw]) -> pa.StringArray:
    """The events' own bytes as one string column, without a Python string for each."""
    lengths = np.fromiter((memoryview(one).nbytes for one in raw), np.int32, len(raw))
    offsets = np.zeros(len(raw) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(len(raw), pa.py_buffer(offsets), pa.py_buffer(b"".join(raw)))


def _decode_events(body: bytes) -> tuple[list[msgspec.Raw], list[Event]]:
    """The events of a page, as received and by their fields; nulls are left out."""
    raw = _decode_raw(body)
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
    return value if isinstance(value, bool) else None


def parse_timestamps(texts: list[str | None]) -> pa.Array:
    """ISO 8601 times with 0 to 9 digits of a second, as naive UTC in microseconds; finer digits are cut off.

    A text that is no time becomes null: its event is a stray.
    """
    try:
        exact = pa.array(texts, pa.string()).cast(pa.timestamp("ns", "UTC"))
    except pa.ArrowInvalid:
        return pa.array([_parse_timestamp(text) for text in texts], _TIME)
    # A cast to microseconds would cut towards zero; times are after 1970, where that is the floor.
    return exact.cast(pa.timestamp("us", "UTC"), safe=False).cast(_TIME)


def _parse_timestamp(text: str | None) -> datetime | None:
    try:
        # fromisoformat cuts digits beyond microseconds off, and knows `T` and `Z` in upper case only.
        moment = datetime.fromisoformat((text or "").upper())
        return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment
    except (ValueError, OverflowError):
        return None


def _scalar(moment: datetime) -> pa.Scalar:
    return pa.scalar(moment, _TIME)
