"""Units of events put into landing without asking anybody, and what the runs that landed them wrote down.

A small world whose units are landed, landed again, emptied, overlapped, forgotten and killed, seeded; it knows what
a warehouse of it must hold.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.landing.files import write_table
from jumpcloud_elt.landing.layout import EVENTS, unit_path
from jumpcloud_elt.landing.manifests import INCOMPLETE, OK, Outcome, RunManifest
from jumpcloud_elt.landing.union import write_union
from jumpcloud_elt.landing.units import UNIT_SCHEMA
from support.evolving import TIMES, object_id
from support.expectations import Attempt, Unit, moment, outcome

Json = dict[str, Any]
Bounds = tuple[str, datetime, datetime]

ORGANIZATIONS = ("a" * 24, "b" * 24, "c" * 24)
DAY = timedelta(days=1)
USAGE = "jumpcloud_usage"


def organization(organization_id: str) -> Organization:
    return Organization(
        connection_id="jc", organization_id=organization_id, organization_name="Org", payload="{}", error=None
    )


def login(event_id: str, at: datetime, **fields: Any) -> Json:
    """A successful log-in to the user portal."""
    actor = {"id": object_id("1", 1), "username": "ana", "email": "ana@x.io"}
    stamp = f"{at.isoformat()}Z"
    return {"id": event_id, "event_type": "user_login_attempt", "service": "directory", "success": True,
            "initiated_by": actor, "timestamp": stamp, **fields}  # fmt: skip


def land(landing: Path, unit: Unit) -> Outcome:
    """Land a unit, whatever was there before; return what its run has to write down: `incomplete` of one not whole."""
    path = unit_path(landing, unit.organization_id, unit.interval_start, unit.interval_end)
    return _outcome(landing, unit, path, _write(path, unit))


def land_again(landing: Path, unit: Unit) -> Outcome:
    """Land another reading of a unit, as runs do: what has landed stays; return what its run has to write down."""
    path = unit_path(landing, unit.organization_id, unit.interval_start, unit.interval_end)
    if not path.exists():
        return land(landing, unit)
    received = FolderPath(landing / "received.parquet")
    _write(received, unit)
    with path.temporary() as target:
        union = write_union(target, path, received, (unit.interval_start, unit.interval_end))
        path.put(target)
    received.unlink()
    return _outcome(landing, unit, path, msgspec.structs.asdict(union.metadata))


def _write(path: FolderPath, unit: Unit) -> Json:
    """Write the file of a reading; return what it says of itself."""
    rows = [_row(event, unit) for event in unit.events]
    kept = [row for row in rows if row["event_at"] != unit.interval_end]
    inside = {
        row["event_id"]
        for row in kept
        if row["event_at"] and unit.interval_start <= row["event_at"] < unit.interval_end
    }
    received = len({row["event_id"] for row in rows})
    metadata: Json = {
        "received": received,
        "inside": len(inside),
        "strays": 0,
        "rows": len(kept),
        "api_total": received if unit.is_whole else received + 1,
        "extracted_at": unit.extracted_at,
        "services": list(unit.services),
        "began_before_retention": unit.began_before_retention,
        "outcome": OK if unit.is_whole else INCOMPLETE,
    }
    table = pa.Table.from_pylist(kept, schema=UNIT_SCHEMA)
    write_table(path, table, {**metadata, "extracted_at": unit.extracted_at.isoformat()})
    return metadata


def _outcome(landing: Path, unit: Unit, path: FolderPath, told: Json) -> Outcome:
    names = ("received", "inside", "strays", "rows", "api_total", "extracted_at", "outcome")
    return Outcome(
        connection_id="jc",
        organization_id=unit.organization_id,
        organization_name="Org",
        stream=EVENTS,
        interval_start=unit.interval_start,
        interval_end=unit.interval_end,
        path=str(path.relative_to(landing)),
        **{name: told[name] for name in names},
    )


def record(
    landing: Path,
    run_id: str,
    outcomes: Sequence[Outcome],
    killed: str | None = None,
    interval: tuple[datetime, datetime] | None = None,
    dag_id: str = USAGE,
) -> Path:
    """Write the manifest of a run with these outcomes, in which the task of organization `killed` was killed."""
    run = RunManifest(landing, dag_id, run_id)
    tried = {str(one.organization_id) for one in outcomes}
    for organization_id in tried:
        run.add(organization(organization_id), [one for one in outcomes if one.organization_id == organization_id])
    names = sorted(tried | ({killed} if killed else set()))
    run.write_manifest([organization(one) for one in names], EVENTS, is_restricted=False, interval=interval)
    return run.manifest


def failures(landing: Path) -> list[Attempt]:
    """What of the runs that lie in landing failed, and within which interval."""
    rows = [row for path in sorted((landing / "_runs").glob("*/*.parquet")) for row in pq.read_table(path).to_pylist()]
    return [
        Attempt(
            row["organization_id"],
            row["run_id"],
            row["recorded_at"],
            "usage",
            "failed",
            interval=(row["interval_start"], row["interval_end"]),
        )
        for row in rows
        if row["outcome"] == "failed" and row["interval_start"] is not None
    ]


def _row(event: Json, unit: Unit) -> Json:
    row: Json = {
        "event_id": event["id"],
        "event_type": event.get("event_type"),
        "service": event.get("service"),
        "event_at": moment(event.get("timestamp")),
        "success": outcome(event.get("success")),
        "sso_token_success": outcome(event.get("sso_token_success")),
        "payload": json.dumps(event),
        "_connection_id": "jc",
        "_extracted_at": unit.extracted_at,
        "_interval_start": unit.interval_start,
        "_interval_end": unit.interval_end,
    }
    for owner in ("initiated_by", "resource", "application"):
        named = {f"{owner}_{name}": value for name, value in (event.get(owner) or {}).items()}
        row |= {name: value for name, value in named.items() if name in UNIT_SCHEMA.names}
    return row


@dataclass
class Landed:
    """A unit as it lies in landing, and the manifests that know of it."""

    unit: Unit
    manifests: set[str]


class ChangingUnits:
    """Three organizations and a few days around the turn of a month, that change step by step."""

    def __init__(self, landing: Path, seed: int) -> None:
        self.landing = landing
        self.random = random.Random(seed)
        self.landed: dict[Bounds, Landed] = {}
        self.hidden: dict[str, bytes] = {}
        self.clock = datetime(2026, 6, 1)
        self.runs = 0
        self.first_day = datetime(2026, 3, 29)

    def known(self) -> list[Unit]:
        """The units that a warehouse must show: those that some manifest knows, as they lie there."""
        return [one.unit for one in self.landed.values() if one.manifests - self.hidden.keys()]

    def is_all_known(self) -> bool:
        return len(self.known()) == len(self.landed)

    def step(self) -> str:
        """One thing that happens; returns what."""
        choices = (self.land_days, self.land_days, self.land_hours, self.land_again, self.empty, self.read_to_no_end,
                   self.kill, self.hide, self.show)  # fmt: skip
        act = self.random.choice(choices)
        act()
        return act.__name__

    def land_days(self) -> None:
        """A run over one to three days, of some organizations."""
        start = self._day()
        end = start + self.random.randrange(1, 4) * DAY
        days = [start + number * DAY for number in range((end - start).days)]
        self._run([(one, day, day + DAY) for one in self._some(ORGANIZATIONS) for day in days])

    def land_hours(self) -> None:
        """The schedule is hourly for a while: units within a day that has, or will have, a unit of its own."""
        start = self._day() + timedelta(hours=self.random.choice([0, 8, 12, 20]))
        hours = [start + timedelta(hours=number) for number in range(4)]
        self._run([(one, hour, hour + timedelta(hours=1)) for one in self._some(ORGANIZATIONS) for hour in hours])

    def land_again(self) -> None:
        self._run(self._some(list(self.landed)))

    def empty(self) -> None:
        self._run(self._some(list(self.landed))[:2], events=0)

    def read_to_no_end(self) -> None:
        """Read again to the same content, which is written all the same, with the same time."""
        outcomes = []
        run_id = self._run_id()
        for bounds in self._some(list(self.landed)):
            kept = land(self.landing, self.landed[bounds].unit)
            # As earlier versions wrote it.
            kept.outcome, kept.extracted_at = "kept", None
            outcomes.append(kept)
            self.landed[bounds].manifests.add(run_id)
        record(self.landing, run_id, outcomes)

    def kill(self) -> None:
        """A task lands units that are known anew, and is killed before it can say so; the run says that it failed."""
        known = [bounds for bounds, one in self.landed.items() if one.manifests]
        if not known:
            return
        organization_id, start, end = self.random.choice(known)
        for bounds, one in self.landed.items():
            if bounds[0] == organization_id and bounds[1] < end and bounds[2] > start:
                one.unit = self._unit(bounds, self.random.randrange(1, 9))
                land(self.landing, one.unit)
        record(self.landing, self._run_id(), [], killed=organization_id, interval=(start, end))

    def hide(self) -> None:
        """A manifest is gone."""
        manifests = sorted((self.landing / "_runs" / USAGE).glob("*.parquet"))
        if manifests:
            path = self.random.choice(manifests)
            self.hidden[path.stem.split("-")[0]] = path.read_bytes()
            path.unlink()

    def show(self) -> None:
        """Manifests that were gone are there again."""
        for run_id, content in self.hidden.items():
            RunManifest(self.landing, USAGE, run_id).manifest.write_bytes(content)
        self.hidden.clear()

    def _run(self, all_bounds: list[Bounds], events: int | None = None) -> None:
        run_id = self._run_id()
        outcomes = []
        for bounds in all_bounds:
            unit = self._unit(bounds, self.random.randrange(12) if events is None else events)
            outcomes.append(land(self.landing, unit))
            manifests = self.landed[bounds].manifests if bounds in self.landed else set()
            self.landed[bounds] = Landed(unit, {*manifests, run_id})
        record(self.landing, run_id, outcomes)

    def _unit(self, bounds: Bounds, events: int) -> Unit:
        self.clock += timedelta(seconds=self.random.choice([0, 1, 60]), microseconds=1)
        organization_id, start, end = bounds
        services = self.random.choice([("directory", "sso")] * 4 + [("all",), ("sso",), ("ldap", "sso", "directory")])
        return Unit(
            organization_id,
            start,
            end,
            self.clock,
            [self._event(start, end) for _ in range(events)],
            services,
            began_before_retention=self.random.random() < 0.2,
        )

    def _event(self, start: datetime, end: datetime) -> Json:
        """An event of few ids, so that they meet: in one unit, in overlapping ones, on two days; some are strays."""
        choice = self.random.choice
        at = choice([start, start, start + (end - start) / 2, end - timedelta(microseconds=1), end, start - DAY])
        event_type = choice(["user_login_attempt", "admin_login_attempt", "sso_auth", "sso_auth", "user_update"])
        actor = {"id": choice([object_id("1", 1), object_id("1", 2), None]), "username": choice(["ana", "", None]),
                 "email": choice(["ana@x.io", None])}  # fmt: skip
        application = {
            "id": choice([object_id("3", 1), object_id("3", 2), None]),
            "name": choice(["wiki", "mail", ""]),
            "display_label": choice(["Wiki", "", None]),
            "sso_type": choice(["saml", "oidc", None]),
        }
        event = login(
            f"{self.random.randrange(60):024x}",
            at,
            event_type=event_type,
            success=choice([True, True, False, None, "true", "false", "TRUE"]),
            initiated_by=choice([actor, actor, {}]),
            resource=actor,
        )
        if event_type == "sso_auth":
            event |= {
                "sso_token_success": choice([True, True, False, False, None, "true", "false"]),
                "error_message": choice(["denied", "", None, " "]),
                "application": application | choice([{}, {"display_name": "Wiki, Inc."}, {"display_name": ""}]),
            }
        if self.random.random() < 0.3 and end - start == DAY:
            event["timestamp"] = f"{start:%Y-%m-%d}T{choice(TIMES)}Z"
        return event

    def _day(self) -> datetime:
        return self.first_day + self.random.randrange(6) * DAY

    def _run_id(self) -> str:
        self.runs += 1
        return f"run{self.runs}"

    def _some(self, of: Sequence[Any]) -> list[Any]:
        return [one for one in of if self.random.random() < 0.5]


def extracted(unit: Unit, later: timedelta, events: list[Json]) -> Unit:
    """The same unit, read again later."""
    return replace(unit, extracted_at=unit.extracted_at + later, events=events)
