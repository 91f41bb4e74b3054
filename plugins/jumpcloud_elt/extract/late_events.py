"""What scheduled runs make up for in the days before their interval: events that came late, and gaps.

Finds the landed units of which JumpCloud counts more by now, and the time between landed units that none covers. Does
not read events; `events` does, by the same rule as ever.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.insights import Insights
from jumpcloud_elt.core.intervals import Interval, read_usage_cron, split_into_units, uncovered
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.times import midnight_before, utc_now
from jumpcloud_elt.extract import events
from jumpcloud_elt.landing.files import read_metadata
from jumpcloud_elt.landing.layout import landed_units, unit_path
from jumpcloud_elt.landing.manifests import OK, Outcome
from jumpcloud_elt.landing.units import SERVICES

log = logging.getLogger(__name__)


def _fill_gaps(
    client: JumpCloudClient,
    organization: Organization,
    gaps: Sequence[Interval],
    settings: Settings,
    landed: list[Outcome],
) -> None:
    """Read what no earlier run has landed of the days before."""
    for start, end in gaps:
        log.info("%s, %s to %s: no earlier run has landed it", organization["organization_name"], start, end)
    filled: list[Outcome] = []
    try:
        events.land_units(client, organization, gaps, settings, filled)
    finally:
        for outcome in filled:
            if outcome.outcome == OK:
                outcome.reason = "no earlier run had landed it"
        landed += filled


def _reconcile(
    client: JumpCloudClient,
    organization: Organization,
    landed_before: Sequence[Interval],
    before: datetime,
    settings: Settings,
    landed: list[Outcome],
) -> None:
    """Read the landed units of the days before again of which JumpCloud counts more by now."""
    found = find_differences(client, str(organization["organization_id"]), landed_before, before, settings)
    for one in found:
        log.info(
            "%s, %s to %s: %d events have landed, JumpCloud counts %d now; reading it again",
            organization["organization_name"],
            *one.interval,
            one.landed,
            one.counted,
        )
    again: list[Outcome] = []
    try:
        services = {one.interval: one.services for one in found}
        events.land_units(client, organization, list(services), settings, again, services)
    finally:
        before_that = {one.interval: one.landed for one in found}
        for outcome in again:
            if outcome.outcome == OK and outcome.interval_start and outcome.interval_end:
                had = before_that[outcome.interval_start, outcome.interval_end]
                outcome.reason = f"read again for events that came late: {outcome.received} received, {had} had landed"
        landed += again


INSTANT = timedelta(microseconds=1)


@dataclass(frozen=True)
class Difference:
    """A landed unit of which JumpCloud counts more events than have landed, for the same services."""

    interval: Interval
    services: tuple[str, ...]
    landed: int
    counted: int


def landed_before(organization_id: str, before: datetime, settings: Settings) -> list[Interval]:
    """The units of one organization that reach into the `usage_reconcile_days` before `before`, or up to them."""
    since = before - timedelta(days=settings.usage_reconcile_days)
    if since >= before:
        return []
    days = midnight_before(since - INSTANT), midnight_before(before) + timedelta(days=1)
    units = landed_units(settings.landing, organization_id, *days)
    return [(start, end) for start, end in units if start < before and end >= since]


def find_gaps(
    client: JumpCloudClient, landed: Sequence[Interval], before: datetime, settings: Settings
) -> list[Interval]:
    """What none of the units that `landed_before` gives covers, after the first of them, in units of the schedule.

    A schedule that was switched, an interval that failed and a scheduler that was down for a while leave such gaps.
    """
    since = before - timedelta(days=settings.usage_reconcile_days)
    retained = utc_now() - timedelta(days=client.account.usage_retention_days)
    cron = read_usage_cron(settings.usage_schedule)
    units = [unit for gap in uncovered(landed, since, before) for unit in split_into_units(*gap, cron)]
    return [unit for unit in units if unit[1] > retained]


def find_differences(
    client: JumpCloudClient, organization_id: str, landed: Sequence[Interval], before: datetime, settings: Settings
) -> list[Difference]:
    """Compare the units in the `usage_reconcile_days` before `before` with `/events/count`.

    A unit that begins before JumpCloud's retention cannot agree any more, and is not asked about. One of which
    fewer events are counted would be read only to be kept.
    """
    retained = utc_now() - timedelta(days=client.account.usage_retention_days)
    since = max(before - timedelta(days=settings.usage_reconcile_days), retained)

    def compare(interval: Interval) -> Difference:
        metadata = read_metadata(unit_path(settings.landing, organization_id, *interval))
        kept = metadata.get(SERVICES)
        # Units of before services were kept have landed with those that are configured, as far as anybody knows.
        services = tuple(kept) if isinstance(kept, list) else settings.usage_services
        counted = Insights(client, organization_id, services).count(interval)
        return Difference(interval, services, int(str(metadata.get("received", 0))), counted)

    units = [unit for unit in landed if since <= unit[0] and unit[1] <= before]
    with ThreadPoolExecutor(settings.usage_slice_threads) as threads:
        return [one for one in threads.map(compare, units) if one.counted > one.landed]
