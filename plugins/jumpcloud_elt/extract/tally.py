"""How many different ids there are among millions, in sixteen bytes each.

An id of 24 hexadecimal digits, which nearly every event has, is its own number; any other is told by a hash of 128
bits. A hash table of the texts would take ten times the memory.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from jumpcloud_elt.api.pagination import INSIGHTS_PAGE_SIZE
from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.errors import JumpCloudError
from jumpcloud_elt.extract.slices import Slice
from jumpcloud_elt.landing.units import TIME, is_between

# More events than this outside of the slices that they came with: the API takes bounds for something else.
MOST_ASIDE = 5 * INSIGHTS_PAGE_SIZE


class SlicesError(JumpCloudError):
    """Slices do not add up to the interval that they were cut from."""


@dataclass(frozen=True)
class UnitCounts:
    """What was received of a unit, in distinct event ids.

    `received` is everything, before anything is cut; `inside` is dated in the interval; `strays` is dated
    elsewhere, but for the interval's very end: those belong to the next unit and are cut. `extracted_at` tells one
    reading of the unit from the next.
    """

    received: int
    inside: int
    strays: int
    rows: int
    api_total: int
    extracted_at: datetime

    def agrees(self, tolerance: float) -> bool:
        """Whether the API's own count is that of what was received, but for so small a share of it."""
        return abs(self.received - self.api_total) <= tolerance * self.api_total


class _Tally:
    """The ids of what has been received of a unit, by where they are dated, in a few bytes each."""

    def __init__(self, interval: Interval) -> None:
        self.rows = 0
        self._interval = interval
        self._keys: list[EventKeys] = []
        self._is_inside: list[npt.NDArray[np.bool_]] = []
        self._strays: list[EventKeys] = []

    def add(self, page: pa.RecordBatch) -> None:
        """Take note of a page's ids."""
        keys = keys_of(page["event_id"])
        is_inside = is_between(page["event_at"], *self._interval)
        is_at_end = pc.fill_null(pc.equal(page["event_at"], pa.scalar(self._interval[1], TIME)), False)
        is_stray = pc.and_not(pc.invert(is_inside), is_at_end)
        self._keys.append(keys)
        self._is_inside.append(is_inside.to_numpy(zero_copy_only=False))
        self._strays.append(keys[is_stray.to_numpy(zero_copy_only=False)])

    def holds(self, keys: EventKeys) -> npt.NDArray[np.bool_]:
        """Which of a few ids have been received."""
        wanted = {pair.tobytes(): False for pair in keys}
        wanted_first = np.unique(keys[:, 0])
        for received in self._keys:
            for pair in received[np.isin(received[:, 0], wanted_first)]:
                if pair.tobytes() in wanted:
                    wanted[pair.tobytes()] = True
        return np.fromiter((wanted[pair.tobytes()] for pair in keys), bool, len(keys))

    def counts(self, api_total: int, extracted_at: datetime) -> UnitCounts:
        """What has been received so far."""
        received = count_distinct(self._keys)
        is_all_inside = all(one.all() for one in self._is_inside)
        inside = received
        if not is_all_inside:
            inside = count_distinct(
                [keys[is_inside] for keys, is_inside in zip(self._keys, self._is_inside, strict=True)]
            )
        return UnitCounts(
            received=received,
            inside=inside,
            strays=count_distinct(self._strays),
            rows=self.rows,
            api_total=api_total,
            extracted_at=extracted_at,
        )


class _Aside:
    """Events that came with a slice and are not dated in it: most of them came with its neighbour, too."""

    def __init__(self) -> None:
        self._pages: list[pa.RecordBatch] = []
        self._rows = 0

    def take_from(self, page: pa.RecordBatch, part: Slice) -> pa.RecordBatch:
        """Put aside what is not dated in `part`; return the others."""
        is_own = is_between(page["event_at"], part.start, part.end)
        if pc.all(is_own).as_py():
            return page
        others = page.filter(pc.invert(is_own))
        self._pages.append(others)
        self._rows += others.num_rows
        if self._rows > MOST_ASIDE:
            raise SlicesError(f"{self._rows} events came with slices in which they are not dated")
        return page.filter(is_own)

    def not_in(self, tally: _Tally) -> Iterator[pa.RecordBatch]:
        """Those whose ids `tally` does not hold, each once."""
        if not self._pages:
            return
        rows = pa.Table.from_batches(self._pages).combine_chunks()
        keys = np.concatenate([keys_of(one) for one in rows["event_id"].chunks])
        _, firsts = np.unique(keys, axis=0, return_index=True)
        firsts = np.sort(firsts)
        missing = firsts[~tally.holds(keys[firsts])]
        yield from rows.take(missing).to_batches()


_HEX_ID = "^[0-9a-f]{24}$"
_DIGITS, _BYTES = 24, 16
EventKeys = npt.NDArray[np.uint64]


def keys_of(ids: pa.StringArray) -> EventKeys:
    """Two numbers for each id: the same for the same id, whatever array it comes in."""
    keys = np.zeros((len(ids), _BYTES), np.uint8)
    is_hex = pc.match_substring_regex(ids, _HEX_ID)
    where = is_hex.to_numpy(zero_copy_only=False)
    digits = np.frombuffer("".join(ids.filter(is_hex).to_pylist()).encode(), np.uint8).reshape(-1, _DIGITS)
    # `0` is 0x30 and `a` is 0x61.
    values = (digits & 15) + 9 * (digits >> 6)
    keys[where, : _DIGITS // 2] = values[:, 0::2] << 4 | values[:, 1::2]
    others = ids.filter(pc.invert(is_hex)).to_pylist()
    if others:
        hashes = b"".join(hashlib.blake2b(one.encode(), digest_size=_BYTES).digest() for one in others)
        keys[~where] = np.frombuffer(hashes, np.uint8).reshape(-1, _BYTES)
    return keys.view(np.uint64)


def count_distinct(keys: Sequence[EventKeys]) -> int:
    """How many different ids `keys_of` has numbered."""
    if not sum(map(len, keys)):
        return 0
    first = np.concatenate([one[:, 0] for one in keys])
    second = np.concatenate([one[:, 1] for one in keys])
    order = np.lexsort((second, first))
    first, second = first[order], second[order]
    return 1 + int(np.count_nonzero((first[1:] != first[:-1]) | (second[1:] != second[:-1])))
