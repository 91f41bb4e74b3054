"""The events of one unit, read whole: slice beside slice, every event once, agreeing with the API's own count.

Writes a temporary Parquet file and says what it holds. Does not decide whether that file becomes the unit.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jumpcloud_elt import walks
from jumpcloud_elt.distinct import Keys, count_distinct, keys_of
from jumpcloud_elt.errors import IncompleteListingError, JumpCloudError
from jumpcloud_elt.event_pages import decode_page, open_writer
from jumpcloud_elt.insights import Insights
from jumpcloud_elt.intervals import Interval
from jumpcloud_elt.landing import encode_metadata, utc_now
from jumpcloud_elt.pagination import INSIGHTS_PAGE_SIZE, Answer, InsightsPage, iter_insights_pages
from jumpcloud_elt.redaction import EVENT_SECRET_NAMES, PERSONAL_EVENT_NAMES
from jumpcloud_elt.room import Room, Seat
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.slices import Slice, plan_slices

log = logging.getLogger(__name__)

READ_ATTEMPTS = 3
# Five seconds, then 25, where a request is tried again after one.
PAUSE_GROWTH = 5
# Ten megabytes each as they come, several times that while they are decoded. Python's lock lets two decoders do more
# than one, and three no more than two.
PAGES_IN_MEMORY, DECODERS = 4, 2
# More events than this outside of the slices that they came with: the API takes bounds for something else.
MOST_ASIDE = 5 * INSIGHTS_PAGE_SIZE
# In a unit's metadata: who was asked, for which services, and whether JumpCloud may have let go of some of it before.
CONNECTION_ID, SERVICES, BEGAN_BEFORE_RETENTION = "connection_id", "services", "began_before_retention"
_TIME = pa.timestamp("us")


class SlicesError(JumpCloudError):
    """Slices do not add up to the interval that they were cut from."""


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


@dataclass(frozen=True)
class Threads:
    """What the units of one organization that are read at the same time share: threads, and room for their pages.

    Once `is_over`, because the task is being ended, no other page is asked for.
    """

    pool: ThreadPoolExecutor
    room: Room
    is_over: threading.Event = field(default_factory=threading.Event)


@contextmanager
def reading_threads(settings: Settings) -> Iterator[Threads]:
    """As many requests at a time as are configured, and PAGES_IN_MEMORY pages."""
    with Room(PAGES_IN_MEMORY, DECODERS) as room, ThreadPoolExecutor(settings.usage_slice_threads) as pool:
        yield Threads(pool, room)


def read_complete_unit(
    temporary: Path, insights: Insights, interval: Interval, threads: Threads, *, began_before_retention: bool = False
) -> UnitCounts:
    """Read all events of `interval` into `temporary`, with their counts and what else is known in its metadata.

    Raises IncompleteListingError, with both numbers, when READ_ATTEMPTS readings, with growing pauses between them,
    have not agreed with the API's count of the same bounds.
    """
    known = {
        CONNECTION_ID: insights.hook.jumpcloud_conn_id,
        SERVICES: list(insights.services),
        BEGAN_BEFORE_RETENTION: began_before_retention,
    }
    who = f"Events of organization {insights.organization_id} from {interval[0]} to {interval[1]}"
    told = ""
    for attempt in range(READ_ATTEMPTS):
        try:
            # Slices rest on how the API takes bounds. Where they do not add up, one walk does without.
            counts = _read_unit(temporary, insights, interval, threads, known, may_slice=attempt == 0)
        except SlicesError as error:
            told = str(error)
        else:
            if counts.received == counts.api_total:
                return counts
            told = f"{counts.received} distinct ids received, {counts.api_total} counted by the API"
            if attempt + 1 < READ_ATTEMPTS:
                _let_settle(insights.hook.settings, attempt, threads)
        log.warning("%s: %s; reading %d of %d", who, told, attempt + 1, READ_ATTEMPTS)
    raise IncompleteListingError(f"{who}: {told}; tried {READ_ATTEMPTS} times")


def _let_settle(settings: Settings, attempt: int, threads: Threads) -> None:
    """Wait between two readings: what can be read and what is counted may be up to date at different times."""
    seconds = min(settings.retry_wait_seconds * PAUSE_GROWTH ** (attempt + 1), settings.retry_wait_max_seconds)
    if threads.is_over.wait(seconds):
        raise InterruptedError("the task is being ended")


def _read_unit(
    temporary: Path,
    insights: Insights,
    interval: Interval,
    threads: Threads,
    known: Mapping[str, object],
    *,
    may_slice: bool,
) -> UnitCounts:
    """Read the interval once and write it page by page; `known` goes into the metadata beside the counts."""
    settings = insights.hook.settings
    lineage = (insights.hook.jumpcloud_conn_id, utc_now(), *interval)
    names = EVENT_SECRET_NAMES if settings.land_personal_fields else EVENT_SECRET_NAMES | PERSONAL_EVENT_NAMES
    api_total = threads.pool.submit(insights.count, interval).result()
    slices = [Slice(*interval, api_total)]
    if may_slice and settings.usage_slice_threads > 1:
        slices = _cut(insights, interval, api_total, threads)

    def read(part: Slice, seat: Seat) -> Iterator[pa.RecordBatch]:
        for received in _iter_pages(insights, part, seat):
            if threads.is_over.is_set():
                raise InterruptedError("the task is being ended")
            page = seat.room.decode(decode_page, received.body, lineage, names, received.rows)
            yield page
            # The bounds are inclusive: what lies at the end is the next slice's, and may be more than a page.
            earliest = pc.min(page["event_at"]).as_py()
            if part.end < interval[1] and earliest is not None and earliest >= part.end:
                return

    tally, aside = _Tally(interval), _Aside()
    with (
        open_writer(temporary) as writer,
        closing(walks.walk(slices, read, threads.pool, threads.room)) as pages,
    ):
        for part, page in pages:
            own = page if len(slices) == 1 else aside.take_from(page, part)
            tally.add(own)
            tally.rows += _write(writer, own, interval)
        for page in aside.not_in(tally):
            tally.add(page)
            tally.rows += _write(writer, page, interval)
        counts = tally.counts(api_total, lineage[1])
        if counts.received != api_total:
            # The count was taken first: events may have arrived since. It is the later count that must agree.
            counts = replace(counts, api_total=threads.pool.submit(insights.count, interval).result())
        writer.add_key_value_metadata(encode_metadata({**asdict(counts), **known}))
    return counts


def _cut(insights: Insights, interval: Interval, total: int, threads: Threads) -> list[Slice]:
    """The slices of an interval; the interval itself where the API gives no histogram of it."""
    try:
        return plan_slices(insights.histogram, interval, total, threads.pool.map)
    except JumpCloudError as error:
        log.warning("%s; reading the interval in one walk", error)
        return [Slice(*interval, total)]


def _iter_pages(insights: Insights, part: Slice, seat: Seat) -> Iterator[InsightsPage]:
    def fetch(body: Mapping[str, Any]) -> Answer:
        # Nothing of the page before is needed any more.
        seat.leave()
        return insights.page(body, seat)

    return iter_insights_pages(fetch, insights.body((part.start, part.end)), part.expected)


def _write(writer: pq.ParquetWriter, page: pa.RecordBatch, interval: Interval) -> int:
    """Write a page without what belongs to the next unit; return the number of rows."""
    is_at_end = pc.fill_null(pc.equal(page["event_at"], pa.scalar(interval[1], _TIME)), False)
    if pc.any(is_at_end).as_py():
        page = page.filter(pc.invert(is_at_end))
    if page.num_rows:
        writer.write_batch(page)
    return int(page.num_rows)


def _is_between(times: pa.Array, start: datetime, end: datetime) -> pa.BooleanArray:
    """Whether times lie in [start, end); no time does not."""
    is_in = pc.and_(pc.greater_equal(times, pa.scalar(start, _TIME)), pc.less(times, pa.scalar(end, _TIME)))
    return pc.fill_null(is_in, False)


class _Tally:
    """The ids of what has been received of a unit, by where they are dated, in a few bytes each."""

    def __init__(self, interval: Interval) -> None:
        self.rows = 0
        self._interval = interval
        self._keys: list[Keys] = []
        self._is_inside: list[npt.NDArray[np.bool_]] = []
        self._strays: list[Keys] = []

    def add(self, page: pa.RecordBatch) -> None:
        """Take note of a page's ids."""
        keys = keys_of(page["event_id"])
        is_inside = _is_between(page["event_at"], *self._interval)
        is_at_end = pc.fill_null(pc.equal(page["event_at"], pa.scalar(self._interval[1], _TIME)), False)
        is_stray = pc.and_not(pc.invert(is_inside), is_at_end)
        self._keys.append(keys)
        self._is_inside.append(is_inside.to_numpy(zero_copy_only=False))
        self._strays.append(keys[is_stray.to_numpy(zero_copy_only=False)])

    def holds(self, keys: Keys) -> npt.NDArray[np.bool_]:
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
        is_own = _is_between(page["event_at"], part.start, part.end)
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
