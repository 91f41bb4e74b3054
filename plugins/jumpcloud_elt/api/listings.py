"""The rows of one listing: page by page, and again where the list changed while it was read."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from urllib.parse import quote

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.pagination import PAGE_STYLES
from jumpcloud_elt.api.responses import ApiResponse
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import ADMINISTRATORS, Row, Stream
from jumpcloud_elt.errors import IncompleteListingError, OrganizationHeaderError, PageShapeError, ResponseError

log = logging.getLogger(__name__)

_T = TypeVar("_T")

LISTING_ATTEMPTS = 3
# Five seconds, then 25, where a request is tried again after one.
PAUSE_GROWTH = 5


def iter_rows(
    client: JumpCloudClient, stream: Stream, organization_id: str, parent: str | None = None
) -> Iterator[Row]:
    """The rows of a listing as they come, not held against any total: to look at, never to land."""
    requests = _Requests(client, stream, organization_id, parent)
    for page in PAGE_STYLES[stream.page_style](requests, stream.variants[0]):
        yield from page.rows


def read_until_whole(read: Callable[[], _T], what: str, client: JumpCloudClient) -> _T:
    """Call `read` until it no longer raises IncompleteListingError, up to LISTING_ATTEMPTS times, with growing pauses.

    Errors about the answers get `what` was read in front.
    """
    for attempt in range(1, LISTING_ATTEMPTS + 1):
        try:
            return read()
        except IncompleteListingError as error:
            if attempt == LISTING_ATTEMPTS:
                raise IncompleteListingError(f"{what}: {error}; tried {attempt} times") from error
            log.warning("%s: %s; reading it again", what, error)
            client.pause(settle_seconds(client.settings, attempt))
        except ResponseError as error:
            raise type(error)(f"{what}: {error}") from error
    raise AssertionError("unreachable")


def settle_seconds(settings: Settings, attempt: int) -> float:
    """The pause after a reading that does not agree: what is read and what is counted may not be equally up to date."""
    return min(settings.retry_wait_seconds * float(PAUSE_GROWTH) ** attempt, settings.retry_wait_max_seconds)


class _Requests:
    """The requests of one list, for the paginator. `is_scoped` is False once they no longer name the organization."""

    def __init__(self, client: JumpCloudClient, stream: Stream, organization_id: str, parent: str | None) -> None:
        self.is_scoped = True
        self._hook = client
        self._path = stream.path.format(parent=quote(parent or "", safe=""))
        self._organization_id = organization_id
        self._may_be_asked_without = stream is ADMINISTRATORS

    def __call__(self, params: Mapping[str, Any]) -> ApiResponse:
        if self.is_scoped:
            try:
                return self._hook.get(self._path, params, organization_id=self._organization_id)
            except OrganizationHeaderError as error:
                # Official clients disagree on whether the administrators' route takes `x-org-id`: it says so itself.
                if error.status != 403 or not self._may_be_asked_without:
                    raise
                self.is_scoped = False
        return self._hook.get(self._path, params)


def row_id(row: Row) -> str:
    """The id of a row of a V1 listing. Raises PageShapeError where it has none."""
    key = row.get("_id") or row.get("id")
    if not isinstance(key, str) or not key:
        raise PageShapeError(f"expected every row to have an id, got one with {sorted(row)[:5]}")
    return key
