"""JumpCloud's four page styles, each one generator over a `fetch` that makes a single request.

Paging only: no transport, no retry, no decoding of rows. A generator stops on the total reached or on an empty
page, never on a short one: a server may clamp the limit, and JumpCloud's default page is 10 rows. Null rows,
which JumpCloud has sent, count as received and are left out.

    console V1   `{"totalCount", "results"}`, `skip`    iter_v1_pages
    console V2   bare array, header `x-total-count`     iter_v2_pages
    SaaS         `{"totalCount", "results"}`, `offset`  iter_saas_pages
    Insights     bare array, header `X-Search_after`    iter_insights_pages
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from jumpcloud_elt.api.responses import ApiResponse
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import IncompleteListingError, PageShapeError, RepeatedCursorError

CONSOLE_PAGE_SIZE = 100
INSIGHTS_PAGE_SIZE = 10_000


@dataclass(frozen=True)
class Page:
    """One page of a listing: its rows without nulls, and the total that the API states (None: states none).

    Whether the total counts the `nulls` is not known.
    """

    rows: list[Row]
    total: int | None
    nulls: int = 0


@dataclass(frozen=True)
class InsightsPage:
    """One page of events as received. `count` is the number of rows that the API says it holds, `rows` are those of
    the body where they are known."""

    body: bytes | memoryview
    count: int
    rows: list[msgspec.Raw] | None = None


Fetch = Callable[[Mapping[str, Any]], ApiResponse]


def iter_v1_pages(fetch: Fetch, params: Mapping[str, Any] | None = None) -> Iterator[Page]:
    """Walk a console V1 listing by `skip`, sorted by `_id`: the only order that stays put under writes."""
    yield from _iter_by_offset(fetch, {"sort": "_id", **(params or {})}, "skip", _read_envelope)


def iter_v2_pages(fetch: Fetch, params: Mapping[str, Any] | None = None) -> Iterator[Page]:
    """Walk a console V2 listing by `skip`. Its total is a header, which a few routes leave out."""
    yield from _iter_by_offset(fetch, params or {}, "skip", _read_array)


def iter_saas_pages(fetch: Fetch, params: Mapping[str, Any] | None = None) -> Iterator[Page]:
    """Walk a SaaS Management listing by `offset`."""
    yield from _iter_by_offset(fetch, params or {}, "offset", _read_envelope)


def iter_insights_pages(
    fetch: Fetch, body: Mapping[str, Any], total: int, most: int | None = None
) -> Iterator[InsightsPage]:
    """Walk Directory Insights events by cursor.

    `fetch` takes the JSON body to post; `total` is what `/events/count` says for the same bounds. The cursor
    comes with every page, the last one too, so the walk ends on an empty page, or on one that is not full once
    the total has been received; and one page past `most` (None: the total), for a cursor may never end.

    Raises RepeatedCursorError when a cursor comes twice and PageShapeError when a full page carries none.
    """
    request: dict[str, Any] = {"limit": INSIGHTS_PAGE_SIZE, **body}
    received = 0
    cursors: set[str] = set()
    while True:
        answer = fetch(request)
        count = _header_number(answer, "X-Result-Count")
        if count is None:
            count = _count_rows(answer)
        if count == 0:
            return
        received += count
        yield InsightsPage(answer.body, count, answer.rows)
        limit = _header_number(answer, "X-Limit") or INSIGHTS_PAGE_SIZE
        if (received >= total and count < limit) or received >= (total if most is None else most) + INSIGHTS_PAGE_SIZE:
            return
        cursor = answer.headers.get("X-Search_after")
        if not cursor:
            if received >= total:
                return
            raise PageShapeError(f"Events: a page of {count} rows came without the header X-Search_after")
        if cursor in cursors:
            raise RepeatedCursorError(
                f"Events: the cursor {cursor} came for the second time after {received} of {total} rows"
            )
        cursors.add(cursor)
        request["search_after"] = _decode_cursor(cursor)


def _iter_by_offset(
    fetch: Fetch,
    params: Mapping[str, Any],
    offset_name: str,
    read: Callable[[ApiResponse, int | None], tuple[list[Any], int | None]],
) -> Iterator[Page]:
    """Walk by offset, each page beginning with the last row of the one before.

    An offset shifts when a row before it is deleted, and the row that moves up is never seen; when another is
    added meanwhile not even the total tells. The row read twice does: it is no longer where it was.
    """
    received = 0
    last_key: str | None = None
    total: int | None = None
    while True:
        overlap = 1 if received else 0
        # A total that stands on the first page only holds for all.
        rows, total = read(fetch({**params, "limit": CONSOLE_PAGE_SIZE, offset_name: received - overlap}), total)
        if overlap and (not rows or _row_key(rows[0]) != last_key):
            raise IncompleteListingError(f"rows moved while the list was read, after {received} of {total} rows")
        new = rows[overlap:]
        received += len(new)
        if new or not received:
            # The first page is given even when it is empty: it states the total.
            last_key = _row_key(new[-1]) if new else None
            yield Page([_check_row(row) for row in new if row is not None], total, new.count(None))
        # A total that is too small may be reached at the end of any page: a full one is not the last.
        if total is not None and received >= total and len(rows) < CONSOLE_PAGE_SIZE:
            return
        if not new:
            if total is not None and received < total:
                raise IncompleteListingError(f"the list ended after {received} of {total} rows")
            return


def _row_key(row: Any) -> str | None:
    """What names a row of any console listing: its own id, or that of the object an edge leads to."""
    if not isinstance(row, dict):
        return None
    to = row.get("to")
    key = row.get("_id") or row.get("id") or (to.get("id") if isinstance(to, dict) else None)
    return str(key) if key is not None else None


def _read_envelope(answer: ApiResponse, known: int | None) -> tuple[list[Any], int | None]:
    """The rows of a page and the total, which is the `known` one where this page states none."""
    body = answer.decode()
    if body == {"totalCount": 0, "results": None}:
        return [], 0
    if not isinstance(body, dict) or not isinstance(body.get("results"), list):
        raise PageShapeError(f"expected an object with `results`, got {_describe(body)}")
    total = body.get("totalCount")
    if total is None:
        total = known
    if not isinstance(total, int) or isinstance(total, bool) or total < 0:
        # Guessing "last page" without a total would silently drop rows.
        raise PageShapeError(f"expected `totalCount` to be a number of rows, got {total!r}")
    return body["results"], total


def _read_array(answer: ApiResponse, known: int | None) -> tuple[list[Any], int | None]:
    """As `_read_envelope`, of a bare array; no total where no page has stated any."""
    body = answer.decode()
    if body is None and not _header_number(answer, "x-total-count"):
        return [], 0
    if not isinstance(body, list):
        raise PageShapeError(f"expected an array, got {_describe(body)}")
    total = _header_number(answer, "x-total-count")
    return body, known if total is None else total


def _check_row(row: Any) -> Row:
    if not isinstance(row, dict):
        raise PageShapeError(f"expected every row to be an object, got {type(row).__name__}")
    return row


def _count_rows(answer: ApiResponse) -> int:
    try:
        return len(msgspec.json.decode(answer.body, type=list[msgspec.Raw] | None) or [])
    except msgspec.ValidationError as error:
        raise PageShapeError("Events: expected an array of events") from error


def _header_number(answer: ApiResponse, name: str) -> int | None:
    text = answer.headers.get(name)
    if text is None or not text.strip():
        return None
    if not (text.isascii() and text.strip().isdigit()):
        raise PageShapeError(f"expected the header {name} to be a number, got {text!r}")
    return int(text)


def _decode_cursor(cursor: str) -> list[Any]:
    try:
        decoded = msgspec.json.decode(cursor)
    except msgspec.DecodeError as error:
        raise PageShapeError(f"expected the header X-Search_after to be a JSON array, got {cursor!r}") from error
    if not isinstance(decoded, list):
        raise PageShapeError(f"expected the header X-Search_after to be a JSON array, got {cursor!r}")
    return decoded


def _describe(body: Any) -> str:
    return f"an object with {sorted(body)[:5]}" if isinstance(body, dict) else type(body).__name__


# How a stream declares its pages.
PAGE_STYLES: Mapping[str, Callable[[Fetch, Mapping[str, Any] | None], Iterator[Page]]] = {
    "v1": iter_v1_pages,
    "v2": iter_v2_pages,
}
