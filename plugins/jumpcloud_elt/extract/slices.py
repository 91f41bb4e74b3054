"""Where to cut an interval so that its pieces can be read beside each other: by the API's own histogram.

A cursor walk is sequential, time is not. A slice is meant to hold no more than one page; what it holds in fact is
found out by walking it. Both bounds of a slice are inclusive to the API, so neighbours share an instant. Does not
read events.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from jumpcloud_elt.api.pagination import INSIGHTS_PAGE_SIZE
from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.errors import PageShapeError

# One walk is as good up to here, and asks for nothing else.
ONE_WALK = 2 * INSIGHTS_PAGE_SIZE
# A page, less what may have arrived since it was counted and what lies at the edges: a full page costs another request.
SLICE_EVENTS = INSIGHTS_PAGE_SIZE * 98 // 100
# As seconds, from fine to coarse; each with the unit that the API has for it.
BUCKET_WIDTHS = (1, 2, 5, 10, 15, 30, 60, 300, 900, 3600)
MAX_BUCKETS = 10_000
_EPOCH = datetime(1970, 1, 1)


@dataclass(frozen=True)
class Slice:
    """A piece of an interval, and how many events the API has counted in it."""

    start: datetime
    end: datetime
    expected: int


Bucket = Slice
SliceRunner = Callable[[Callable[[Interval], list[Bucket]], Iterable[Interval]], Iterable[list[Bucket]]]
Ask = Callable[[Interval, int], Any]
"""Asks `/events/interval` about an interval for buckets of so many seconds; returns the decoded answer."""


def plan_slices(ask: Ask, interval: Interval, total: int, run: SliceRunner = map) -> list[Slice]:
    """Cut `interval`, which holds `total` events, into slices of about a page each, in order and without gaps.

    Buckets that hold more than a slice should are looked into again, down to a second; `run` is a `map` that may do
    so at the same time. Raises PageShapeError where the answer is no histogram, and whatever `ask` raises.
    """
    if total <= ONE_WALK:
        return [Slice(*interval, total)]
    width = _width(interval[1] - interval[0])
    buckets = read_buckets(ask(interval, width), interval)
    heavy = {one.start: _head(one, width) for one in buckets if one.expected > ONE_WALK and width > 1}

    def look_into(span: Interval) -> list[Bucket]:
        return read_buckets(ask(span, _width(span[1] - span[0])), span)

    finer = dict(zip(heavy, run(look_into, heavy.values()), strict=True))
    return list(_gather([part for one in buckets for part in _with_parts(one, finer.get(one.start))]))


def read_buckets(answer: Any, interval: Interval) -> list[Bucket]:
    """The buckets of an answer of `/events/interval`, cut to `interval` and covering all of it.

    The widths are those that came, whatever was asked for. Raises PageShapeError.
    """
    try:
        counts = {int(one["key"]): int(one["doc_count"]) for one in answer["buckets"] if one["doc_count"]}
        starts = {_EPOCH + timedelta(milliseconds=key): count for key, count in sorted(counts.items())}
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise PageShapeError(f"events/interval: expected buckets with key and doc_count, got {str(answer)[:80]}") from (
            error
        )
    if not starts:
        raise PageShapeError("events/interval: no bucket holds an event, where events/count has counted some")
    start, end = interval
    cuts = [start, *(moment for moment in starts if start < moment < end), end]
    expected = dict.fromkeys(cuts[:-1], 0)
    for moment, count in starts.items():
        expected[moment if moment in expected else start if moment < start else cuts[-2]] += count
    return [Bucket(*bounds, expected[bounds[0]]) for bounds in pairwise(cuts)]


def _head(bucket: Bucket, width: int) -> Interval:
    """Where the events of a bucket lie: no event may follow for long before the next bucket begins."""
    return bucket.start, min(bucket.end, bucket.start + timedelta(seconds=width))


def _with_parts(bucket: Bucket, parts: list[Bucket] | None) -> list[Bucket]:
    """A bucket, or the parts of its head and the rest of it."""
    if not parts:
        return [bucket]
    return parts if parts[-1].end == bucket.end else [*parts, Bucket(parts[-1].end, bucket.end, 0)]


def _gather(buckets: Sequence[Bucket]) -> Iterator[Slice]:
    """Neighbouring buckets together, as many as make a page."""
    start, expected = buckets[0].start, 0
    for bucket in buckets:
        if expected and expected + bucket.expected > SLICE_EVENTS:
            yield Slice(start, bucket.start, expected)
            start, expected = bucket.start, 0
        expected += bucket.expected
    yield Slice(start, buckets[-1].end, expected)


def _width(span: timedelta) -> int:
    """The finest buckets of which a histogram of `span` has not too many."""
    seconds = span.total_seconds()
    return next((width for width in BUCKET_WIDTHS if seconds / width <= MAX_BUCKETS), BUCKET_WIDTHS[-1])
