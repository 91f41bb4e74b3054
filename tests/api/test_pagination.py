"""Paging: every row once, whatever the server does with limits — or an error, never a listing cut short."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from requests.structures import CaseInsensitiveDict

from jumpcloud_elt.api import pagination
from jumpcloud_elt.api.pagination import Page
from jumpcloud_elt.api.responses import ApiResponse
from jumpcloud_elt.errors import IncompleteListingError, PageShapeError, RepeatedCursorError

STYLES = ["v1", "v2", "saas"]
Walk = Callable[..., Iterator[Page]]


def rows_of(count: int) -> list[dict[str, Any]]:
    return [{"_id": f"{number:024x}", "n": number} for number in range(count)]


class Server:
    """A listing held in memory, served in one of the three offset styles."""

    def __init__(self, style: str, rows: list[Any], *, clamp: int = 100, total: int | None = None) -> None:
        self.style, self.rows, self.clamp, self.total = style, rows, clamp, total
        self.asked: list[dict[str, Any]] = []
        self.after_request: dict[int, Callable[[], None]] = {}

    def __call__(self, params: Mapping[str, Any]) -> ApiResponse:
        self.asked.append(dict(params))
        assert len(self.asked) < 1000, "paging does not end"
        offset = params["offset" if self.style == "saas" else "skip"]
        page = self.rows[offset : offset + min(params["limit"], self.clamp)]
        total = len(self.rows) if self.total is None else self.total
        self.after_request.get(len(self.asked), lambda: None)()
        if self.style == "v2":
            return answer(page, {"X-Total-Count": total})
        return answer({"totalCount": total, "results": page})

    def walk(self) -> list[Page]:
        return list(walk_of(self.style)(self))


def walk_of(style: str) -> Walk:
    walk: Walk = getattr(pagination, f"iter_{style}_pages")
    return walk


def answer(body: Any, headers: Mapping[str, Any] | None = None) -> ApiResponse:
    text = CaseInsensitiveDict({name: str(value) for name, value in (headers or {}).items()})
    return ApiResponse(json.dumps(body).encode(), text)


def rows_in(pages: list[Page]) -> list[Any]:
    return [row for page in pages for row in page.rows]


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 199, 200, 298, 299, 300, 523])
def test_every_row_is_read_once_and_in_order(style: str, count: int) -> None:
    pages = Server(style, rows_of(count)).walk()
    assert rows_in(pages) == rows_of(count)
    assert {page.total for page in pages} == {count}


@given(style=st.sampled_from(STYLES), count=st.integers(0, 260), clamp=st.integers(2, 120))
def test_a_short_page_is_never_the_last_one(style: str, count: int, clamp: int) -> None:
    server = Server(style, rows_of(count), clamp=clamp)
    assert rows_in(server.walk()) == rows_of(count)
    assert len(server.asked) <= 2 + count // (clamp - 1)


@given(
    style=st.sampled_from(STYLES),
    rows=st.lists(st.booleans(), max_size=150),
    clamp=st.integers(2, 40),
)
def test_null_rows_count_as_received_and_are_left_out(style: str, rows: list[bool], clamp: int) -> None:
    served = [{"_id": f"{number:024x}"} if is_there else None for number, is_there in enumerate(rows)]
    assert rows_in(Server(style, served, clamp=clamp).walk()) == [row for row in served if row is not None]


@pytest.mark.parametrize(
    ("style", "first", "second"),
    [
        ("v1", {"sort": "_id", "limit": 100, "skip": 0}, {"sort": "_id", "limit": 100, "skip": 99}),
        ("v2", {"limit": 100, "skip": 0}, {"limit": 100, "skip": 99}),
        ("saas", {"limit": 100, "offset": 0}, {"limit": 100, "offset": 99}),
    ],
)
def test_each_style_asks_in_its_own_words(style: str, first: dict[str, Any], second: dict[str, Any]) -> None:
    server = Server(style, rows_of(150))
    server.walk()
    assert server.asked == [first, second]


def test_parameters_of_the_caller_come_with_every_request() -> None:
    server = Server("v1", rows_of(150))
    list(pagination.iter_v1_pages(server, {"fields": "username", "sort": "name"}))
    assert [(one["fields"], one["sort"]) for one in server.asked] == [("username", "name")] * 2


def test_a_v2_listing_without_a_total_ends_at_an_empty_page() -> None:
    rows = rows_of(250)

    def fetch(params: Mapping[str, Any]) -> ApiResponse:
        return answer(rows[params["skip"] : params["skip"] + 100])

    pages = list(pagination.iter_v2_pages(fetch))
    assert rows_in(pages) == rows
    assert {page.total for page in pages} == {None}


@pytest.mark.parametrize("style", STYLES)
def test_a_total_that_is_too_great_raises_with_both_numbers(style: str) -> None:
    with pytest.raises(IncompleteListingError, match="after 150 of 151 rows"):
        Server(style, rows_of(150), total=151).walk()


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("total", [1, 100, 150, 199, 249])
def test_a_total_that_is_too_small_hides_no_row(style: str, total: int) -> None:
    """Search engines that count up to ten thousand only say just that of anything longer; a hundred pages have it."""
    assert rows_in(Server(style, rows_of(250), total=total).walk()) == rows_of(250)


@pytest.mark.parametrize("style", STYLES)
def test_a_total_that_stands_on_the_first_page_only_holds_for_all(style: str) -> None:
    server = Server(style, rows_of(250))

    def fetch(params: Mapping[str, Any]) -> ApiResponse:
        page = server(params)
        if len(server.asked) == 1:
            return page
        body = page.body if style == "v2" else json.dumps({"results": page.decode()["results"]}).encode()
        return ApiResponse(body, CaseInsensitiveDict())

    assert [page.total for page in walk_of(style)(fetch)] == [250] * 3
    assert len(server.asked) == 3
    server.rows, server.asked, server.total = rows_of(150), [], 250
    with pytest.raises(IncompleteListingError, match="after 150 of 250 rows"):
        list(walk_of(style)(fetch))


def test_a_cursor_that_never_ends_is_followed_one_page_past_the_count() -> None:
    asked = []

    def fetch(body: Mapping[str, Any]) -> ApiResponse:
        asked.append(body)
        return answer([{"id": "x"}] * 10_000, {"X-Search_after": json.dumps([len(asked), "x"])})

    assert len(list(pagination.iter_insights_pages(fetch, {}, 30_000))) == len(asked) == 4
    asked.clear()
    assert len(list(pagination.iter_insights_pages(fetch, {}, 1, most=20_000))) == len(asked) == 3


@pytest.mark.parametrize("style", STYLES)
def test_a_total_without_any_row_raises(style: str) -> None:
    with pytest.raises(IncompleteListingError, match="after 0 of 5 rows"):
        Server(style, [], total=5).walk()


@pytest.mark.parametrize("style", STYLES)
def test_a_server_that_ignores_the_offset_is_found_out(style: str) -> None:
    server = Server(style, rows_of(250))

    def first_page_again(params: Mapping[str, Any]) -> ApiResponse:
        return server({**params, "skip": 0, "offset": 0})

    with pytest.raises(IncompleteListingError, match="rows moved"):
        list(walk_of(style)(first_page_again))


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("is_row_added", [False, True])
def test_a_row_deleted_before_the_offset_is_noticed(style: str, is_row_added: bool) -> None:
    """Even where a row is added meanwhile, and the total is the same: the row that moved up was never read."""
    server = Server(style, rows_of(250))

    def somebody_else_writes() -> None:
        del server.rows[10]
        if is_row_added:
            server.rows.append({"_id": "f" * 24})

    server.after_request = {1: somebody_else_writes}
    with pytest.raises(IncompleteListingError, match="rows moved while the list was read, after 100 of"):
        server.walk()


@given(
    count=st.integers(101, 330),
    at_request=st.integers(1, 3),
    deleted=st.integers(0, 329),
    added=st.integers(0, 2),
    style=st.sampled_from(STYLES),
)
def test_no_row_that_stays_is_ever_missed(count: int, at_request: int, deleted: int, added: int, style: str) -> None:
    """A row that is there before and after is read, or the listing fails: it is never quietly incomplete."""
    server = Server(style, rows_of(count))

    def somebody_else_writes() -> None:
        del server.rows[deleted % count]
        server.rows += [{"_id": f"{'f' * 23}{number}"} for number in range(added)]

    server.after_request = {at_request: somebody_else_writes}
    stays = {row["_id"] for number, row in enumerate(rows_of(count)) if number != deleted % count}
    try:
        read = {row["_id"] for row in rows_in(server.walk())}
    except IncompleteListingError:
        return
    assert stays <= read


@pytest.mark.parametrize(
    ("style", "body", "words"),
    [
        ("v1", [], "expected an object with `results`, got list"),
        ("v1", None, "expected an object with `results`, got NoneType"),
        ("v1", {"totalCount": 0}, r"got an object with \['totalCount'\]"),
        ("v1", {"totalCount": 1, "results": {"_id": "1"}}, "expected an object with `results`"),
        ("v1", {"totalCount": 1, "results": None}, "expected an object with `results`"),
        ("v1", {"results": []}, "`totalCount` to be a number of rows, got None"),
        ("v1", {"totalCount": True, "results": [{}]}, "`totalCount` to be a number of rows, got True"),
        ("v1", {"totalCount": "1", "results": [{}]}, "`totalCount` to be a number of rows, got '1'"),
        ("v1", {"totalCount": 1.5, "results": [{}]}, "`totalCount` to be a number of rows, got 1.5"),
        ("v1", {"totalCount": -1, "results": []}, "`totalCount` to be a number of rows, got -1"),
        ("v1", {"totalCount": 1, "results": ["x"]}, "every row to be an object, got str"),
        ("v1", {"totalCount": 1, "results": [[]]}, "every row to be an object, got list"),
        ("saas", {"results": []}, "`totalCount` to be a number of rows, got None"),
        ("saas", [], "expected an object with `results`, got list"),
        (
            "v2",
            {"results": [], "totalCount": 0},
            r"expected an array, got an object with \['results', 'totalCount'\]",
        ),
        ("v2", "x", "expected an array, got str"),
        ("v2", [1], "every row to be an object, got int"),
    ],
)
def test_a_page_of_another_shape_is_refused(style: str, body: Any, words: str) -> None:
    with pytest.raises(PageShapeError, match=words):
        list(walk_of(style)(lambda params: answer(body)))


@pytest.mark.parametrize("total", ["many", "-1", "1.0", "²", "1 2"])
def test_a_total_in_a_header_that_is_no_number_is_refused(total: str) -> None:
    with pytest.raises(PageShapeError, match="x-total-count to be a number"):
        list(pagination.iter_v2_pages(lambda params: answer([], {"x-total-count": total})))


def test_a_number_that_no_float_holds_does_not_cost_the_page() -> None:
    body = b'{"totalCount": 1, "results": [{"_id": "1", "n": 1e999, "m": 123456789012345678901234567890}]}'
    [page] = pagination.iter_v1_pages(lambda params: ApiResponse(body, {}))
    assert page.rows == [{"_id": "1", "n": float("inf"), "m": 123456789012345678901234567890}]


def test_a_body_that_cannot_be_read_is_refused() -> None:
    with pytest.raises(PageShapeError, match="expected JSON that can be read"):
        list(pagination.iter_v1_pages(lambda params: ApiResponse(b"[" * 100_000 + b"]" * 100_000, {})))


# ---- Directory Insights ---------------------------------------------------------------------------------------


class Insights:
    """Events by cursor, as Directory Insights serves them: the cursor comes with the last page too."""

    def __init__(self, count: int, *, clamp: int = 10_000, says_limit: bool = True) -> None:
        self.events = [{"id": str(number)} for number in range(count)]
        self.clamp, self.says_limit = clamp, says_limit
        self.asked: list[dict[str, Any]] = []
        self.headers: dict[str, Any] = {}

    def __call__(self, body: Mapping[str, Any]) -> ApiResponse:
        self.asked.append(dict(body))
        assert len(self.asked) < 1000, "paging does not end"
        first = int(body["search_after"][1]) + 1 if "search_after" in body else 0
        limit = min(body["limit"], self.clamp)
        page = self.events[first : first + limit]
        last = first + len(page) - 1
        headers = {"X-Result-Count": len(page), "X-Search_after": json.dumps([1700000000000, str(last)])}
        if self.says_limit:
            headers["X-Limit"] = limit
        headers = {name: value for name, value in (headers | self.headers).items() if value is not None}
        return answer(page, headers)

    def walk(self, total: int | None = None) -> list[str]:
        return ids_in(self, len(self.events) if total is None else total)


def ids_in(fetch: pagination.Fetch, total: int) -> list[str]:
    pages = list(pagination.iter_insights_pages(fetch, {"service": ["sso"]}, total))
    events = [json.loads(page.body) for page in pages]
    assert [page.count for page in pages] == [len(rows) for rows in events]
    return [event["id"] for rows in events for event in rows]


@pytest.mark.parametrize(
    ("count", "requests"), [(0, 1), (1, 1), (9_999, 1), (10_000, 2), (10_001, 2), (20_000, 3), (25_000, 3)]
)
def test_events_are_read_to_the_end(count: int, requests: int) -> None:
    server = Insights(count)
    assert server.walk() == [str(number) for number in range(count)]
    assert len(server.asked) == requests


@given(count=st.integers(0, 200), clamp=st.integers(1, 60), says_limit=st.booleans())
def test_a_clamped_page_of_events_is_not_the_last(count: int, clamp: int, says_limit: bool) -> None:
    server = Insights(count, clamp=clamp, says_limit=says_limit)
    assert server.walk() == [str(number) for number in range(count)]


def test_events_are_asked_for_in_the_greatest_pages_with_the_cursor_as_it_came() -> None:
    server = Insights(10_001)
    server.walk()
    first = {"limit": 10_000, "service": ["sso"]}
    assert server.asked == [first, {**first, "search_after": [1700000000000, "9999"]}]


@pytest.mark.parametrize("total", [0, 7, 299, 300, 301, 10_000])
def test_a_wrong_total_never_cuts_the_events_short(total: int) -> None:
    """Whether it is wrong is for the caller to see: all that there is has been read by then."""
    assert Insights(300, clamp=100).walk(total) == [str(number) for number in range(300)]


def test_null_events_count_as_rows() -> None:
    server = Insights(3)
    server.headers["X-Result-Count"] = None
    server.events[1] = None  # type: ignore[call-overload]
    pages = list(pagination.iter_insights_pages(server, {}, 3))
    assert [(page.count, json.loads(page.body)) for page in pages] == [(3, [{"id": "0"}, None, {"id": "2"}])]


def test_a_cursor_that_comes_twice_raises() -> None:
    server = Insights(30, clamp=10)
    server.headers["X-Search_after"] = json.dumps([1700000000000, "9"])
    with pytest.raises(RepeatedCursorError, match="for the second time after 20 of 30 rows"):
        server.walk()


def test_a_full_page_without_a_cursor_raises() -> None:
    server = Insights(10, clamp=10)
    server.headers["X-Search_after"] = None
    with pytest.raises(PageShapeError, match="a page of 10 rows came without the header X-Search_after"):
        server.walk(30)


@pytest.mark.parametrize("count", [9, 10])
def test_the_last_page_needs_no_cursor(count: int) -> None:
    server = Insights(count, clamp=10)
    server.headers["X-Search_after"] = None
    assert server.walk() == [str(number) for number in range(count)]


def test_null_stands_for_an_empty_list() -> None:
    assert [page.rows for page in walk_of("v1")(lambda params: answer({"totalCount": 0, "results": None}))] == [[]]
    assert [page.rows for page in walk_of("v2")(lambda params: answer(None))] == [[]]
    assert list(pagination.iter_insights_pages(lambda request: answer(None), {}, 0)) == []


@pytest.mark.parametrize("cursor", ["x", '{"a": 1}', '"text"', "[1", "5"])
def test_a_cursor_that_is_no_array_raises(cursor: str) -> None:
    server = Insights(20, clamp=10)
    server.headers["X-Search_after"] = cursor
    with pytest.raises(PageShapeError, match="X-Search_after to be a JSON array"):
        server.walk()


@pytest.mark.parametrize("name", ["X-Result-Count", "X-Limit"])
def test_a_header_of_events_that_is_no_number_raises(name: str) -> None:
    server = Insights(20)
    server.headers[name] = "many"
    with pytest.raises(PageShapeError, match=f"{name} to be a number"):
        server.walk()


@pytest.mark.parametrize("body", [{"message": "?"}, "x", 3])
def test_events_that_are_no_array_raise(body: Any) -> None:
    with pytest.raises(PageShapeError, match="Events: expected an array of events"):
        list(pagination.iter_insights_pages(lambda request: answer(body), {}, 1))
