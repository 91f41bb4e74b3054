"""Directory Insights queries about one organization: events, their number, their histogram.

Does not send them (`client` does), and does not know what an event is (`extract` does).
"""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from datetime import UTC, timedelta
from typing import Any

from jumpcloud_elt.api.buffers import Buffer
from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.event_queries import events_body, interval_of, read_count
from jumpcloud_elt.api.responses import ApiResponse
from jumpcloud_elt.core.intervals import Interval

# Optional: without a histogram the events are read page by page.
HISTOGRAM_ATTEMPTS = 2
# The range of a count that only finds out whether events can be read.
PROBED_RANGE = timedelta(hours=1)


class Insights:
    """Queries one organization and some services, and counts its requests. Safe to share between threads."""

    def __init__(self, client: JumpCloudClient, organization_id: str, services: Sequence[str]) -> None:
        self.client = client
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

    def page(self, body: Mapping[str, Any], buffer: Buffer) -> ApiResponse:
        """A page of events, read into `buffer`."""
        return self._ask("events", body, buffer=buffer)

    def body(self, interval: Interval) -> dict[str, Any]:
        """The body of a query about an interval, both ends included."""
        start, end = (moment.replace(tzinfo=UTC) for moment in interval)
        return events_body(self.services, start, end)

    def _ask(
        self, route: str, body: Mapping[str, Any], *, buffer: Buffer | None = None, attempts: int | None = None
    ) -> ApiResponse:
        answer = self.client.insights(
            route, body, organization_id=self.organization_id, buffer=buffer, attempts=attempts
        )
        with self._lock:
            self.requests += answer.attempts
        return answer
