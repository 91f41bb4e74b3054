"""What runs of jumpcloud_usage make up for in the time before their interval: days without a unit, incomplete and
damaged units, events that came late.

Finds what to read, by what the landed files say of themselves. Does not read events; `events` does, by the same rule
as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TypeVar

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.insights import Insights
from jumpcloud_elt.core.intervals import PRESETS, Interval, split_into_units, uncovered
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.times import DAY, midnight_before, utc_now
from jumpcloud_elt.errors import NotEnabledError
from jumpcloud_elt.extract import events
from jumpcloud_elt.landing.inventory import READING_THREADS
from jumpcloud_elt.landing.layout import EVENTS, landed_units
from jumpcloud_elt.landing.manifests import INCOMPLETE, LEAVING, OK, Outcome, failure
from jumpcloud_elt.landing.units import UnitMetadata, read_landed_unit

log = logging.getLogger(__name__)

# So long before JumpCloud lets go of something that has not been read, somebody is told.
LEAVES_SOON = timedelta(days=3)
Units = dict[Interval, UnitMetadata]
_Organization = TypeVar("_Organization", bound=Organization)


@dataclass(frozen=True)
class Lacking:
    """What of an organization's usage is to be read: what is missing, and what more is worth another reading."""

    missing: list[Interval]
    incomplete: list[Interval]
    again: list[Interval]

    @property
    def newest_first(self) -> list[Interval]:
        return sorted({*self.missing, *self.incomplete, *self.again}, reverse=True)


def catch_up(
    client: JumpCloudClient,
    organization: Organization,
    before: datetime,
    settings: Settings,
    until: datetime,
    landed: list[Outcome],
) -> None:
    """Read what lacks of one organization before `before`, newest first; no unit begins after `until`.

    Outcomes go to `landed`, also when it raises; beside what landed, what is soon older than JumpCloud keeps events.
    """
    lacking = find_lacking(client, organization, before, settings)
    todo = lacking.newest_first
    log.info("%s: %d units to read", organization["organization_name"], len(todo))
    try:
        events.land_units(client, organization, todo, settings, landed, until)
    finally:
        read = {(one.interval_start, one.interval_end) for one in landed if one.outcome != INCOMPLETE}
        landed += _leaving_soon(client, organization, lacking, read)


def find_leaving(client: JumpCloudClient, organization: Organization, settings: Settings) -> list[Outcome]:
    """What is soon older than JumpCloud keeps events and is not landed as it should be; asks JumpCloud nothing."""
    now = utc_now()
    # Yesterday is what the run itself was to read.
    before = min(_midnight_after(_soon(client)), midnight_before(now) - DAY)
    return _leaving_soon(client, organization, _find_lacking(client, organization, before, settings)[1])


def find_lacking(client: JumpCloudClient, organization: Organization, before: datetime, settings: Settings) -> Lacking:
    """What JumpCloud still has and is not landed, or not as it should be.

    Damaged files are set aside: they have not landed.
    """
    units, lacking = _find_lacking(client, organization, before, settings)
    late = _late(client, str(organization["organization_id"]), units, before, settings)
    return replace(lacking, again=[*_verifiable(units), *late])


def _find_lacking(
    client: JumpCloudClient, organization: Organization, before: datetime, settings: Settings
) -> tuple[Units, Lacking]:
    """What has landed, and what is missing or incomplete."""
    organization_id = str(organization["organization_id"])
    now = utc_now()
    retained = _midnight_after(now - timedelta(days=client.account.usage_retention_days))
    paths = landed_units(settings.landing, organization_id)
    within = [interval for interval in paths if interval[1] > retained and interval[0] < before]
    with ThreadPoolExecutor(READING_THREADS) as threads:
        read = zip(within, threads.map(lambda interval: read_landed_unit(paths[interval]), within), strict=True)
        units: Units = {interval: metadata for interval, metadata in read if metadata is not None}
    since = retained
    if settings.usage_initial_days is not None and all(start >= retained for start, _ in paths):
        initial = midnight_before(now - timedelta(days=settings.usage_initial_days))
        since = max(retained, min(initial, _first_covered(units) or initial))
    missing = [unit for gap in uncovered(units, since, before) for unit in split_into_units(*gap, PRESETS["@daily"])]
    whole = [interval for interval, unit in units.items() if unit.outcome == OK]
    incomplete = [
        interval
        for interval, unit in units.items()
        if unit.outcome == INCOMPLETE and interval[0] >= retained and uncovered(whole, *interval)
    ]
    return units, Lacking(missing, incomplete, [])


def order_by_need(organizations: Iterable[_Organization], settings: Settings) -> list[_Organization]:
    """Organizations of which the least is known first: by the time without gap up to their last unit."""

    def known(organization: _Organization) -> timedelta:
        units = landed_units(settings.landing, str(organization["organization_id"]))
        until = max((end for _, end in units), default=datetime(1, 1, 1))
        gaps = uncovered(units, datetime(1, 1, 1), until)
        return until - gaps[-1][1] if gaps else timedelta()

    return sorted(organizations, key=known)


def _first_covered(units: Units) -> datetime | None:
    """The start of the first whole unit, of those from the first event on: empty ones before it prove nothing."""
    first_event = min((interval[0] for interval, unit in units.items() if unit.inside), default=None)
    if first_event is None:
        return None
    return min(
        (start for (start, _), unit in units.items() if unit.outcome == OK and start >= first_event), default=None
    )


def _verifiable(units: Units) -> list[Interval]:
    """Empty units that prove nothing, of which events have landed since that are older than their end."""
    holding = [(interval[0], unit.extracted_at) for interval, unit in units.items() if unit.inside]

    first_event = min((start for start, _ in holding), default=datetime(1, 1, 1))

    def may_hold_events(interval: Interval, unit: UnitMetadata) -> bool:
        return unit.extracted_at is not None and any(
            start < interval[1] and extracted_at is not None and extracted_at > unit.extracted_at
            for start, extracted_at in holding
        )

    return [
        interval
        for interval, unit in units.items()
        if not unit.inside
        and (unit.began_before_retention or interval[0] < first_event)
        and may_hold_events(interval, unit)
    ]


def _late(
    client: JumpCloudClient, organization_id: str, units: Units, before: datetime, settings: Settings
) -> list[Interval]:
    """Units of the last `usage_reconcile_days` of which JumpCloud counts more by now than was received."""
    since = before - timedelta(days=settings.usage_reconcile_days)
    retained = utc_now() - timedelta(days=client.account.usage_retention_days)

    def has_more(interval: Interval) -> bool:
        # Units of before services were kept have landed with those that are configured, as far as anybody knows.
        services = units[interval].services or settings.usage_services
        try:
            counted = Insights(client, organization_id, services).count(interval)
        except NotEnabledError:
            # The plan does not reach back so far: what has landed is all there is. That the whole of it has ended is
            # said by the probe, and by what is read.
            return False
        if counted > units[interval].received:
            log.info("%s to %s: %d received, JumpCloud counts %d by now", *interval, units[interval].received, counted)
        return counted > units[interval].received

    recent = [
        interval
        for interval, unit in units.items()
        if max(since, retained) <= interval[0]
        and interval[1] <= before
        # Of what was gone before it was read nobody can tell.
        and unit.outcome == OK
        and not unit.began_before_retention
    ]
    with ThreadPoolExecutor(settings.usage_slice_threads) as threads, client.ending_with_task():
        return [interval for interval, is_late in zip(recent, threads.map(has_more, recent), strict=True) if is_late]


def _soon(client: JumpCloudClient) -> datetime:
    """What begins before is soon older than JumpCloud keeps events."""
    return utc_now() - timedelta(days=client.account.usage_retention_days) + LEAVES_SOON


def _leaving_soon(
    client: JumpCloudClient,
    organization: Organization,
    lacking: Lacking,
    read: Collection[tuple[datetime | None, datetime | None]] = (),
) -> list[Outcome]:
    """What of `lacking`, but for what was `read`, leaves soon."""
    soon = _soon(client)
    return [
        _leaving(organization, interval, why)
        for intervals, why in ((lacking.missing, "not read"), (lacking.incomplete, INCOMPLETE))
        for interval in intervals
        if interval[0] < soon and interval not in read
    ]


def _leaving(organization: Organization, interval: Interval, why: str) -> Outcome:
    outcome = failure(organization, EVENTS, f"{why}, and within three days JumpCloud no longer keeps its events")
    if why == INCOMPLETE:
        outcome.reason = (
            f"{outcome.reason}. Where JumpCloud's counts are never exact, set [jumpcloud_elt] usage_count_tolerance to "
            "the share by which they may differ"
        )
    outcome.outcome = LEAVING
    outcome.interval_start, outcome.interval_end = interval
    return outcome


def _midnight_after(moment: datetime) -> datetime:
    midnight = midnight_before(moment)
    return midnight if midnight == moment else midnight + DAY
