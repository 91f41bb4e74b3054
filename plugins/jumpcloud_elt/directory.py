"""One organization's directory, read whole and landed as one snapshot.

Reads the streams that `streams` declares, in turn, and writes each. The stream `organizations` is written last: a
snapshot without it is not whole, and nobody reads it.
"""

from __future__ import annotations

import time

import pyarrow as pa

from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.landing import snapshot_path, utc_now, write_table
from jumpcloud_elt.organizations import Organization
from jumpcloud_elt.redaction import encode_payload
from jumpcloud_elt.runs import OK, Outcome
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.streams import DIRECTORY_STREAMS, ORGANIZATIONS, read_listing


def land_directory(hook: JumpCloudHook, organization: Organization, settings: Settings) -> list[Outcome]:
    """Land one snapshot of `organization` and return one outcome per stream.

    `snapshot_at` is the time at which reading began, in whole seconds. Raises the errors of the hook and of
    `read_listing`; what had been written by then belongs to no snapshot.
    """
    organization_id = str(organization["organization_id"])
    snapshot_at = utc_now().replace(microsecond=0)
    outcomes = []
    for stream in DIRECTORY_STREAMS:
        began, requests = time.monotonic(), hook.request_count
        extracted_at = utc_now()
        listing = read_listing(hook, stream, organization_id, extracted_at)
        path = snapshot_path(settings.landing, stream.name, organization_id, snapshot_at)
        outcome = Outcome(
            connection_id=organization["connection_id"],
            organization_id=organization_id,
            organization_name=organization["organization_name"],
            stream=stream.name,
            outcome=OK,
            snapshot_at=snapshot_at,
            path=str(path.relative_to(settings.landing)),
            rows=listing.table.num_rows,
            received=listing.received,
            api_total=listing.api_total,
            requests=hook.request_count - requests,
            seconds=round(time.monotonic() - began, 3),
        )
        write_table(path, listing.table, _metadata(outcome))
        outcomes.append(outcome)
    outcomes.append(_land_organization(organization, settings, outcomes[0]))
    return outcomes


def _land_organization(organization: Organization, settings: Settings, like: Outcome) -> Outcome:
    """The snapshot's last file: it makes the others count."""
    organization_id, snapshot_at = str(like.organization_id), like.snapshot_at
    assert snapshot_at is not None
    path = snapshot_path(settings.landing, ORGANIZATIONS.name, organization_id, snapshot_at)
    outcome = Outcome(
        connection_id=like.connection_id,
        organization_id=organization_id,
        organization_name=like.organization_name,
        stream=ORGANIZATIONS.name,
        outcome=OK,
        snapshot_at=snapshot_at,
        path=str(path.relative_to(settings.landing)),
        rows=1,
        received=1,
        requests=0,
        seconds=0.0,
    )
    # The partition already names the organization: its column would be there twice.
    row = {
        "payload": encode_payload(organization["payload"]),
        "_connection_id": like.connection_id,
        "_extracted_at": utc_now(),
        "_interval_start": None,
        "_interval_end": None,
    }
    schema = pa.schema([field for field in ORGANIZATIONS.schema if field.name != ORGANIZATIONS.key])
    write_table(path, pa.Table.from_pylist([row], schema=schema), _metadata(outcome))
    return outcome


def _metadata(outcome: Outcome) -> dict[str, object]:
    """What a rebuilt manifest needs to know of this file."""
    return {"received": outcome.received, "api_total": outcome.api_total, "snapshot_at": outcome.snapshot_at}
