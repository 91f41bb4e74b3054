"""The worlds that `faults` syncs, and what a warehouse may know of them: all there is, or what is left where something
went wrong and was told.

Worlds are the tests' (`tests/support/evolving.py`), what must be known of them is the tests' own expectation.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

import duckdb
import pyarrow.parquet as pq

from benchmarks.fault_kinds import Fault, snapshots_at
from jumpcloud_elt.core.settings import read_settings
from support.evolving import ORGANIZATIONS, EvolvingWorld
from support.expectations import TABLES, Insights, Snapshot, Unit, expected
from support.pipeline import differences, snapshot_of
from support.worlds import DAY, TODAY, units_of_organization

Json = dict[str, Any]
HIT, OTHER = ORGANIZATIONS
NAMES = {HIT: "Alpha", OTHER: "Bravo"}
CONNECTIONS = {HIT: "jumpcloud_default", OTHER: "jumpcloud_other"}
# Two days before the fault, the one that it befalls, and the one on which it is over.
START, FAULTY, OVER, END = TODAY - 4 * DAY, TODAY - 2 * DAY, TODAY - DAY, TODAY
EQUAL, LOUD, SILENT = "equal", "loud", "silent"


@dataclass
class Told:
    """What a round's runs have told, a line each."""

    directory: list[str] = field(default_factory=list)
    usage: list[str] = field(default_factory=list)
    build: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Known:
    """What a warehouse may know of one organization."""

    snapshots: list[Snapshot]
    units: list[Unit]
    insights: str = "read"


def changing_world(seed: int) -> list[Json]:
    """A world on three days. Something of everything is there on each, so that an empty list is none."""
    while True:
        evolving, worlds = EvolvingWorld(seed), []
        evolving.add_events(START, days=2, per_day=30)
        for day in (FAULTY, OVER, END):
            world = evolving.world()
            world["keys"] = [{"key": one, "organizations": [one]} for one in ORGANIZATIONS]
            for organization in world["organizations"]:
                organization["displayName"] = NAMES[organization["id"]]
            worlds.append(world)
            evolving.step()
            evolving.add_events(day, days=1, per_day=30)
        if all(is_rich(one, other) for one, other in itertools.pairwise(worlds)):
            return worlds
        seed += 100_000


def is_rich(before: Json, after: Json) -> bool:
    """Whether at least three of everything that is guarded were there before, and some still are."""

    def keys(organization: Json, kind: str) -> set[str]:
        rows = organization[kind]
        if isinstance(rows, list):
            return {str(row.get("_id", row.get("id"))) for row in rows}
        return {f"{parent} {child}" for parent, children in rows.items() for child in children}

    kinds = ("users", "administrators", "applications", "usergroups", "memberships", "application_users")
    pairs = zip(before["organizations"], after["organizations"], strict=True)
    return all(len(keys(one, kind)) >= 3 and keys(one, kind) & keys(two, kind) for one, two in pairs for kind in kinds)


def change(world: Json, kind: str) -> Json:
    """What somebody else does while a list is being read."""
    organization = world["organizations"][0]
    if kind.startswith("group"):
        return {"delete_usergroups": [organization["usergroups"][0]["id"]]}
    new = {"_id": "1" * 24, "username": "late", "email": "late@x.io"}
    return {"delete_users": [organization["users"][0]["_id"]], "add_users": [new]}


def ways_to_see(world: Json, later: Json) -> list[Json]:
    """The organization before and after what was changed while it was read; a group may go before its members."""
    before, after = (one["organizations"][0] for one in (world, later))
    groups = {one["id"] for one in after["usergroups"]}
    members = {group: users for group, users in before["memberships"].items() if group in groups}
    return [after | {"memberships": members}, before, before | {"memberships": members}]


def of(world: Json, organization_id: str) -> Json:
    return next(one for one in world["organizations"] if one["id"] == organization_id)


class Story:
    """What the warehouse may know of one organization, sync after sync; begins with the first."""

    def __init__(self, one: str, row: Json) -> None:
        self.one = one
        self.times = snapshots_at(one)
        self.known = Known([snapshot_of(row, self.times[-1])], units_of_organization(row, START, FAULTY))
        # What the next snapshot may follow: one that has landed need not have been built.
        self.before = [self.known.snapshots]

    def judge(
        self, told: Told, rows: Sequence[Json], until: datetime, fault: Fault | None, *, is_published: bool = True
    ) -> tuple[str, str]:
        """Hold what is published after a sync against what there was to see, `rows`; of a fault also against what may
        be left of it, if that was told. Return equal, loud or silent, and how it differs from what there was to see.
        """
        new = [at for at in snapshots_at(self.one) if at not in self.times]
        self.times += new
        whole = [[*some, *(snapshot_of(row, at) for at in new)] for some in self.before for row in rows if new]
        units = units_of_organization(rows[0], START, until)
        found, status = read(self.one)
        # One that is older than what was known shows nothing new.
        true = [Known(some, units) for some in whole if some == sorted(some, key=lambda one: one.snapshot_at)]
        may_be = [] if is_published else [self.known]
        if fault is not None:
            may_be += self._may_be_left(whole, units, told, status, is_damage=fault.files is not None)
        self.before = [self.known.snapshots, *whole]
        why = "" if true else "no snapshot has landed"
        for known in (*true, *may_be):
            different = compare(self.one, found, known, is_told=known not in true)
            if not different:
                self.known, self.before = known, [known.snapshots, *whole]
                return (EQUAL if known in true else LOUD), why
            why = why or different
        return SILENT, f"{why}\n{told}\n{status}"

    def _may_be_left(
        self, whole: list[list[Snapshot]], units: list[Unit], told: Told, status: str, *, is_damage: bool
    ) -> Iterator[Known]:
        """What may be known where something was told of the directory, of usage, or of a damaged file by the build."""
        of_directory, of_usage, insights = [*whole], [units], ["read"]
        damaged = is_damage and (told.directory or told.usage or told.build or status)
        if named(self.one, told.directory) or status or damaged:
            of_directory += [self.known.snapshots]
            of_directory += [[*some[:-1], replace(some[-1], administrators=None)] for some in whole]
        if named(self.one, told.usage) or status.startswith("stale") or damaged:
            of_usage += [units[:-1], [*units[:-1], *landed_of(units[-1])]]
            insights.append("unavailable")
        if damaged:
            of_directory += [some[1:] for some in whole]
            of_usage += [units[:n] + units[n + 1 :] for n in range(len(units) - 1)]
        return (Known(*one) for one in itertools.product(of_directory, of_usage, insights))


def named(one: str, told: Sequence[str]) -> list[str]:
    return [line for line in told if NAMES[one] in line or CONNECTIONS[one] in line.lower()]


def landed_of(unit: Unit) -> list[Unit]:
    """A unit that is incomplete, with those of its events that have landed."""
    landing = read_settings().landing
    files = landing.find_files(
        f"directory_insights_events/organization_id={unit.organization_id}/date={unit.interval_start:%Y-%m-%d}/[0-9]*.parquet"
    )
    if not files:
        return []
    ids = set(pq.read_table(files[0].url, columns=["event_id"])["event_id"].to_pylist())
    return [replace(unit, events=[event for event in unit.events if event["id"] in ids], is_whole=False)]


def read(one: str) -> tuple[dict[str, list[Json]], str]:
    """An organization's rows of every table, and what its status says unless that is well."""
    with contextlib.closing(duckdb.connect(str(read_settings().warehouse), read_only=True)) as connection:
        found = {}
        for name in TABLES:
            result = connection.execute(f"select * from {name} where organization_id = ?", [one])
            columns = [column[0] for column in result.description or []]
            found[name] = [dict(zip(columns, row, strict=True)) for row in result.fetchall()]
    [row] = found["organizations"]
    return found, "" if (row["sync_status"], row["sync_message"]) == (
        "ok",
        None,
    ) else f"{row['sync_status']}: {row['sync_message']}"


def compare(one: str, found: dict[str, list[Json]], known: Known, *, is_told: bool) -> str:
    """How the rows that were found differ from those that follow from what is known; empty where they do not."""
    wanted = expected(known.snapshots, known.units, [Insights(one, known.insights, None)], {one: CONNECTIONS[one]})
    for name in TABLES:
        # Units that failed have rows of their own; the view of events reads landing, whatever has been built.
        if is_told and name in ("usage_coverage", "events"):
            continue
        rows = [{column: row[column] for column in wanted[name][0]} if wanted[name] else row for row in found[name]]
        if different := differences(rows, wanted[name]):
            return f"{name}: {different}"
    return ""
