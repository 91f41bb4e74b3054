"""How fast one account is asked: when it says 429, every thread of a client slows down, not only the one that was told.

Knows nothing of HTTP, nor of what is tried again: that is the client's.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager


class RateLimiter:
    """Turns of requests. After `slow_down` there is silence for as long as was asked for, then half as many at a time;
    each time as many have succeeded as may be under way, one more may."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._limit = math.inf
        self._under_way = 0
        self._succeeded = 0
        self._quiet_until = 0.0
        self._slowed_at = 0.0

    @property
    def limit(self) -> float:
        """How many requests may be under way; infinite until the server has said that they are too many."""
        return self._limit

    @contextmanager
    def turn(self) -> Iterator[float]:
        """Wait for a turn, and take it while the block lasts; gives the time at which it began, for `slow_down`."""
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
        """A request that began at `began` was one too many: no other for `seconds`, then fewer at a time.

        Those that were under way together are told the same, and are one reason, not many.
        """
        with self._changed:
            now = time.monotonic()
            self._quiet_until = max(self._quiet_until, now + seconds)
            if began >= self._slowed_at:
                # The one that was told is still under way.
                self._limit = max(1, min(self._limit, self._under_way) // 2)
                self._slowed_at, self._succeeded = now, 0

    def succeeded(self) -> None:
        """A request was answered."""
        if math.isinf(self._limit):
            return
        with self._changed:
            self._succeeded += 1
            if self._succeeded >= self._limit:
                self._limit, self._succeeded = self._limit + 1, 0
                self._changed.notify_all()
