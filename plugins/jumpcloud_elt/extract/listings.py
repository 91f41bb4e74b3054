"""One stream of one organization, read completely and held against the total that the API states."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime

import pyarrow as pa

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.listings import _Requests, read_until_whole, row_id
from jumpcloud_elt.api.pagination import PAGE_STYLES
from jumpcloud_elt.core.redaction import encode_payload
from jumpcloud_elt.core.streams import DIRECTORY_STREAMS, TIMESTAMP, USERGROUP_MEMBERS, Row, RowKey, Stream
from jumpcloud_elt.errors import IncompleteListingError, NotFoundError, PageShapeError


@dataclass(frozen=True)
class Listed:
    """A whole stream: its rows as Arrow, one per key, the distinct rows received, the total the API stated."""

    table: pa.Table
    received: int
    api_total: int | None


def read_listing(
    client: JumpCloudClient,
    stream: Stream,
    organization_id: str,
    extracted_at: datetime,
    *,
    parents: Sequence[str] = (),
    threads: int = 1,
) -> Listed:
    """Read `stream` of one organization completely; of a stream with a parent, the lists of all `parents`.

    The distinct rows of each list agree with the API's own total; a list that moved while it was read is read
    again, up to LISTING_ATTEMPTS times, before IncompleteListingError is raised with the numbers. `threads` lists
    are read at a time.

    A list of edges that answers 404 is empty where its parent has been removed since it was listed. NotFoundError is
    raised where the parent, listed once more, is still there.
    """
    lists: list[tuple[str | None, Mapping[str, str | None]]] = [
        (parent, variant) for parent in (parents if stream.parent else [None]) for variant in stream.variants
    ]

    def read(one: tuple[str | None, Mapping[str, str | None]]) -> tuple[dict[RowKey, str], int, int | None]:
        parent, variant = one
        of = f" of {stream.parent} {parent}" if parent else ""
        what = f"{stream.name}{of} of organization {organization_id}"
        try:
            return read_until_whole(lambda: _read_once(client, stream, organization_id, parent, variant), what, client)
        except NotFoundError as error:
            if parent is None:
                raise
            not_found[parent] = error
            return {}, 0, 0

    not_found: dict[str, NotFoundError] = {}
    with ThreadPoolExecutor(max(1, min(threads, len(lists)))) as pool, client.ending_with_task():
        results = list(pool.map(read, lists))
    if not_found:
        _confirm_removed(client, stream, organization_id, not_found)
    rows = {key: payload for payloads, _, _ in results for key, payload in payloads.items()}
    totals = [total for _, _, total in results]
    return Listed(
        table=_as_table(stream, rows, client.account.connection_id, extracted_at),
        received=sum(received for _, received, _ in results),
        api_total=None if None in totals else sum(total for total in totals if total is not None),
    )


def _confirm_removed(
    client: JumpCloudClient, stream: Stream, organization_id: str, not_found: Mapping[str, NotFoundError]
) -> None:
    """Raise the first of the errors whose parent is still listed: what is there may have edges that were not given."""
    [parent_stream] = [one for one in DIRECTORY_STREAMS if one.name == stream.parent]
    what = f"{parent_stream.name} of organization {organization_id}"
    payloads, _, _ = read_until_whole(
        lambda: _read_once(client, parent_stream, organization_id, None, {}), what, client
    )
    for (parent,) in sorted(payloads):
        if parent in not_found:
            error = not_found[parent]
            raise NotFoundError(
                f"{error} It is still listed, so that its {stream.name} are not known.",
                status=error.status,
                detail=error.detail,
            ) from error


def add_rows(
    listing: Listed, stream: Stream, rows: Sequence[Row], client: JumpCloudClient, extracted_at: datetime
) -> Listed:
    """`listing` with rows of another route, where it does not have them."""
    keys = set(listing.table[stream.keys[0]].to_pylist())
    names = stream.names_to_cut(client.settings)
    new: dict[RowKey, str] = {(row_id(row),): encode_payload(row, names) for row in rows if row_id(row) not in keys}
    table = pa.concat_tables([listing.table, _as_table(stream, new, client.account.connection_id, extracted_at)])
    return Listed(table, listing.received, listing.api_total)


def _as_table(stream: Stream, rows: Mapping[RowKey, str], connection_id: str, extracted_at: datetime) -> pa.Table:
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


def _read_once(
    client: JumpCloudClient,
    stream: Stream,
    organization_id: str,
    parent: str | None,
    variant: Mapping[str, str | None],
) -> tuple[dict[RowKey, str], int, int | None]:
    """One list: payloads by key, distinct rows received, the API's total."""
    received: set[RowKey] = set()
    payloads: dict[RowKey, str] = {}
    total: int | None = None
    nulls = 0
    names = stream.names_to_cut(client.settings)
    requests = _Requests(client, stream, organization_id, parent)
    for page in PAGE_STYLES[stream.page_style](requests, variant):
        for row in page.rows:
            key = _row_keys(row, stream, parent)
            received.add(key)
            # Asked without the organization, the route lists others' rows too; those name theirs.
            if requests.is_scoped or row.get("organization") in (None, "", organization_id):
                payloads[key] = encode_payload(row, names)
        # What is added at the end while the list is read comes with it; what goes is missed by nobody but the total.
        if page.total is not None and total is not None and page.total < total:
            raise IncompleteListingError(f"the total changed from {total} to {page.total} while the list was read")
        total = page.total
        nulls += page.nulls
    if total is not None and not total - nulls <= len(received) <= total:
        raise IncompleteListingError(f"{len(received)} distinct ids received, {total} stated by the API")
    return payloads, len(received), total


def _row_keys(row: Row, stream: Stream, parent: str | None) -> RowKey:
    """What identifies a row: its id; of an edge, whence and whither it leads."""
    if parent is None:
        return (row_id(row),)
    to = row.get("to")
    target_id, target_type = (to.get("id"), to.get("type")) if isinstance(to, dict) else (None, None)
    if not isinstance(target_id, str) or not target_id or not isinstance(target_type, str):
        raise PageShapeError(f"expected every row to lead `to` an object, got one with {sorted(row)[:5]}")
    return (parent, target_id) if stream is USERGROUP_MEMBERS else (parent, target_type, target_id)
