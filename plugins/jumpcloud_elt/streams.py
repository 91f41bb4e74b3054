"""The directory's streams: which route, which page style, which key, and which fields are secret.

One declaration per endpoint, and the one function that reads a whole listing of it. Does not write anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pyarrow as pa

from jumpcloud_elt.errors import (
    IncompleteListingError,
    OrganizationHeaderError,
    PageShapeError,
    ResponseError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.pagination import Answer, Fetch, Page, Row, iter_v1_pages
from jumpcloud_elt.redaction import APPLICATION_SECRET_NAMES, SECRET_NAMES, encode_payload

log = logging.getLogger(__name__)

T = TypeVar("T")

LISTING_ATTEMPTS = 3
TIMESTAMP = pa.timestamp("us")
LINEAGE_FIELDS = [
    pa.field("_connection_id", pa.string()),
    pa.field("_extracted_at", TIMESTAMP),
    pa.field("_interval_start", TIMESTAMP),
    pa.field("_interval_end", TIMESTAMP),
]


@dataclass(frozen=True)
class Stream:
    """One listing of JumpCloud's: `key` is the landed name of its rows' id."""

    name: str
    path: str
    key: str
    iter_pages: Callable[[Fetch, Mapping[str, Any] | None], Iterator[Page]]
    secret_names: frozenset[str] = SECRET_NAMES

    @property
    def schema(self) -> pa.Schema:
        """Key column, payload as JSON text, lineage."""
        return pa.schema([pa.field(self.key, pa.string()), pa.field("payload", pa.string()), *LINEAGE_FIELDS])


SYSTEMUSERS = Stream("systemusers", "/api/systemusers", "user_id", iter_v1_pages)
ADMINISTRATORS = Stream("administrators", "/api/users", "administrator_id", iter_v1_pages)
APPLICATIONS = Stream(
    "applications", "/api/applications", "application_id", iter_v1_pages, APPLICATION_SECRET_NAMES
)
ORGANIZATIONS = Stream("organizations", "/api/organizations", "organization_id", iter_v1_pages)

# Landed per organization and directory run, in this order.
DIRECTORY_STREAMS = (SYSTEMUSERS, ADMINISTRATORS, APPLICATIONS)


@dataclass(frozen=True)
class Listing:
    """A whole listing: its rows as Arrow, one per id, the distinct ids received, the total the API stated."""

    table: pa.Table
    received: int
    api_total: int | None


def read_listing(hook: JumpCloudHook, stream: Stream, organization_id: str, extracted_at: datetime) -> Listing:
    """Read `stream` of one organization completely.

    Its distinct ids agree with the API's own total; a listing that moved while it was read is read again, up to
    LISTING_ATTEMPTS times, before IncompleteListingError is raised with the numbers.
    """
    what = f"{stream.name} of organization {organization_id}"
    return read_until_whole(lambda: _read_once(hook, stream, organization_id, extracted_at), what)


def read_until_whole(read: Callable[[], T], what: str) -> T:
    """Call `read` until it no longer raises IncompleteListingError, up to LISTING_ATTEMPTS times.

    Errors about the answers get `what` was read in front.
    """
    for attempt in range(1, LISTING_ATTEMPTS + 1):
        try:
            return read()
        except IncompleteListingError as error:
            if attempt == LISTING_ATTEMPTS:
                raise IncompleteListingError(f"{what}: {error}; tried {attempt} times") from error
            log.warning("%s: %s; reading it again", what, error)
        except ResponseError as error:
            raise type(error)(f"{what}: {error}") from error
    raise AssertionError("unreachable")


def _read_once(hook: JumpCloudHook, stream: Stream, organization_id: str, extracted_at: datetime) -> Listing:
    received: set[str] = set()
    payloads: dict[str, str] = {}
    total: int | None = None
    for page in stream.iter_pages(_fetch(hook, stream, organization_id), None):
        for row in page.rows:
            key = row_id(row)
            received.add(key)
            if row.get("organization") in (None, "", organization_id):
                payloads[key] = encode_payload(row, stream.secret_names)
        if page.total is not None and total is not None and page.total != total:
            raise IncompleteListingError(f"the total changed from {total} to {page.total} while the list was read")
        total = page.total
    if total is not None and len(received) != total:
        raise IncompleteListingError(f"{len(received)} distinct ids received, {total} stated by the API")
    size = len(payloads)
    table = pa.table(
        [
            pa.array(payloads.keys(), pa.string()),
            pa.array(payloads.values(), pa.string()),
            pa.repeat(pa.scalar(hook.jumpcloud_conn_id, pa.string()), size),
            pa.repeat(pa.scalar(extracted_at, TIMESTAMP), size),
            pa.nulls(size, TIMESTAMP),
            pa.nulls(size, TIMESTAMP),
        ],
        schema=stream.schema,
    )
    return Listing(table, len(received), total)


def _fetch(hook: JumpCloudHook, stream: Stream, organization_id: str) -> Fetch:
    """One request of `stream`, for the paginator."""
    header: str | None = organization_id

    def fetch(params: Mapping[str, Any]) -> Answer:
        nonlocal header
        try:
            return hook.get(stream.path, params, organization_id=header)
        except OrganizationHeaderError as error:
            # Official clients disagree on whether the administrators' route takes `x-org-id`: it says so itself.
            # Asked without, it may list other organizations' administrators too; those name theirs.
            if error.status != 403 or header is None or stream is not ADMINISTRATORS:
                raise
            header = None
            return hook.get(stream.path, params)

    return fetch


def row_id(row: Row) -> str:
    """The id of a row of a V1 listing. Raises PageShapeError where it has none."""
    key = row.get("_id") or row.get("id")
    if not isinstance(key, str) or not key:
        raise PageShapeError(f"expected every row to have an id, got one with {sorted(row)[:5]}")
    return key
