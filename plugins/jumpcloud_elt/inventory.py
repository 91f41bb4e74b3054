"""What lies in landing, as its own files tell it: for what no run has come to record.

Lists, and reads what files say of themselves. Does not decide what becomes of it.
"""

from __future__ import annotations

from datetime import datetime

import msgspec

from jumpcloud_elt.intervals import Interval
from jumpcloud_elt.landing import EVENTS, landed_units, read_metadata, unit_path
from jumpcloud_elt.organizations import Organization
from jumpcloud_elt.places import Place, name_within
from jumpcloud_elt.runs import OK, Outcome

FOUND = "found in landing: the task that landed it did not come to say so, or another run has"


class _Told(msgspec.Struct):
    """What a landed file says of itself; older ones say less."""

    rows: int | None = None
    received: int | None = None
    api_total: int | None = None
    inside: int | None = None
    strays: int | None = None
    extracted_at: datetime | None = None


def find_units(landing: Place, organization: Organization, since: datetime, until: datetime) -> list[Outcome]:
    """The units of one organization that have landed within [since, until), whichever run landed them."""
    organization_id = organization["organization_id"]
    if not organization_id:
        return []
    units = landed_units(landing, organization_id, since, until)
    return [_unit(landing, organization, unit_path(landing, organization_id, *unit), unit) for unit in units]


def _unit(landing: Place, organization: Organization, path: Place, interval: Interval) -> Outcome:
    told = msgspec.convert(read_metadata(path), _Told)
    return Outcome(
        connection_id=organization["connection_id"],
        organization_id=organization["organization_id"],
        organization_name=organization["organization_name"],
        stream=EVENTS,
        outcome=OK,
        reason=FOUND,
        interval_start=interval[0],
        interval_end=interval[1],
        path=name_within(path, landing),
        **msgspec.structs.asdict(told),
    )
