"""Directory Insights events of one organization and interval, landed as one Parquet file.

Decides what becomes of what has been read: whether it takes the place of what has landed, and what is said of it.
Reading is `unit_reader`'s, a page's columns are `event_pages`'.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from datetime import timedelta
from types import MappingProxyType

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.insights import Insights
from jumpcloud_elt.core.intervals import Interval
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place, name_within
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.extract.event_reader import Threads, read_complete_unit, reading_threads
from jumpcloud_elt.landing.files import read_metadata
from jumpcloud_elt.landing.layout import EVENTS, unit_path
from jumpcloud_elt.landing.manifests import KEPT, OK, Outcome
from jumpcloud_elt.landing.units import BEGAN_BEFORE_RETENTION, SERVICES

# Small units wait for answers most of the time; each that is being read keeps its ids in memory.
UNITS_AT_A_TIME = 4


def land_units(
    client: JumpCloudClient,
    organization: Organization,
    intervals: Sequence[Interval],
    settings: Settings,
    landed: list[Outcome],
    services: Mapping[Interval, Sequence[str]] = MappingProxyType({}),
) -> None:
    """Land the events of one organization in several intervals, a few at the same time; outcomes go to `landed`.

    `services` are those to ask for, where not those that are configured. The first unit that fails keeps those after
    it from beginning; `landed` has what landed beside it when it raises.
    """
    with reading_threads(settings) as threads, ThreadPoolExecutor(UNITS_AT_A_TIME) as units:
        futures = [
            units.submit(
                _land, client, threads, organization, one, settings, services.get(one, settings.usage_services)
            )
            for one in intervals
        ]
        try:
            wait(futures, return_when=FIRST_EXCEPTION)
        except BaseException:
            # Airflow ends the task: what is under way must not go on for the rest of the range.
            threads.is_over.set()
            raise
        finally:
            for future in futures:
                future.cancel()
    ended = [future for future in futures if not future.cancelled()]
    landed += [future.result() for future in ended if future.exception() is None]
    for future in ended:
        future.result()


def land_unit(client: JumpCloudClient, organization: Organization, interval: Interval, settings: Settings) -> Outcome:
    """Land the events of one organization in one interval, which lies within one UTC day.

    The distinct ids received agree with `/events/count` for the same bounds, or the interval is read again, up to
    READ_ATTEMPTS times, before IncompleteListingError is raised with both numbers. A unit that has landed with
    more events than JumpCloud still has stays as it is; one that has landed with other services is read with those,
    too, so that fewer events never mean fewer services, and compared by these alone, so that more services never
    hide that events are gone. A unit that began before JumpCloud's retention says so.

    Raises NotEnabledError or PermissionDeniedError where there is no Directory Insights.
    """
    with reading_threads(settings) as threads:
        return _land(client, threads, organization, interval, settings, settings.usage_services)


def _land(
    client: JumpCloudClient,
    threads: Threads,
    organization: Organization,
    interval: Interval,
    settings: Settings,
    services: Sequence[str],
) -> Outcome:
    organization_id = str(organization["organization_id"])
    path = unit_path(settings.landing, organization_id, *interval)
    began = time.monotonic()
    before = _metadata(path)
    asked_for = _with_landed_services(services, before)
    insights = Insights(client, organization_id, asked_for)
    is_cut = interval[0] < utc_now() - timedelta(days=client.account.usage_retention_days)
    if is_cut and _landed_services(before) == sorted(asked_for):
        # What was read while JumpCloud kept all of it, and comes back with no fewer events, is whole.
        is_cut = before.get(BEGAN_BEFORE_RETENTION) is not False
    with path.locked_temporary() as temporary:
        counts = read_complete_unit(temporary, insights, interval, threads, began_before_retention=is_cut)
        comparable, requests = counts.received, insights.requests
        if _landed_services(before) not in ([], sorted(asked_for)):
            # More services have more events, also where JumpCloud has let go of some that have landed.
            same = Insights(client, organization_id, _with_landed_services((), before))
            comparable = same.count(interval)
            requests += same.requests
        outcome = Outcome(
            connection_id=organization["connection_id"],
            organization_id=organization_id,
            organization_name=organization["organization_name"],
            stream=EVENTS,
            outcome=OK,
            interval_start=interval[0],
            interval_end=interval[1],
            path=name_within(path, settings.landing),
            rows=counts.rows,
            received=counts.received,
            api_total=counts.api_total,
            inside=counts.inside,
            strays=counts.strays,
            requests=requests,
            seconds=round(time.monotonic() - began, 3),
            extracted_at=counts.extracted_at,
        )
        with path.one_writer() as put:
            # Another run may have landed it meanwhile.
            landed = _metadata(path)
            if _landed_services(landed) == sorted(asked_for):
                comparable = counts.received
            is_fewer = comparable < int(str(landed.get("received", 0)))
            missing = sorted(set(_landed_services(landed)) - set(asked_for))
            if is_fewer or missing:
                outcome.outcome = KEPT
                outcome.extracted_at = None
                outcome.reason = _why_kept(comparable, landed, asked_for)
            else:
                put(temporary)
    return outcome


def _why_kept(comparable: int, landed: Mapping[str, object], asked_for: Sequence[str]) -> str:
    services = _landed_services(landed)
    missing = sorted(set(services) - set(asked_for))
    is_comparable = not services or missing or services == sorted(asked_for)
    seen = "received" if is_comparable else f"of {', '.join(services)} counted"
    told = f"{comparable} events {seen}, {landed.get('received')} have landed; these stay. "
    if missing:
        return f"{told}They landed meanwhile, with services that this run did not ask for: {', '.join(missing)}."
    if not services:
        return f"{told}JumpCloud no longer keeps the others, or usage_services names fewer services than then."
    return f"{told}JumpCloud no longer keeps the others."


def _metadata(path: Place) -> dict[str, object]:
    return read_metadata(path) if path.exists() else {}


def _landed_services(landed: Mapping[str, object]) -> list[str]:
    """Those that a unit has landed with, in order; none where it does not say, or has not landed."""
    services = landed.get(SERVICES)
    return sorted(services) if isinstance(services, list) else []


def _with_landed_services(services: Sequence[str], landed: Mapping[str, object]) -> tuple[str, ...]:
    """`services`, and those that a unit has landed with: what is read again must not come back with less."""
    kept = landed.get(SERVICES)
    return tuple(dict.fromkeys([*services, *(kept if isinstance(kept, list) else ())]))
