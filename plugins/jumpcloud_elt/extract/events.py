"""Directory Insights events of one organization and interval, landed as one Parquet file.

Decides how often a unit is read and what becomes of what was received: it is added to what has landed, by event id.
One reading is `event_reader`'s, the file of both `landing.union`'s, a page's columns are `event_pages`'.
"""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from datetime import datetime, timedelta
from pathlib import Path

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.insights import PROBED_RANGE, Insights
from jumpcloud_elt.api.listings import settle_seconds
from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place, name_within
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import LandingError, NotEnabledError, ResponseError
from jumpcloud_elt.extract.event_reader import Threads, read_unit, reading_threads
from jumpcloud_elt.extract.tally import SlicesError
from jumpcloud_elt.landing.files import set_aside
from jumpcloud_elt.landing.layout import EVENTS, unit_path
from jumpcloud_elt.landing.manifests import INCOMPLETE, OK, UNVERIFIED, Outcome
from jumpcloud_elt.landing.union import Union, write_union
from jumpcloud_elt.landing.units import UnitMetadata, add_metadata, open_writer, read_landed_unit, read_unit_metadata

log = logging.getLogger(__name__)

# Small units wait for answers most of the time; each that is being read keeps its ids in memory.
UNITS_AT_A_TIME = 4
UNIT_READ_ATTEMPTS = 3


def land_units(
    client: JumpCloudClient,
    organization: Organization,
    intervals: Sequence[Interval],
    settings: Settings,
    landed: list[Outcome],
    until: datetime | None = None,
) -> None:
    """Land the events of one organization in several intervals, a few at the same time; outcomes go to `landed`.

    No unit begins after `until`. A unit whose answers cannot be true leaves the others to be landed; any other that
    fails keeps those after it from beginning. `landed` has what landed beside it when it raises.
    """
    wrong: list[ResponseError] = []

    futures: list[Future[Outcome | None]] = []

    def land(interval: Interval) -> Outcome | None:
        if until is not None and utc_now() >= until:
            return None
        try:
            return _land(client, threads, organization, interval, settings)
        except ResponseError as error:
            log.warning("%s, %s to %s: %s", organization["organization_name"], *interval, error)
            wrong.append(error)
            return None

    try:
        with (
            reading_threads(settings) as threads,
            ThreadPoolExecutor(UNITS_AT_A_TIME) as units,
            client.ending_with_task(),
        ):
            futures += [units.submit(land, one) for one in intervals]
            try:
                wait(futures, return_when=FIRST_EXCEPTION)
            finally:
                for future in futures:
                    future.cancel()
    finally:
        ended = [future for future in futures if future.done() and not future.cancelled()]
        landed += filter(None, [future.result() for future in ended if future.exception() is None])
    for future in ended:
        future.result()
    if wrong:
        raise wrong[0]


def land_unit(client: JumpCloudClient, organization: Organization, interval: Interval, settings: Settings) -> Outcome:
    """Land the events of one organization in one interval, which lies within one UTC day.

    The unit is what has landed and what was received, by event id. Where UNIT_READ_ATTEMPTS readings, with pauses
    between them, have not agreed with `/events/count`, the outcome is `incomplete`, with both numbers. A unit that has
    landed with other services is read with those, too.

    Raises NotEnabledError or PermissionDeniedError where there is no Directory Insights.
    """
    with reading_threads(settings) as threads, client.ending_with_task():
        return _land(client, threads, organization, interval, settings)


def _land(
    client: JumpCloudClient, threads: Threads, organization: Organization, interval: Interval, settings: Settings
) -> Outcome:
    organization_id = str(organization["organization_id"])
    path = unit_path(settings.landing, organization_id, *interval)
    began = time.monotonic()
    landed = read_landed_unit(path)
    services = dict.fromkeys([*settings.usage_services, *((landed and landed.services) or ())])
    insights = Insights(client, organization_id, tuple(services))
    outcome = Outcome(
        connection_id=organization["connection_id"],
        organization_id=organization_id,
        organization_name=organization["organization_name"],
        stream=EVENTS,
        outcome=INCOMPLETE,
        interval_start=interval[0],
        interval_end=interval[1],
        path=name_within(path, settings.landing),
    )
    try:
        _read_until_agreed(path, insights, interval, threads, outcome)
    except NotEnabledError as error:
        now = utc_now()
        # Raises likewise unless it is this range alone that the plan does not reach.
        insights.count((now - PROBED_RANGE, now))
        _land_beyond_plan(path, insights, outcome, f"JumpCloud answers {error.status} {error.detail}")
    outcome.requests = insights.requests
    outcome.seconds = round(time.monotonic() - began, 3)
    return outcome


def _read_until_agreed(path: Place, insights: Insights, interval: Interval, threads: Threads, outcome: Outcome) -> None:
    """Land one reading after another until one agrees with the API's own count; `outcome` says what has come of it."""
    settings, client = insights.client.settings, insights.client
    is_cut = interval[0] < utc_now() - timedelta(days=client.account.usage_retention_days)
    who = f"Events of organization {insights.organization_id} from {interval[0]} to {interval[1]}"
    path.parent.remove_temporaries()
    for attempt in range(UNIT_READ_ATTEMPTS):
        if attempt:
            client.pause(settle_seconds(settings, attempt))
        with path.temporary() as temporary:
            try:
                # Slices rest on how the API takes bounds. Where they do not add up, one walk does without.
                counts = read_unit(
                    temporary, insights, interval, threads, may_slice=attempt == 0, began_before_retention=is_cut
                )
            except SlicesError as error:
                log.warning("%s: %s; reading %d of %d", who, error, attempt + 1, UNIT_READ_ATTEMPTS)
                continue
            _tell(outcome, _add(temporary, path, interval))
        has_agreed = counts.agrees(settings.usage_count_tolerance)
        if has_agreed and outcome.outcome == OK:
            return
        told = f"{counts.received} distinct ids received, {counts.api_total} counted by JumpCloud"
        if has_agreed:
            told += ", which no longer has all that it had"
        log.warning("%s: %s; reading %d of %d", who, told, attempt + 1, UNIT_READ_ATTEMPTS)
    outcome.reason = "; ".join([f"{told}, in {UNIT_READ_ATTEMPTS} readings", *filter(None, [outcome.reason])])


def _add(temporary: Path, path: Place, interval: Interval) -> Union | UnitMetadata:
    """Make a reading part of the unit at `path`; as it is, where none has landed."""
    metadata = read_unit_metadata(FolderPath(temporary))
    with path.one_writer() as put:
        if path.exists():
            try:
                with path.temporary() as target:
                    union = write_union(target, path, temporary, interval)
                    put(target)
                    return union
            except LandingError:
                set_aside(path)
        put(temporary)
        return metadata


def _tell(outcome: Outcome, unit: Union | UnitMetadata) -> None:
    """Note in `outcome` what lies at its path now."""
    metadata = unit
    if isinstance(unit, Union):
        metadata = unit.metadata
        outcome.kept = unit.kept
        outcome.added = unit.added + (outcome.added or 0)
        outcome.changed = unit.changed + (outcome.changed or 0)
        outcome.reason = f"read again: {outcome.kept} kept, {outcome.added} added, {outcome.changed} changed"
    for name in ("outcome", "rows", "received", "api_total", "inside", "strays", "extracted_at"):
        setattr(outcome, name, getattr(metadata, name))


def _land_beyond_plan(path: Place, insights: Insights, outcome: Outcome, told: str) -> None:
    """Land an empty unit for a range that JumpCloud does not give, so that it is not asked for again."""
    days = insights.client.account.usage_retention_days
    outcome.reason = f"{told} for this range only; usage_retention_days of the connection ({days}) is too long"
    with path.temporary() as temporary, path.one_writer() as put:
        metadata = None
        with contextlib.suppress(FileNotFoundError):
            metadata = read_unit_metadata(path)
        if metadata is None:
            metadata = UnitMetadata(
                extracted_at=utc_now(),
                connection_id=insights.client.account.connection_id,
                services=list(insights.services),
                began_before_retention=True,
                outcome=UNVERIFIED,
            )
            with open_writer(temporary) as writer:
                add_metadata(writer, metadata)
            put(temporary)
    _tell(outcome, metadata)
    # As earlier versions landed it.
    if metadata.outcome == OK and metadata.began_before_retention and not metadata.inside:
        outcome.outcome = UNVERIFIED
