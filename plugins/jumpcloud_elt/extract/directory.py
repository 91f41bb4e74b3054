"""One organization's directory, read whole and landed as one snapshot.

Reads the streams that `streams` declares, in turn, and writes each. The stream `organizations` is written last: a
snapshot without it is not whole, and nobody reads it.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from datetime import datetime, timedelta

import pyarrow as pa

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.providers import read_provider_administrators
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.redaction import encode_payload
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import name_within
from jumpcloud_elt.core.streams import (
    ADMINISTRATORS,
    DIRECTORY_STREAMS,
    LINEAGE_FIELDS,
    ORGANIZATIONS,
    SYSTEMUSERS,
    Stream,
)
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.extract.listings import add_rows, read_listing
from jumpcloud_elt.landing.files import write_table
from jumpcloud_elt.landing.layout import snapshot_path
from jumpcloud_elt.landing.manifests import HELD, OK, Outcome
from jumpcloud_elt.landing.snapshots import Accepted, Decision, decide, iter_snapshots, write_stream

log = logging.getLogger(__name__)


def land_directory(
    client: JumpCloudClient, organization: Organization, settings: Settings, accepted: Accepted | None = None
) -> list[Outcome]:
    """Land one snapshot of `organization` and return one outcome per stream.

    `snapshot_at` is the time at which reading began, in whole seconds, and no other snapshot's. `accepted` is the drop
    in users that the run accepts. Raises the errors of the client and of `read_listing`; what had been written by then
    belongs to no snapshot.
    """
    organization_id = str(organization["organization_id"])
    snapshot_at = _take_second(settings, organization_id)
    previous_at = next((at for at, _ in iter_snapshots(settings.landing, organization_id)), None)
    outcomes: list[Outcome] = []
    parents: dict[str, list[str]] = {}
    for stream in DIRECTORY_STREAMS:
        began, requests = time.monotonic(), client.request_count
        extracted_at = utc_now()
        listing = read_listing(
            client,
            stream,
            organization_id,
            extracted_at,
            parents=parents.get(stream.parent or "", []),
            threads=settings.request_threads,
        )
        if stream is ADMINISTRATORS and "provider_id" in organization:
            linked = read_provider_administrators(client, organization["provider_id"], organization_id)
            listing = add_rows(listing, stream, linked, client, extracted_at)
        parents[stream.name] = listing.table[stream.keys[0]].to_pylist()
        outcome = _outcome(organization, settings, stream, snapshot_at)
        outcome.rows, outcome.received, outcome.api_total = (
            listing.table.num_rows,
            listing.received,
            listing.api_total,
        )
        path = snapshot_path(settings.landing, stream.name, organization_id, snapshot_at)
        previous = snapshot_path(settings.landing, stream.name, organization_id, previous_at) if previous_at else None
        counts = {"rows": outcome.rows, "received": outcome.received, "api_total": outcome.api_total}
        write_stream(path, listing.table, counts, previous)
        outcome.requests = client.request_count - requests
        outcome.seconds = round(time.monotonic() - began, 3)
        outcomes.append(outcome)
    decision = decide(settings, organization_id, len(parents[SYSTEMUSERS.name]), accepted)
    if decision.is_held:
        log.warning("The snapshot of %s is held: %s", organization["organization_name"], decision.reason)
    outcomes.append(_commit(organization, settings, snapshot_at, decision, outcomes))
    for outcome in outcomes:
        outcome.outcome = HELD if decision.is_held else OK
        outcome.decision, outcome.reason = decision.decision, decision.reason
    return outcomes


def _take_second(settings: Settings, organization_id: str) -> datetime:
    """This second, or the next that no other run has taken: one that acted on users may sync while another does.

    A store has no folders to take: there a run is seen once it has written something.
    """
    second = utc_now().replace(microsecond=0)
    while not snapshot_path(settings.landing, DIRECTORY_STREAMS[0].name, organization_id, second).parent.claim_folder():
        second += timedelta(seconds=1)
    return second


def _commit(
    organization: Organization,
    settings: Settings,
    snapshot_at: datetime,
    decision: Decision,
    streams: Sequence[Outcome],
) -> Outcome:
    """Write the snapshot's last file, with the decision about it: it makes the others count."""
    outcome = _outcome(organization, settings, ORGANIZATIONS, snapshot_at)
    outcome.rows = outcome.received = 1
    outcome.requests, outcome.seconds = 0, 0.0
    row = {
        "payload": encode_payload(organization["payload"]),
        "_connection_id": organization["connection_id"],
        "_extracted_at": utc_now(),
        "_interval_start": None,
        "_interval_end": None,
    }
    # No key column: the partition names the organization, and it would be there twice.
    schema = pa.schema([pa.field("payload", pa.string()), *LINEAGE_FIELDS])
    metadata = {
        "decision": decision.decision,
        "reason": decision.reason,
        "users": next(one.rows for one in streams if one.stream == SYSTEMUSERS.name),
        "streams": [one.stream for one in streams],
    }
    path = snapshot_path(settings.landing, ORGANIZATIONS.name, str(outcome.organization_id), snapshot_at)
    write_table(path, pa.Table.from_pylist([row], schema=schema), metadata)
    return outcome


def _outcome(organization: Organization, settings: Settings, stream: Stream, snapshot_at: datetime) -> Outcome:
    organization_id = str(organization["organization_id"])
    path = snapshot_path(settings.landing, stream.name, organization_id, snapshot_at)
    return Outcome(
        connection_id=organization["connection_id"],
        organization_id=organization_id,
        organization_name=organization["organization_name"],
        stream=stream.name,
        outcome=OK,
        snapshot_at=snapshot_at,
        path=name_within(path, settings.landing),
    )
