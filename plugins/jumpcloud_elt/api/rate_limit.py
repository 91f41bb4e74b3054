"""Limits how many requests one client sends at a time: a 429 slows down all its threads, not only the one that got it.

Knows neither HTTP nor retries: those are in `client` and `retry`.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class RateLimiter:
    """Lets requests through, all at once until the first 429.

    `slow_down` stops them for some seconds, then halves how many may run at a time. Each time as many have succeeded
    as may run at a time, one more may.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limit = math.inf
        self._under_way = 0
        self._succeeded = 0
        self._quiet_until = 0.0
        self._slowed_at = 0.0

    @property
    def limit(self) -> float:
        """How many requests may run at a time; infinite before the first 429."""
        return self._limit

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Wait until a request may be sent, and count it while the block runs; yields its start, for `slow_down`."""
        with self._changed:
            while (wait := self._quiet_until - time.monotonic()) > 0 or self._under_way >= self._limit:
                self._changed.wait(wait if wait > 0 else None)
            self._under_way += 1
        try:
            yield time.monotonic()
        finally:
            with self._changed:
                self._under_way -= 1
                self._changed.notify_all()

    def slow_down(self, began: float, seconds: float) -> None:
        """Send nothing for `seconds` and then fewer at a time: a request that started at `began` got a 429.

        Requests that ran at the same time get the same answer; they halve the limit once.
        """
        with self._changed:
            now = time.monotonic()
            self._quiet_until = max(self._quiet_until, now + seconds)
            if began >= self._slowed_at:
                # The request that got the 429 is still counted.
                self._limit = max(1, min(self._limit, self._under_way) // 2)
                self._slowed_at, self._succeeded = now, 0

    def stop(self) -> None:
        """Hold nobody up any more: those who wait have no more to send."""
        with self._changed:
            self._quiet_until, self._limit = 0.0, math.inf
            self._changed.notify_all()

    def succeeded(self) -> None:
        """Note that a request was answered, which raises the limit again bit by bit."""
        if math.isinf(self._limit):
            return
        with self._changed:
            self._succeeded += 1
            if self._succeeded >= self._limit:
                self._limit, self._succeeded = self._limit + 1, 0
                self._changed.notify_all()
