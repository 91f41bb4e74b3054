"""Events that came after their interval had been read: found by JumpCloud's own counts, unit by unit.

Finds the landed units of which JumpCloud counts more by now. Does not read events; `events` does, by the same rule
as ever.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta

from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.insights import Insights
from jumpcloud_elt.intervals import Interval
from jumpcloud_elt.landing import landed_units, read_metadata, unit_path, utc_now
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.unit_reader import SERVICES


@dataclass(frozen=True)
class Difference:
    """A landed unit of which JumpCloud counts more events than have landed, for the same services."""

    interval: Interval
    services: tuple[str, ...]
    landed: int
    counted: int


def find_differences(
    hook: JumpCloudHook, organization_id: str, before: datetime, settings: Settings
) -> list[Difference]:
    """Compare the units landed in the `usage_reconcile_days` before `before` with `/events/count`.

    A unit that begins before JumpCloud's retention cannot agree any more, and is not asked about. One of which
    fewer events are counted would be read only to be kept.
    """
    retained = utc_now() - timedelta(days=hook.account.usage_retention_days)
    since = max(before - timedelta(days=settings.usage_reconcile_days), retained)
    if since >= before:
        return []

    def compare(interval: Interval) -> Difference:
        metadata = read_metadata(unit_path(settings.landing, organization_id, *interval))
        kept = metadata.get(SERVICES)
        # Units of before services were kept have landed with those that are configured, as far as anybody knows.
        services = tuple(kept) if isinstance(kept, list) else settings.usage_services
        counted = Insights(hook, organization_id, services).count(interval)
        return Difference(interval, services, int(str(metadata.get("received", 0))), counted)

    units = landed_units(settings.landing, organization_id, since, before)
    with ThreadPoolExecutor(settings.usage_slice_threads) as threads:
        return [one for one in threads.map(compare, units) if one.counted > one.landed]
