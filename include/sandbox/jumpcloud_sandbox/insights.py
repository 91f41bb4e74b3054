"""Directory Insights: /events, /events/count, /events/interval, /events/distinct."""

from __future__ import annotations

import json
import uuid
from collections import Counter

import msgspec
from starlette.responses import Response
from starlette.routing import Route

from jumpcloud_sandbox.calls import Call, Handler, Scope, json_response, route
from jumpcloud_sandbox.errors import ApiError, bad_request, forbidden, insights_not_enabled
from jumpcloud_sandbox.events import Selection, after, merge, window
from jumpcloud_sandbox.insights_query import Paging, Query, field_value, parse_paging, parse_query
from jumpcloud_sandbox.timestamps import MILLISECOND, format_ns, offset_seconds
from jumpcloud_sandbox.world import Json

MAX_BUCKETS = 65_536  # as Elasticsearch has it by default
MAX_DISTINCT = 100
_UNIT_MS = {"s": 1000, "m": 60_000, "h": 3_600_000, "d": 86_400_000, "w": 604_800_000}
_MONDAY = 4 * 86_400_000  # the epoch was a Thursday; weeks begin on Mondays


def available(handler: Handler) -> Handler:
    """Refuse first where an organization does not have the feature, whatever the body says."""

    def checked(call: Call) -> Response:
        for organization in call.organizations:
            if organization["insights"] == "not_enabled":
                raise insights_not_enabled()
            if organization["insights"] == "forbidden":
                raise forbidden()
        return handler(call)

    return checked


def list_events(call: Call) -> Response:
    """A page. The cursor is always sent: only a short page says that it was the last."""
    body = call.body()
    query = parse_query(body, now_ns=call.state.now_ns())
    paging = parse_paging(body)
    selection, first, last = _matching(call, query)
    if paging.cursor:
        first, last = after(selection, paging.cursor, (first, last), ascending=paging.ascending)
    first, last = _page_bounds(paging, first, last)
    cursor = list(paging.cursor) if paging.cursor else []
    if first < last:
        cursor = list(selection.key(last - 1 if paging.ascending else first))
    return json_response(
        b"[" + _page(selection, paging, first, last) + b"]",
        {
            "X-Result-Count": str(last - first),
            "X-Limit": str(paging.limit),
            "X-Sort": "ASC" if paging.ascending else "DESC",
            "X-Search_after": json.dumps(cursor),
            "X-Request-Id": str(uuid.uuid4()),
        },
    )


def count_events(call: Call) -> Response:
    selection, first, last = _matching(call, parse_query(call.body(), now_ns=call.state.now_ns()))
    return json_response({"count": selection.count(first, last)})


def interval_events(call: Call) -> Response:
    """Counts by bucket; empty buckets between full ones are there too, as in Elasticsearch (inferred)."""
    body = call.body()
    query = parse_query(body, now_ns=call.state.now_ns())
    try:
        width = _UNIT_MS[body["interval_unit"]] * int(body.get("interval_value") or 1)
        offset = offset_seconds(body.get("timezone") or "Z") * 1000
    except (KeyError, TypeError, ValueError, IndexError):
        raise bad_request("interval_unit, interval_value or timezone is missing or invalid") from None
    if width < 1:
        raise bad_request("interval_value must be positive")
    anchor = (_MONDAY if body["interval_unit"] == "w" else 0) - offset
    selection, first, last = _matching(call, query)
    buckets: list[Json] = []
    if first < last:
        key = (selection.key(first)[0] - anchor) // width * width + anchor
        if (selection.key(last - 1)[0] - key) // width >= MAX_BUCKETS:
            raise ApiError(500, {"message": "Technical difficulties processing your request"})
        while first < last:
            following = min(window(selection, key + width, None)[0], last)
            text = format_ns(key * MILLISECOND)
            buckets.append({"key": key, "key_as_string": text, "doc_count": selection.count(first, following)})
            first, key = following, key + width
    return json_response({"buckets": buckets})


def distinct_events(call: Call) -> Response:
    """Answers in the published shape; one client has seen ``{"<field>": [...]}`` instead."""
    body = call.body()
    query = parse_query(body, now_ns=call.state.now_ns())
    field = body.get("field")
    if not isinstance(field, str) or not field:
        raise bad_request("field is required")
    selection, first, last = _matching(call, query)
    counts: Counter[str] = Counter()
    for row in selection.where(lambda event: True, first, last).rows(0, last - first):
        value = field_value(msgspec.json.decode(row), field)
        if value is not None:
            counts[str(value).lower()] += 1
    top = counts.most_common(MAX_DISTINCT)
    return json_response(
        {
            "buckets": [{"key": key, "doc_count": count} for key, count in top],
            "sum_other_doc_count": counts.total() - sum(count for _, count in top),
            "doc_count_error_upper_bound": 0,
        }
    )


def _matching(call: Call, query: Query) -> tuple[Selection, int, int]:
    """The events of the query in every organization that was named, and the bounds of its window."""
    full = [organization for organization in call.organizations if organization["insights"] != "empty"]
    stores = [call.state.store(organization["id"]) for organization in full]
    selection = merge([store.select(query.services) for store in stores])
    first, last = window(selection, query.start, query.end)
    if query.test is not None:
        selection = selection.where(query.test, first, last)
        first, last = 0, len(selection)
    return selection, first, last


def _page_bounds(paging: Paging, first: int, last: int) -> tuple[int, int]:
    if paging.ascending:
        first = min(first + paging.skip, last)
        return first, min(first + paging.limit, last)
    last = max(last - paging.skip, first)
    return max(last - paging.limit, first), last


def _page(selection: Selection, paging: Paging, first: int, last: int) -> bytes:
    if paging.ascending and paging.fields is None:
        return selection.joined(first, last)
    rows = list(selection.rows(first, last))
    if not paging.ascending:
        rows.reverse()
    return b",".join(rows if paging.fields is None else [_projected(row, paging.fields) for row in rows])


def _projected(row: bytes, fields: list[str]) -> bytes:
    event = msgspec.json.decode(row)
    kept: Json = {}
    for name in fields:
        *parents, leaf = name.split(".")
        source, target = event, kept
        for parent in parents:
            source = source.get(parent) if isinstance(source, dict) else None
            if isinstance(source, dict):
                target = target.setdefault(parent, {})
        if isinstance(source, dict) and leaf in source:
            target[leaf] = source[leaf]
    return msgspec.json.encode(kept)


_BASE = "/insights/directory/v1/events"
ROUTES: list[Route] = [
    route("POST", path, available(handler), Scope.ORGANIZATIONS)
    for path, handler in (
        (_BASE, list_events),
        (f"{_BASE}/count", count_events),
        (f"{_BASE}/interval", interval_events),
        (f"{_BASE}/distinct", distinct_events),
    )
]
