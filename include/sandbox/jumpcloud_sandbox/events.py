"""The event store: events in the order the API gives them, ready to be sent.

The order is that of the real store: by time in milliseconds, whatever precision the event's own
timestamp has, then by an internal document id. That id is not the event's `id` (which can repeat);
clients meet it only in cursors. Knows nothing of HTTP.
"""

from __future__ import annotations

import base64
import hashlib
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import msgspec

from jumpcloud_sandbox.timestamps import MILLISECOND, parse_ns
from jumpcloud_sandbox.world import Json

Position = tuple[int, str]
"""Milliseconds and document id: the sort key, and what a cursor holds."""


class _Identity(msgspec.Struct, frozen=True):
    id: str | None = None
    organization: str | None = None


_decode_identity = msgspec.json.Decoder(_Identity).decode


class Selection(Protocol):
    """Events of some services, sorted. Positions are found by bisection, rows are slices."""

    def __len__(self) -> int: ...

    def key(self, index: int) -> Position: ...

    def rows(self, first: int, last: int) -> Sequence[bytes]: ...

    def joined(self, first: int, last: int) -> bytes: ...

    def count(self, first: int, last: int) -> int: ...

    def where(self, test: Callable[[Json], bool], first: int, last: int) -> Selection: ...


class StoredSelection:
    """Events held in memory, serialised once."""

    def __init__(self, items: list[tuple[Position, bytes]]) -> None:
        self._keys = [key for key, _ in items]
        self._rows = [row for _, row in items]

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, index: int) -> Position:
        return self._keys[index]

    def rows(self, first: int, last: int) -> Sequence[bytes]:
        return self._rows[first:last]

    def joined(self, first: int, last: int) -> bytes:
        """The rows of a slice with commas between them."""
        return b",".join(self._rows[first:last])

    def count(self, first: int, last: int) -> int:
        """How many events a slice holds: one that is there twice is one."""
        return len({_decode_identity(row) for row in self._rows[first:last]})

    def where(self, test: Callable[[Json], bool], first: int, last: int) -> Selection:
        """The events of a slice that pass `test`."""
        pairs = zip(self._keys[first:last], self._rows[first:last], strict=True)
        return StoredSelection([(key, row) for key, row in pairs if test(msgspec.json.decode(row))])


class EventStore:
    """The events of one organization."""

    def __init__(self, organization_id: str, events: Iterable[Json] = ()) -> None:
        self._organization_id = organization_id
        self._items: list[tuple[Position, bytes, str]] = []
        self._selections: dict[frozenset[str], StoredSelection] = {}
        self.extend(events)

    def extend(self, events: Iterable[Json]) -> None:
        """Take in more events. Raises ValueError for one without a readable timestamp."""
        number = len(self._items)
        fresh: list[tuple[Position, bytes, str]] = []
        for event in events:
            milliseconds = parse_ns(event.get("timestamp")) // MILLISECOND
            document = _document_id(self._organization_id, number + len(fresh))
            fresh.append(((milliseconds, document), msgspec.json.encode(event), str(event.get("service"))))
        self._items.extend(fresh)
        self._items.sort(key=lambda item: item[0])
        self._selections.clear()

    def select(self, services: frozenset[str]) -> Selection:
        """The events of these services."""
        if services not in self._selections:
            self._selections[services] = StoredSelection(
                [(key, row) for key, row, service in self._items if service in services]
            )
        return self._selections[services]


def merge(selections: Sequence[Selection]) -> Selection:
    """Several organizations as one, for requests that name several."""
    if len(selections) == 1:
        return selections[0]
    items = [
        (selection.key(index), row)
        for selection in selections
        for index, row in enumerate(selection.rows(0, len(selection)))
    ]
    return StoredSelection(sorted(items, key=lambda item: item[0]))


def window(selection: Selection, start: int, end: int | None) -> tuple[int, int]:
    """Indexes of the events from `start` to `end`, milliseconds, both inclusive."""
    indexes = range(len(selection))
    first = bisect_left(indexes, (start, ""), key=selection.key)
    last = len(selection) if end is None else bisect_left(indexes, (end + 1, ""), key=selection.key)
    return first, max(first, last)


def after(selection: Selection, cursor: Position, bounds: tuple[int, int], *, ascending: bool) -> tuple[int, int]:
    """What remains of `bounds` beyond a cursor, which need not be the position of an event."""
    first, last = bounds
    indexes = range(len(selection))
    if ascending:
        first = max(first, bisect_right(indexes, cursor, key=selection.key))
    else:
        last = min(last, bisect_left(indexes, cursor, key=selection.key))
    return first, max(first, last)


def _document_id(organization_id: str, number: int) -> str:
    """20 characters that look like the real store's and depend only on the order of arrival."""
    digest = hashlib.blake2b(f"{organization_id}:{number}".encode(), digest_size=15).digest()
    return base64.urlsafe_b64encode(digest).decode()
