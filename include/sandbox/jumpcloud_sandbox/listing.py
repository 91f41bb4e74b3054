"""Lists as the console APIs page, sort, filter and project them.

V1 (`/api`): an envelope, space-separated lists, ``$`` operators. V2 (`/api/v2`): a bare array with its
total in a header, comma-separated lists, plain operators. Both: 10 rows unless asked, 100 at most.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Callable, Sequence
from typing import Any

from starlette.datastructures import QueryParams
from starlette.responses import Response

from jumpcloud_sandbox.calls import json_response
from jumpcloud_sandbox.errors import bad_request, limit_too_high
from jumpcloud_sandbox.world import Json

DEFAULT_LIMIT = 10
MAX_LIMIT = 100

_OPERATORS: dict[str, Callable[[Any, Any], bool]] = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "gte": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
    "lte": operator.le,
}
_V1_OPERATORS = {"eq", "ne", "gt", "gte", "lt", "lte"}
_V2_OPERATORS = {"eq", "ne", "gt", "ge", "lt", "le", "in", "search"}


def v1_list(rows: Sequence[Json], query: QueryParams, *, default_sort: str = "") -> Response:
    """``{"totalCount", "results"}``; past the end the total stays true."""
    kept = _filtered_v1(rows, query)
    kept = sort_rows(kept, query.get("sort", default_sort).split())
    page = [project(row, query.get("fields", "").split()) for row in kept[page_slice(query)]]
    return json_response({"totalCount": len(kept), "results": page})


def v2_envelope(rows: Sequence[Json], query: QueryParams) -> Response:
    """``{"results", "totalCount"}`` with the rest as V2, as the provider and role routes answer."""
    kept = sort_rows(filter_v2(rows, query), _commas(query.get("sort", "")))
    page = [project(row, _commas(query.get("fields", ""))) for row in kept[page_slice(query)]]
    return json_response({"results": page, "totalCount": len(kept)})


def v2_list(rows: Sequence[Json], query: QueryParams) -> Response:
    """A bare array; the total is in ``x-total-count``."""
    kept = sort_rows(filter_v2(rows, query), _commas(query.get("sort", "")))
    page = [project(row, _commas(query.get("fields", ""))) for row in kept[page_slice(query)]]
    return v2_page(page, len(kept))


def v2_page(page: list[Json], total: int) -> Response:
    return json_response(page, {"x-total-count": str(total)})


def page_slice(query: QueryParams, *, offset: str = "skip") -> slice:
    """The rows asked for. Raises ApiError 400 (that nonsense is refused is inferred)."""
    try:
        limit = int(query.get("limit", DEFAULT_LIMIT))
        skip = int(query.get(offset, 0))
    except ValueError:
        raise bad_request(f'Bad Request: "limit" and "{offset}" must be integers') from None
    if limit > MAX_LIMIT:
        raise limit_too_high(MAX_LIMIT)
    if limit < 1 or skip < 0:
        raise bad_request(f'Bad Request: "limit" must be positive, "{offset}" not negative')
    return slice(skip, skip + limit)


def sort_rows(rows: list[Json], fields: list[str]) -> list[Json]:
    """By several fields, `-` for descending. Rows that lack a field come first, as in MongoDB."""
    for field in reversed(fields):
        name = field.removeprefix("-")
        rows = sorted(rows, key=lambda row: _rank(row.get(name)), reverse=field.startswith("-"))
    return rows


def project(row: Json, fields: list[str]) -> Json:
    """The fields asked for; ids are always there."""
    if not fields:
        return row
    return {name: value for name, value in row.items() if name in fields or name in ("_id", "id")}


def filter_v2(rows: Sequence[Json], query: QueryParams) -> list[Json]:
    """``field:op:value``, repeatable and joined by commas: all must hold."""
    tests = [_test(part, ":", _V2_OPERATORS) for text in query.getlist("filter") for part in _commas(text)]
    return [row for row in rows if all(test(row) for test in tests)]


def _filtered_v1(rows: Sequence[Json], query: QueryParams) -> list[Json]:
    """``filter``, ``filter[0]`` … must all hold; of ``filter[or][0]`` … one."""
    every, some = [], []
    for name, text in query.multi_items():
        if re.fullmatch(r"filter(\[\d*\]|\[and\]\[\d*\])?", name):
            every.append(_test(text, ":$", _V1_OPERATORS))
        elif re.fullmatch(r"filter\[or\]\[\d*\]", name):
            some.append(_test(text, ":$", _V1_OPERATORS))
    return [row for row in rows if all(test(row) for test in every) and (not some or any(test(row) for test in some))]


def _test(text: str, separator: str, known: set[str]) -> Callable[[Json], bool]:
    field, found, rest = text.partition(separator)
    name, colon, wanted = rest.partition(":")
    if not found or not colon or name not in known:
        raise bad_request(f"Bad Request: invalid filter {text!r}")

    def test(row: Json) -> bool:
        value = _textual(row.get(field))
        if name == "in":
            return value in wanted.split("|")
        if value is None:
            return name == "ne"
        if name == "search":
            return wanted.strip("*").lower() in value.lower()
        return _OPERATORS[name](value, wanted)

    return test


def _textual(value: Any) -> str | None:
    """Filters compare text: dates and ids sort as text, booleans are written in lower case."""
    if value is None or isinstance(value, str):
        return value
    return str(value).lower()


def _rank(value: Any) -> tuple[int, Any]:
    if value is None:
        return 0, 0
    if isinstance(value, bool):
        return 3, value
    if isinstance(value, int | float):
        return 1, value
    return 2, str(value)


def _commas(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]
