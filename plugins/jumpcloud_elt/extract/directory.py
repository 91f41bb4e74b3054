"""One organization's directory, read whole and landed as one snapshot.

Reads the streams that `streams` declares, in turn, and writes each. The stream `organizations` is written last: a
snapshot without it is not whole, and nobody reads it. An optional stream that could not be read has no file.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import pyarrow as pa

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.providers import find_provider_id, read_provider_administrators
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place, name_within
from jumpcloud_elt.core.streams import (
    ADMINISTRATORS,
    DIRECTORY_STREAMS,
    LINEAGE_FIELDS,
    ORGANIZATIONS,
    Row,
    Stream,
)
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import (
    CAN_HEAL,
    JumpCloudError,
    RequestError,
    ResponseError,
)
from jumpcloud_elt.extract.listings import Listed, add_rows, read_listing
from jumpcloud_elt.landing.files import read_metadata, write_table
from jumpcloud_elt.landing.layout import snapshot_path
from jumpcloud_elt.landing.manifests import HELD, OK, SKIPPED, Outcome
from jumpcloud_elt.landing.snapshots import (
    FROM_PROVIDER,
    Accepted,
    Decision,
    decide,
    last_accepted,
    last_snapshot_at,
    last_with,
    write_stream,
)

log = logging.getLogger(__name__)


def land_directory(
    client: JumpCloudClient,
    organization: Organization,
    settings: Settings,
    accepted: Accepted | None = None,
    unread: dict[str, JumpCloudError] | None = None,
) -> list[Outcome]:
    """Land one snapshot of `organization` and return one outcome per stream.

    `snapshot_at` is the time at which reading began, in whole seconds, no other snapshot's, and later than the last.
    `accepted` is what the run accepts as missing. An optional stream that could not or may not be read has no file in
    the snapshot; why goes to `unread`, by stream. Raises the errors of the client and of `read_listing`; what had been
    written by then belongs to no snapshot.
    """
    unread = {} if unread is None else unread
    organization_id = str(organization["organization_id"])
    settings.landing.remove_temporaries(f"*/organization_id={organization_id}")
    snapshot_at = _take_second(settings, organization_id)
    outcomes: list[Outcome] = []
    listed: dict[str, pa.Table] = {}
    for stream in DIRECTORY_STREAMS:
        began, requests = time.monotonic(), client.request_count
        outcome = _outcome(organization, settings, stream, snapshot_at)
        previous = last_with(settings.landing, organization_id, stream)
        try:
            listing, metadata = _read(client, organization, settings, stream, listed, previous)
        except (RequestError, ResponseError) as error:
            if not stream.is_optional:
                raise
            unread[stream.name] = error
            outcome.outcome, outcome.path = SKIPPED, None
            outcome.reason = _why_unread(settings, organization_id, stream, error)
            log.warning("%s: %s", organization["organization_name"], outcome.reason)
        else:
            listed[stream.name] = listing.table
            outcome.rows, outcome.received, outcome.api_total = (
                listing.table.num_rows,
                listing.received,
                listing.api_total,
            )
            metadata |= {"rows": outcome.rows, "received": outcome.received, "api_total": outcome.api_total}
            path = snapshot_path(settings.landing, stream.name, organization_id, snapshot_at)
            write_stream(path, listing.table, metadata, previous)
        outcome.requests = client.request_count - requests
        outcome.seconds = round(time.monotonic() - began, 3)
        outcomes.append(outcome)
    decision = decide(settings, organization_id, listed, accepted)
    if decision.is_held:
        log.warning("The snapshot of %s is held: %s", organization["organization_name"], decision.reason)
    outcomes.append(_commit(organization, settings, snapshot_at, decision, outcomes))
    for outcome in outcomes:
        outcome.decision = decision.decision
        if outcome.outcome != SKIPPED:
            outcome.outcome, outcome.reason = HELD if decision.is_held else OK, decision.reason
    return outcomes


def _read(
    client: JumpCloudClient,
    organization: Organization,
    settings: Settings,
    stream: Stream,
    listed: Mapping[str, pa.Table],
    previous: Place | None,
) -> tuple[Listed, dict[str, object]]:
    """One stream as it is now, and what its file is to say of it beside the counts."""
    organization_id, extracted_at = str(organization["organization_id"]), utc_now()
    parents = listed[stream.parent].column(0).to_pylist() if stream.parent else []
    threads = settings.request_threads
    listing = read_listing(client, stream, organization_id, extracted_at, parents=parents, threads=threads)
    if stream is not ADMINISTRATORS or "provider_id" not in organization:
        return listing, {}
    linked: list[Row] = []
    try:
        provider_id = organization["provider_id"] or find_provider_id(client)
        if provider_id is not None:
            linked = read_provider_administrators(client, provider_id, organization_id)
    except RequestError as error:
        # No reason to read nobody. But of a provider's administrators who have been seen it is not known then whether
        # they have gone.
        if isinstance(error, CAN_HEAL) or (previous is not None and read_metadata(previous).get(FROM_PROVIDER)):
            raise
        log.info("Administrators of a provider are left out of %s: %s", organization["organization_name"], error)
    return add_rows(listing, stream, linked, client, extracted_at), {FROM_PROVIDER: len(linked)}


def _why_unread(settings: Settings, organization_id: str, stream: Stream, error: JumpCloudError) -> str:
    """Why a snapshot is without an optional stream, and as of when that stream is known."""
    since = last_accepted(settings.landing, organization_id, [stream]).get(stream.name)
    known = f"They are as of {since[0]:%Y-%m-%d %H:%M:%S} UTC." if since else "They have never been read."
    return f"The {stream.name} were not read: {str(error).rstrip('.')}. {known}"


def _take_second(settings: Settings, organization_id: str) -> datetime:
    """This second, or the next that no other run has taken: one that acted on users may sync while another does.

    Never before the last snapshot, whatever the clock says: what is older than it is not folded.
    """
    second = utc_now().replace(microsecond=0)
    last = last_snapshot_at(settings.landing, organization_id)
    if last is not None and last > second:
        log.warning("The clock says %s UTC, and the last snapshot of %s is of %s UTC", second, organization_id, last)
        second = last
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
        "payload": organization["payload"],
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
        "streams": [one.stream for one in streams if one.outcome != SKIPPED],
        "unread": {one.stream: one.reason for one in streams if one.outcome == SKIPPED},
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
