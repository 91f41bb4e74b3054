"""Directory Insights events of one organization and interval, landed as one Parquet file.

Decides what becomes of what has been read: whether it takes the place of what has landed, and what is said of it.
Reading is `unit_reader`'s, a page's columns are `event_pages`'.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from types import MappingProxyType

from jumpcloud_elt.event_pages import SCHEMA, decode_page, open_writer, parse_timestamps
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.insights import Insights
from jumpcloud_elt.intervals import Interval
from jumpcloud_elt.landing import EVENTS, one_writer, publish, read_metadata, temporary_beside, unit_path
from jumpcloud_elt.organizations import Organization
from jumpcloud_elt.places import Place, name_within
from jumpcloud_elt.runs import KEPT, OK, Outcome
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.unit_reader import SERVICES, Threads, read_complete_unit, reading_threads

__all__ = ["SCHEMA", "decode_page", "land_unit", "land_units", "open_writer", "parse_timestamps"]

# Small units wait for answers most of the time; each that is being read keeps its ids in memory.
UNITS_AT_A_TIME = 4


def land_units(
    hook: JumpCloudHook,
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
            units.submit(_land, hook, threads, organization, one, settings, services.get(one, settings.usage_services))
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


def land_unit(hook: JumpCloudHook, organization: Organization, interval: Interval, settings: Settings) -> Outcome:
    """Land the events of one organization in one interval, which lies within one UTC day.

    The distinct ids received agree with `/events/count` for the same bounds, or the interval is read again, up to
    READ_ATTEMPTS times, before IncompleteListingError is raised with both numbers. A unit that has landed with
    more events than JumpCloud still has stays as it is; one that has landed with other services is read with those,
    too, so that fewer events never mean fewer services.

    Raises NotEnabledError or PermissionDeniedError where there is no Directory Insights.
    """
    with reading_threads(settings) as threads:
        return _land(hook, threads, organization, interval, settings, settings.usage_services)


def _land(
    hook: JumpCloudHook,
    threads: Threads,
    organization: Organization,
    interval: Interval,
    settings: Settings,
    services: Sequence[str],
) -> Outcome:
    organization_id = str(organization["organization_id"])
    path = unit_path(settings.landing, organization_id, *interval)
    began = time.monotonic()
    asked_for = _with_landed_services(services, _landed_services(path))
    insights = Insights(hook, organization_id, asked_for)
    with temporary_beside(path) as temporary:
        counts = read_complete_unit(temporary, insights, interval, threads)
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
            requests=insights.requests,
            seconds=round(time.monotonic() - began, 3),
            extracted_at=counts.extracted_at,
        )
        with one_writer(path):
            # Another run may have landed it meanwhile.
            landed = read_metadata(path) if path.exists() else {}
            is_fewer = counts.received < int(str(landed.get("received", 0)))
            missing = sorted(set(_with_landed_services((), landed.get(SERVICES))) - set(asked_for))
            if is_fewer or missing:
                outcome.outcome = KEPT
                outcome.extracted_at = None
                outcome.reason = _why_kept(counts.received, landed, missing)
            else:
                publish(temporary, path)
    return outcome


def _why_kept(received: int, landed: Mapping[str, object], missing: Sequence[str]) -> str:
    told = f"{received} events received, {landed.get('received')} have landed; these stay. "
    if missing:
        return f"{told}They landed meanwhile, with services that this run did not ask for: {', '.join(missing)}."
    if SERVICES in landed:
        return f"{told}JumpCloud no longer keeps the others."
    return f"{told}JumpCloud no longer keeps the others, or usage_services names fewer services than then."


def _landed_services(path: Place) -> object:
    return read_metadata(path).get(SERVICES) if path.exists() else None


def _with_landed_services(services: Sequence[str], landed: object) -> tuple[str, ...]:
    """`services`, and those that a unit has landed with: what is read again must not come back with less."""
    return tuple(dict.fromkeys([*services, *(landed if isinstance(landed, list) else ())]))
