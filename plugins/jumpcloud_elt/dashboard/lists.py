"""Filters, sorting and paging of a list, as its address says them.

A list's state is its address: it can be kept, shared and gone back to, and its export is the same address with another
ending. What is not on the list of a page's filters or columns is refused, by name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import urlencode

from fastapi import HTTPException, Request

from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.dashboard.queries import Parameters, Warehouse
from jumpcloud_elt.export import no_filters

PAGE_SIZE = 50
LONGEST_VALUE = 500

# What a list can be filtered by in its use: the words of the address, as usage_state and days.
USAGE = {
    "used": ("used", None),
    "never": ("never_used", None),
    "unknown": ("unknown", None),
    "idle30": (None, 30),
    "idle60": (None, 60),
    "idle90": (None, 90),
}


@dataclass(frozen=True)
class Column:
    """A column of a list; `order` is the SQL that sorts by it; empty: it cannot be sorted."""

    key: str
    label: str
    order: str = ""
    is_number: bool = False


@dataclass(frozen=True)
class ListQuery:
    """A list as its address asks for it: `filters` holds what was given and nothing else."""

    path: str
    columns: Sequence[Column]
    tie_break: str
    filters: Mapping[str, str]
    sort: str
    is_descending: bool
    page: int

    @property
    def order(self) -> str:
        """The SQL to sort by, the same for rows that are equal in the column."""
        (column,) = (one for one in self.columns if one.key == self.sort)
        return f"{column.order} {'desc' if self.is_descending else 'asc'} nulls last, {self.tie_break}"

    def get(self, name: str) -> str | None:
        """A filter's value, None where it was not given."""
        return self.filters.get(name)

    def address(self, *, path: str | None = None, **changes: str | int) -> str:
        """This list's address, relative to the dashboard, with some of it changed; an empty value drops it."""
        sort = f"{'-' if self.is_descending else ''}{self.sort}"
        own = {**self.filters, "sort": sort, "page": str(self.page)}
        given = {name: str(value) for name, value in {**own, **changes}.items() if value != ""}
        if given.get("page") == "1":
            del given["page"]
        return (path or self.path) + (f"?{urlencode(given)}" if given else "")

    def sorted_by(self, column: Column) -> str:
        """The address that sorts by a column: text from A, numbers and times from the greatest, then the other way."""
        is_first_descending = column.is_number
        is_descending = not self.is_descending if self.sort == column.key else is_first_descending
        return self.address(sort=f"{'-' if is_descending else ''}{column.key}", page="")

    def direction(self, column: Column) -> str:
        """As `aria-sort` says it."""
        if column.key != self.sort:
            return "none"
        return "descending" if self.is_descending else "ascending"


@dataclass(frozen=True)
class ListPage:
    """The rows of one page of a list, and where they stand in it."""

    listing: ListQuery
    rows: list[Row]
    total: int
    number: int
    size: int = PAGE_SIZE

    @property
    def first(self) -> int:
        return (self.number - 1) * self.size + 1 if self.total else 0

    @property
    def last(self) -> int:
        return min(self.number * self.size, self.total)

    @property
    def pages(self) -> int:
        return max(1, -(-self.total // self.size))


def clamp(page: int, total: int, size: int = PAGE_SIZE) -> int:
    """The page asked for, the last one where there are not as many."""
    return min(page, max(1, -(-total // size)))


def parse_list_query(
    request: Request, path: str, columns: Sequence[Column], *, filters: Sequence[str], sort: str, tie_break: str
) -> ListQuery:
    """What the address asks for. Raises HTTPException 400 that names every parameter it cannot be asked for by."""
    problems = []
    given = {name: value[:LONGEST_VALUE] for name, value in request.query_params.items() if value.strip()}
    if "search" in given:
        # What people type; everything else is chosen, and means what it says.
        given["search"] = given["search"].strip()
    if unknown := sorted(given.keys() - {*filters, "sort", "page"}):
        problems.append(f"{', '.join(unknown)}: no such filter; allowed: {', '.join(sorted(filters))}, sort, page")
    wanted = given.get("sort", sort)
    sortable = [column.key for column in columns if column.order]
    if (sortable or wanted) and wanted.removeprefix("-") not in sortable:
        problems.append(f"sort: {wanted!r} given; allowed: {', '.join(sortable)}, each also with - before it")
    page = given.get("page", "1")
    if not (page.isascii() and page.isdigit() and 0 < len(page) < 8 and int(page) > 0):
        problems.append(f"page: {page!r} given; allowed: a number from 1")
    if (usage := given.get("usage")) and usage not in USAGE:
        problems.append(f"usage: {usage!r} given; allowed: {', '.join(USAGE)}")
    if problems:
        raise HTTPException(400, "; ".join(problems))
    return ListQuery(
        path=path,
        columns=columns,
        tie_break=tie_break,
        filters={name: given[name] for name in filters if name in given},
        sort=wanted.removeprefix("-"),
        is_descending=wanted.startswith("-"),
        page=int(page),
    )


def read_page(warehouse: Warehouse, query: str, listing: ListQuery, parameters: Parameters, key: str = "") -> ListPage:
    """The rows of the page asked for; of the last one where there are not as many. `key` as in `counted_slice`."""
    if key:
        offset = (listing.page - 1) * PAGE_SIZE
        rows, total = warehouse.counted_slice(query, parameters, listing.order, limit=PAGE_SIZE, offset=offset, key=key)
        if rows or listing.page == 1:
            return ListPage(listing, rows, total, listing.page)
    total = warehouse.count(query, parameters)
    number = clamp(listing.page, total)
    offset = (number - 1) * PAGE_SIZE
    rows = warehouse.slice(query, parameters, listing.order, limit=PAGE_SIZE, offset=offset)
    return ListPage(listing, rows, total, number)


def usage_parameters(listing: ListQuery) -> dict[str, str | int | None]:
    """The filter by use, as the queries take it."""
    state, days = USAGE[usage] if (usage := listing.get("usage")) else (None, None)
    return {"usage_state": state, "idle_days": days}


def choice(listing: ListQuery, name: str, allowed: Mapping[str, str]) -> str | None:
    """A filter with fixed values. Raises HTTPException 400 for any other."""
    value = listing.get(name)
    if value is not None and value not in allowed:
        raise HTTPException(400, f"{name}: {value!r} given; allowed: {', '.join(allowed)}")
    return value


def read_moment(listing: ListQuery, name: str) -> datetime | None:
    """A filter that is a day, as its first instant. Raises HTTPException 400 for what is none."""
    value = listing.get(name)
    if value is None:
        return None
    try:
        return datetime.strptime(value, "%Y-%m-%d")
    except ValueError as error:
        raise HTTPException(400, f"{name}: {value!r} given; allowed: a day such as 2026-11-22") from error


# In words of the address: whether there is access now.
ACCESS_CHOICES = {"now": "Has access now", "ended": "Used it, no access now"}
ALL = "all"
# The key of the query `access`.
ROW = "_row"


def access_parameters(listing: ListQuery) -> dict[str, Any]:
    """The parameters of the query `access`, as an address filters it."""
    wanted = choice(listing, "access", ACCESS_CHOICES)
    return no_filters("access") | {
        "organization_id": listing.get("organization"),
        "has_access": None if wanted is None else wanted == "now",
        "search": listing.get("search"),
        **usage_parameters(listing),
    }
