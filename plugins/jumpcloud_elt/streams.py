"""The directory's streams: which route, which page style, which key, and which fields are secret.

One declaration per endpoint, and the one function that reads it whole. Does not write anything.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

import pyarrow as pa

from jumpcloud_elt.errors import (
    IncompleteListingError,
    NotFoundError,
    OrganizationHeaderError,
    PageShapeError,
    RequestError,
    ResponseError,
    TransientError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.pagination import Answer, Fetch, Page, Row, iter_v1_pages, iter_v2_pages
from jumpcloud_elt.redaction import APPLICATION_SECRET_NAMES, PERSONAL_NAMES, SECRET_NAMES, encode_payload
from jumpcloud_elt.settings import Settings

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
    """One kind of listing of JumpCloud's.

    `keys` are the landed names of what identifies a row. A stream with a `parent` has a list of its own, or one
    for each of `variants` (query parameters), for every object of the parent stream; `{parent}` stands for that
    object's id in `path`, and `keys` begins with it. Where `is_optional`, a stream that cannot be read lands
    empty, and the others count all the same. `personal_names` are cut out like secrets where personal fields are
    not to be landed.
    """

    name: str
    path: str
    keys: tuple[str, ...]
    iter_pages: Callable[[Fetch, Mapping[str, Any] | None], Iterator[Page]]
    secret_names: frozenset[str] = SECRET_NAMES
    personal_names: frozenset[str] = frozenset()
    parent: str | None = None
    variants: tuple[Mapping[str, str | None], ...] = ({},)
    is_optional: bool = False

    @property
    def schema(self) -> pa.Schema:
        """Key columns, payload as JSON text, lineage."""
        keys = [pa.field(key, pa.string()) for key in self.keys]
        return pa.schema([*keys, pa.field("payload", pa.string()), *LINEAGE_FIELDS])

    def names_to_cut(self, settings: Settings) -> frozenset[str]:
        """The fields of a row that do not reach landing."""
        return self.secret_names if settings.land_personal_fields else self.secret_names | self.personal_names


ORGANIZATIONS = Stream("organizations", "/api/organizations", ("organization_id",), iter_v1_pages)
SYSTEMUSERS = Stream("systemusers", "/api/systemusers", ("user_id",), iter_v1_pages, personal_names=PERSONAL_NAMES)
ADMINISTRATORS = Stream(
    "administrators", "/api/users", ("administrator_id",), iter_v1_pages, personal_names=PERSONAL_NAMES
)
APPLICATIONS = Stream("applications", "/api/applications", ("application_id",), iter_v1_pages, APPLICATION_SECRET_NAMES)
# An envelope as in V1, on a V2 route that is not known to take V1's sort.
ROLES = Stream("roles", "/api/v2/roles", ("role_id",), iter_v1_pages, variants=({"sort": None},), is_optional=True)
USERGROUPS = Stream("usergroups", "/api/v2/usergroups", ("group_id",), iter_v2_pages)
USERGROUP_MEMBERS = Stream(
    "usergroup_members",
    "/api/v2/usergroups/{parent}/members",
    ("group_id", "user_id"),
    iter_v2_pages,
    parent=USERGROUPS.name,
)
# Direct edges only: who reaches an application through a group is joined in DuckDB, at a tenth of the requests.
APPLICATION_ASSOCIATIONS = Stream(
    "application_associations",
    "/api/v2/applications/{parent}/associations",
    ("application_id", "target_type", "target_id"),
    iter_v2_pages,
    parent=APPLICATIONS.name,
    variants=({"targets": "user"}, {"targets": "user_group"}),
)

# Landed per organization and directory run, in this order: a parent before what depends on it.
DIRECTORY_STREAMS = (
    SYSTEMUSERS,
    ADMINISTRATORS,
    ROLES,
    APPLICATIONS,
    USERGROUPS,
    USERGROUP_MEMBERS,
    APPLICATION_ASSOCIATIONS,
)

Keys = tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """A whole stream: its rows as Arrow, one per key, the distinct rows received, the total the API stated."""

    table: pa.Table
    received: int
    api_total: int | None


def read_listing(
    hook: JumpCloudHook,
    stream: Stream,
    organization_id: str,
    extracted_at: datetime,
    *,
    parents: Sequence[str] = (),
    threads: int = 1,
) -> Listing:
    """Read `stream` of one organization completely; of a stream with a parent, the lists of all `parents`.

    The distinct rows of each list agree with the API's own total; a list that moved while it was read is read
    again, up to LISTING_ATTEMPTS times, before IncompleteListingError is raised with the numbers. `threads` lists
    are read at a time.
    """
    lists: list[tuple[str | None, Mapping[str, str | None]]] = [
        (parent, variant) for parent in (parents if stream.parent else [None]) for variant in stream.variants
    ]

    def read(one: tuple[str | None, Mapping[str, str | None]]) -> tuple[dict[Keys, str], int, int | None]:
        parent, variant = one
        of = f" of {stream.parent} {parent}" if parent else ""
        what = f"{stream.name}{of} of organization {organization_id}"
        try:
            return read_until_whole(lambda: _read_once(hook, stream, organization_id, parent, variant), what)
        except NotFoundError:
            if parent is None and not stream.is_optional:
                raise
            # Removed since its parent was listed: what is gone has no members and gives no access.
            return {}, 0, 0
        except (RequestError, ResponseError) as error:
            # What may heal is no answer: taken for one, it would rewrite history and back.
            if not stream.is_optional or isinstance(error, TransientError):
                raise
            log.warning("%s is left empty: %s", what, error)
            return {}, 0, None

    with ThreadPoolExecutor(max(1, min(threads, len(lists)))) as pool:
        results = list(pool.map(read, lists))
    rows = {key: payload for payloads, _, _ in results for key, payload in payloads.items()}
    totals = [total for _, _, total in results]
    return Listing(
        table=_as_table(stream, rows, hook.jumpcloud_conn_id, extracted_at),
        received=sum(received for _, received, _ in results),
        api_total=None if None in totals else sum(total for total in totals if total is not None),
    )


def iter_rows(hook: JumpCloudHook, stream: Stream, organization_id: str, parent: str | None = None) -> Iterator[Row]:
    """The rows of a listing as they come, not held against any total: to look at, never to land."""
    requests = _Requests(hook, stream, organization_id, parent)
    for page in stream.iter_pages(requests, stream.variants[0]):
        yield from page.rows


def add_rows(
    listing: Listing, stream: Stream, rows: Sequence[Row], hook: JumpCloudHook, extracted_at: datetime
) -> Listing:
    """`listing` with rows of another route, where it does not have them."""
    keys = set(listing.table[stream.keys[0]].to_pylist())
    names = stream.names_to_cut(hook.settings)
    new: dict[Keys, str] = {(row_id(row),): encode_payload(row, names) for row in rows if row_id(row) not in keys}
    table = pa.concat_tables([listing.table, _as_table(stream, new, hook.jumpcloud_conn_id, extracted_at)])
    return Listing(table, listing.received, listing.api_total)


def _as_table(stream: Stream, rows: Mapping[Keys, str], connection_id: str, extracted_at: datetime) -> pa.Table:
    size = len(rows)
    # Sorted by key, so that a listing that has not changed gives the same columns again.
    keys = sorted(rows)
    columns = [
        *(pa.array([key[position] for key in keys], pa.string()) for position in range(len(stream.keys))),
        pa.array([rows[key] for key in keys], pa.string()),
        pa.repeat(pa.scalar(connection_id, pa.string()), size),
        pa.repeat(pa.scalar(extracted_at, TIMESTAMP), size),
        pa.nulls(size, TIMESTAMP),
        pa.nulls(size, TIMESTAMP),
    ]
    return pa.table(columns, schema=stream.schema)


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


def _read_once(
    hook: JumpCloudHook,
    stream: Stream,
    organization_id: str,
    parent: str | None,
    variant: Mapping[str, str | None],
) -> tuple[dict[Keys, str], int, int | None]:
    """One list: payloads by key, distinct rows received, the API's total."""
    received: set[Keys] = set()
    payloads: dict[Keys, str] = {}
    total: int | None = None
    nulls = 0
    names = stream.names_to_cut(hook.settings)
    requests = _Requests(hook, stream, organization_id, parent)
    for page in stream.iter_pages(requests, variant):
        for row in page.rows:
            key = _row_keys(row, stream, parent)
            received.add(key)
            # Asked without the organization, the route lists others' rows too; those name theirs.
            if requests.is_scoped or row.get("organization") in (None, "", organization_id):
                payloads[key] = encode_payload(row, names)
        if page.total is not None and total is not None and page.total != total:
            raise IncompleteListingError(f"the total changed from {total} to {page.total} while the list was read")
        total = page.total
        nulls += page.nulls
    if total is not None and not total - nulls <= len(received) <= total:
        raise IncompleteListingError(f"{len(received)} distinct ids received, {total} stated by the API")
    return payloads, len(received), total


class _Requests:
    """The requests of one list, for the paginator. `is_scoped` is False once they no longer name the organization."""

    def __init__(self, hook: JumpCloudHook, stream: Stream, organization_id: str, parent: str | None) -> None:
        self.is_scoped = True
        self._hook = hook
        self._path = stream.path.format(parent=parent)
        self._organization_id = organization_id
        self._may_be_asked_without = stream is ADMINISTRATORS

    def __call__(self, params: Mapping[str, Any]) -> Answer:
        if self.is_scoped:
            try:
                return self._hook.get(self._path, params, organization_id=self._organization_id)
            except OrganizationHeaderError as error:
                # Official clients disagree on whether the administrators' route takes `x-org-id`: it says so itself.
                if error.status != 403 or not self._may_be_asked_without:
                    raise
                self.is_scoped = False
        return self._hook.get(self._path, params)


def _row_keys(row: Row, stream: Stream, parent: str | None) -> Keys:
    """What identifies a row: its id; of an edge, whence and whither it leads."""
    if parent is None:
        return (row_id(row),)
    to = row.get("to")
    target_id, target_type = (to.get("id"), to.get("type")) if isinstance(to, dict) else (None, None)
    if not isinstance(target_id, str) or not target_id or not isinstance(target_type, str):
        raise PageShapeError(f"expected every row to lead `to` an object, got one with {sorted(row)[:5]}")
    return (parent, target_id) if stream is USERGROUP_MEMBERS else (parent, target_type, target_id)


def row_id(row: Row) -> str:
    """The id of a row of a V1 listing. Raises PageShapeError where it has none."""
    key = row.get("_id") or row.get("id")
    if not isinstance(key, str) or not key:
        raise PageShapeError(f"expected every row to have an id, got one with {sorted(row)[:5]}")
    return key
