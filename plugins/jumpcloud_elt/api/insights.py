"""Directory Insights of one organization and some services: what is asked, and how many requests that has taken.

Knows the questions. Does not know how they travel (`hook`), nor what an event is (`events`).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC
from typing import Any

from jumpcloud_elt.api.buffers import Seat
from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.event_queries import events_body, interval_of, read_count
from jumpcloud_elt.api.responses import Answer
from jumpcloud_elt.core.intervals import Interval

# A histogram is a help; without it there is still the walk.
HISTOGRAM_ATTEMPTS = 2


class Insights:
    """Asks for events, their number and their histogram. Safe to share between threads."""

    def __init__(self, hook: JumpCloudClient, organization_id: str, services: Sequence[str]) -> None:
        self.hook = hook
        self.organization_id = organization_id
        self.services = tuple(services)
        self.requests = 0
        self._lock = threading.Lock()

    def count(self, interval: Interval) -> int:
        """The API's own number of events in an interval, both ends included."""
        return read_count(self._ask("events/count", self.body(interval)))

    def histogram(self, interval: Interval, width: int) -> Any:
        """The API's own numbers of events in buckets of `width` seconds; the answer as it came."""
        body = {**self.body(interval), **interval_of(width)}
        return self._ask("events/interval", body, attempts=HISTOGRAM_ATTEMPTS).decode()

    def page(self, body: Mapping[str, Any], seat: Seat) -> Answer:
        """A page of events; `seat` is taken for it."""
        return self._ask("events", body, seat=seat)

    def body(self, interval: Interval) -> dict[str, Any]:
        """The body of a query about an interval, both ends included."""
        start, end = (moment.replace(tzinfo=UTC) for moment in interval)
        return events_body(self.services, start, end)

    def _ask(
        self, route: str, body: Mapping[str, Any], *, seat: Seat | None = None, attempts: int | None = None
    ) -> Answer:
        answer = self.hook.insights(route, body, organization_id=self.organization_id, seat=seat, attempts=attempts)
        with self._lock:
            self.requests += answer.attempts
        return answer
