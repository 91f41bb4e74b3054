"""What scheduled runs make up for in the days before their interval: events that came late, and gaps.

Finds the landed units of which JumpCloud counts more by now, and the time between landed units that none covers. Does
not read events; `events` does, by the same rule as ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.insights import Insights
from jumpcloud_elt.intervals import Interval, midnight_before, read_usage_cron, split_into_units, uncovered
from jumpcloud_elt.landing import landed_units, read_metadata, unit_path, utc_now
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.unit_reader import SERVICES

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


def find_gaps(hook: JumpCloudHook, landed: Sequence[Interval], before: datetime, settings: Settings) -> list[Interval]:
    """What none of the units that `landed_before` gives covers, after the first of them, in units of the schedule.

    A schedule that was switched, an interval that failed and a scheduler that was down for a while leave such gaps.
    """
    since = before - timedelta(days=settings.usage_reconcile_days)
    retained = utc_now() - timedelta(days=hook.account.usage_retention_days)
    cron = read_usage_cron(settings.usage_schedule)
    units = [unit for gap in uncovered(landed, since, before) for unit in split_into_units(*gap, cron)]
    return [unit for unit in units if unit[1] > retained]


def find_differences(
    hook: JumpCloudHook, organization_id: str, landed: Sequence[Interval], before: datetime, settings: Settings
) -> list[Difference]:
    """Compare the units in the `usage_reconcile_days` before `before` with `/events/count`.

    A unit that begins before JumpCloud's retention cannot agree any more, and is not asked about. One of which
    fewer events are counted would be read only to be kept.
    """
    retained = utc_now() - timedelta(days=hook.account.usage_retention_days)
    since = max(before - timedelta(days=settings.usage_reconcile_days), retained)

    def compare(interval: Interval) -> Difference:
        metadata = read_metadata(unit_path(settings.landing, organization_id, *interval))
        kept = metadata.get(SERVICES)
        # Units of before services were kept have landed with those that are configured, as far as anybody knows.
        services = tuple(kept) if isinstance(kept, list) else settings.usage_services
        counted = Insights(hook, organization_id, services).count(interval)
        return Difference(interval, services, int(str(metadata.get("received", 0))), counted)

    units = [unit for unit in landed if since <= unit[0] and unit[1] <= before]
    with ThreadPoolExecutor(settings.usage_slice_threads) as threads:
        return [one for one in threads.map(compare, units) if one.counted > one.landed]
