"""One reading of the events of one unit: slice beside slice, every event once, beside the API's own count.

Writes a temporary Parquet file and says what it holds. Does not decide what becomes of that file.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from jumpcloud_elt.api.buffers import Buffer, BufferPool
from jumpcloud_elt.api.insights import Insights
from jumpcloud_elt.api.pagination import InsightsPage, iter_insights_pages
from jumpcloud_elt.api.responses import ApiResponse
from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.core.redaction import EVENT_SECRET_NAMES, PERSONAL_EVENT_NAMES
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import JumpCloudError
from jumpcloud_elt.extract import parallel
from jumpcloud_elt.extract.event_pages import decode_page
from jumpcloud_elt.extract.slices import Slice, plan_slices
from jumpcloud_elt.extract.tally import UnitCounts, _Aside, _Tally
from jumpcloud_elt.landing.manifests import INCOMPLETE, OK
from jumpcloud_elt.landing.units import TIME, UnitMetadata, add_metadata, open_writer

log = logging.getLogger(__name__)

# Ten megabytes each as they come, several times that while they are decoded. Python's lock lets two decoders do more
# than one, and three no more than two.
PAGES_IN_MEMORY, DECODERS = 4, 2


@dataclass(frozen=True)
class Threads:
    """What the units of one organization that are read at the same time share: threads, and room for their pages."""

    executor: ThreadPoolExecutor
    buffers: BufferPool


@contextmanager
def reading_threads(settings: Settings) -> Iterator[Threads]:
    """As many requests at a time as are configured, and PAGES_IN_MEMORY pages."""
    with (
        BufferPool(PAGES_IN_MEMORY, DECODERS) as buffers,
        ThreadPoolExecutor(settings.usage_slice_threads) as executor,
    ):
        yield Threads(executor, buffers)


def read_unit(
    temporary: Path,
    insights: Insights,
    interval: Interval,
    threads: Threads,
    *,
    may_slice: bool,
    began_before_retention: bool = False,
) -> UnitCounts:
    """Read the events of `interval` once and write them to `temporary` page by page, with what is known of them.

    Raises SlicesError where slices do not add up to the interval: how the API takes bounds is not as they rest on.
    """
    settings = insights.client.settings
    lineage = (insights.client.account.connection_id, utc_now(), *interval)
    names = EVENT_SECRET_NAMES if settings.land_personal_fields else EVENT_SECRET_NAMES | PERSONAL_EVENT_NAMES
    api_total = threads.executor.submit(insights.count, interval).result()
    slices = [Slice(*interval, api_total)]
    if may_slice and settings.usage_slice_threads > 1:
        slices = _cut(insights, interval, api_total, threads)

    def read(part: Slice, buffer: Buffer) -> Iterator[pa.RecordBatch]:
        for received in _iter_pages(insights, part, buffer, api_total):
            page = buffer.pool.decode(decode_page, received.body, lineage, names, received.rows)
            yield page
            # The bounds are inclusive: what lies at the end is the next slice's, and may be more than a page.
            earliest = pc.min(page["event_at"]).as_py()
            if part.end < interval[1] and earliest is not None and earliest >= part.end:
                return

    tally, aside = _Tally(interval), _Aside()
    with (
        open_writer(temporary) as writer,
        closing(parallel.fetch_slices(slices, read, threads.executor, threads.buffers)) as pages,
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
            counts = replace(counts, api_total=threads.executor.submit(insights.count, interval).result())
        metadata = UnitMetadata(
            **asdict(counts),
            connection_id=insights.client.account.connection_id,
            services=list(insights.services),
            began_before_retention=began_before_retention,
            outcome=OK if counts.agrees(settings.usage_count_tolerance) else INCOMPLETE,
        )
        add_metadata(writer, metadata)
    return counts


def _cut(insights: Insights, interval: Interval, total: int, threads: Threads) -> list[Slice]:
    """The slices of an interval; the interval itself where the API gives no histogram of it."""
    try:
        return plan_slices(insights.histogram, interval, total, threads.executor.map)
    except JumpCloudError as error:
        log.warning("%s; reading the interval in one walk", error)
        return [Slice(*interval, total)]


def _iter_pages(insights: Insights, part: Slice, buffer: Buffer, most: int) -> Iterator[InsightsPage]:
    def fetch(body: Mapping[str, Any]) -> ApiResponse:
        # Nothing of the page before is needed any more.
        buffer.release()
        return insights.page(body, buffer)

    return iter_insights_pages(fetch, insights.body((part.start, part.end)), part.expected, most)


def _write(writer: pq.ParquetWriter, page: pa.RecordBatch, interval: Interval) -> int:
    """Write a page without what belongs to the next unit; return the number of rows."""
    is_at_end = pc.fill_null(pc.equal(page["event_at"], pa.scalar(interval[1], TIME)), False)
    if pc.any(is_at_end).as_py():
        page = page.filter(pc.invert(is_at_end))
    if page.num_rows:
        writer.write_batch(page)
    return int(page.num_rows)
