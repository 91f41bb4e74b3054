"""Faults on the whole way from JumpCloud to the published warehouse: is any of them silent?

    python -m benchmarks.faults [--runs 200] [--seed 1] [--only KIND]

Each run copies what has landed of a small world of two organizations, lets the world change, and syncs and builds it
with one fault in the way of one of them; then once more without. What is published must be *equal* to an independent
computation (`tests/support/expectations.py`); or the fault is *loud*: a run fails or tells of it by the name of the
organization, and what is published is the organization as it last was good. Anything else is *silent*. The other
organization is equal all the while, and both are when the fault is over. Prints a line for each kind of fault
(`fault_kinds`) and what was silent; ends with 1 where anything was.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import itertools
import logging
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "include" / "sandbox"), str(ROOT / "tests")]
_HOME = tempfile.TemporaryDirectory(prefix="jumpcloud-elt-bench-", ignore_cleanup_errors=True)
os.environ.setdefault("AIRFLOW_HOME", _HOME.name)
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "CRITICAL")

import duckdb  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from benchmarks.fault_kinds import (  # noqa: E402
    AGAIN,
    ALWAYS,
    BEFORE_BUILD,
    BEFORE_RUN,
    ROUTES,
    WAYS,
    Fault,
    damage,
    faults,
    in_small,
    snapshots_at,
)
from benchmarks.measuring import machine, table  # noqa: E402
from jumpcloud_elt.alerts import problems  # noqa: E402
from jumpcloud_elt.core.airflow_compat import AirflowException, AirflowFailException, AirflowSkipException  # noqa: E402
from jumpcloud_elt.core.settings import read_settings  # noqa: E402
from jumpcloud_elt.core.times import utc_now  # noqa: E402
from jumpcloud_elt.errors import JumpCloudError  # noqa: E402
from jumpcloud_elt.landing.manifests import RunManifest  # noqa: E402
from jumpcloud_elt.tasks import directory, usage, warehouse  # noqa: E402
from jumpcloud_sandbox.client import Sandbox  # noqa: E402
from support.connections import connection_json  # noqa: E402
from support.evolving import ORGANIZATIONS, EvolvingWorld  # noqa: E402
from support.expectations import TABLES, Insights, Snapshot, Unit, expected  # noqa: E402
from support.pipeline import differences, run_directory, run_usage, run_warehouse, snapshot_of  # noqa: E402
from support.worlds import DAY, TODAY, units_of_organization  # noqa: E402

Json = dict[str, Any]
HIT, OTHER = ORGANIZATIONS
NAMES = {HIT: "Alpha", OTHER: "Bravo"}
CONNECTIONS = {HIT: "jumpcloud_default", OTHER: "jumpcloud_other"}
WORLDS = 6
# Two days before the fault, the one that it befalls, and the one on which it is over.
START, FAULTY, OVER, END = TODAY - 4 * DAY, TODAY - 2 * DAY, TODAY - DAY, TODAY
ATTEMPTS, TRIES = 3, 2
EQUAL, LOUD, SILENT = "equal", "loud", "silent"
TASKS = (
    (directory, "extract_directory"),
    (usage, "extract_events"),
    (usage, "catch_up_events"),
    (warehouse, "build_warehouse"),
    (warehouse, "check_warehouse"),
    (warehouse, "publish_warehouse"),
)
EXPECTED_ERRORS = (AirflowException, JumpCloudError, OSError)


@dataclass(frozen=True)
class Verdict:
    """What came of one run."""

    kind: str
    place: str
    how: str
    result: str
    why: str
    seconds: float


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


class Rig:
    """One sandbox, and one data root that every run begins with as it finds it among those kept."""

    def __init__(self, folder: Path, sandbox: Sandbox, seed: int) -> None:
        self.folder, self.sandbox, self.seed = folder, sandbox, seed
        self.data = folder / "data"
        self.worlds: dict[int, list[Json]] = {}
        self.requests: dict[int, list[str]] = {}

    def begin(self, number: int) -> list[Json]:
        """Put one of the worlds and what has landed of it in place; return it as it is, will be, and will be then."""
        kept = self.folder / f"kept-{number}"
        shutil.rmtree(self.data, ignore_errors=True)
        if number not in self.worlds:
            self.worlds[number] = changing_world(1000 * self.seed + number)
            self.sandbox.set_world(self.worlds[number][0])
            self.sandbox.clear_requests()
            told = self.sync("first", START, FAULTY)
            assert told == Told(), told
            asked = self.sandbox.requests()
            self.requests[number] = [one["path"] for one in asked if one["organization_id"] == HIT]
            copy(self.data, kept)
        else:
            copy(kept, self.data)
        return self.worlds[number]

    def sync(self, name: str, start: datetime, end: datetime, reach: Callable[[str], object] = str) -> Told:
        """Both syncing Dags and the warehouse's, once; `reach` is called with the points that they reach."""
        told = Told()
        reach(BEFORE_RUN)
        with telling(told.directory):
            run_directory(name)
            outcomes = manifest("jumpcloud_directory", name)
            told.directory += lines(problems.of_directory([], outcomes, utc_now(), is_restricted=True))
        with telling(told.usage):
            run_usage(name, start, end, "scheduled" if end > FAULTY else "manual")
            told.usage += lines(problems.of_usage([], manifest("jumpcloud_usage", name)))
        reach(BEFORE_BUILD)
        with telling(told.build):
            run_warehouse(name)
        return told


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


def copy(source: Path, target: Path) -> None:
    """With times and hard links."""
    subprocess.run(["cp", "-a", source, target], check=True)


@contextlib.contextmanager
def telling(told: list[str]) -> Iterator[None]:
    """What a run raises is told by it."""
    try:
        yield
    except EXPECTED_ERRORS as error:
        told.append(f"{type(error).__name__}: {error}")


def manifest(dag_id: str, run_id: str) -> list[Any]:
    return RunManifest(read_settings().landing, dag_id, run_id).read_manifest()


def lines(view: problems.View) -> list[str]:
    return [str(one) for one in (*view.problems.values(), *view.without_insights.values())]


@contextlib.contextmanager
def befalling(rig: Rig, fault: Fault, place: str, lasting: str, number: int, draw: random.Random) -> Iterator[Any]:
    """Let a fault befall what is synced meanwhile; gives what is to be called at each point of the way."""

    def reach(point: str) -> None:
        if fault.files and point == place:
            damage(draw.choice(sorted(rig.data.glob(fault.files.format(id=HIT)))), draw.choice(WAYS))

    rules = []
    if fault.do is not None:
        asked = sum(re.search(ROUTES[place], path) is not None for path in rig.requests[number])
        first = 1 if fault.is_whole else draw.randint(1, max(1, asked // 2))
        times = {AGAIN: ATTEMPTS, ALWAYS: 2_000}.get(lasting, 1)
        do = fault.do[place]
        if "mutate" in do:
            do = {"mutate": change(rig.worlds[number][1], fault.kind)}
        if place in ("events", "any request"):
            do = {"clamp_limit": 7} | do
        nth = [*range(first, first + times)]
        rules = [{"match": {"organization_id": HIT, "path_regex": ROUTES[place], "nth": nth}, "do": do}]
    rig.sandbox.set_faults(*rules, CLAMPED)
    with contextlib.ExitStack() as stack:
        for module, name in TASKS:
            task = as_airflow(getattr(module, name), fault if name == place else None, lasting, draw)
            stack.enter_context(mock.patch.object(module, name, task))
        yield reach
    if rules and not rig.sandbox.faults()[0]["fired"]:
        raise AssertionError("the fault never befell a request")
    rig.sandbox.set_faults(CLAMPED)


# Pages of events, as `in_small` makes those of lists.
CLAMPED = {"match": {"path_regex": ROUTES["events"]}, "do": {"clamp_limit": 7}}


def as_airflow(task: Callable[..., Any], fault: Fault | None, lasting: str, draw: random.Random) -> Callable[..., Any]:
    """A task that is tried again as Airflow does, with a fault `during` it if it is about the organization."""

    def run(*arguments: Any, **options: Any) -> Any:
        is_hit = not isinstance(arguments[0], dict) or arguments[0]["organization_id"] == HIT
        for attempt in range(TRIES):
            try:
                if fault and fault.during and is_hit and (lasting == ALWAYS or not attempt):
                    return fault.during(draw, task, arguments)
                return task(*arguments, **options)
            except (AirflowFailException, AirflowSkipException):
                raise
            except (AirflowException, OSError) as error:
                if attempt == TRIES - 1:
                    raise AirflowException(f"{type(error).__name__}: {error}") from error
        return None

    return run


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


def run_one(rig: Rig, fault: Fault, place: str, lasting: str, number: int, draw: random.Random) -> tuple[str, str]:
    """One fault: equal, loud or silent, and why."""
    first, second, third = rig.begin(number)
    stories = {one: Story(one, of(first, one)) for one in ORGANIZATIONS}
    rig.sandbox.set_world(second)
    with befalling(rig, fault, place, lasting, number, draw) as reach:
        told = rig.sync("faulty", FAULTY, OVER, reach)
    # A build that was stopped has published nothing; one that finds a damaged file has.
    is_published = not (told.build and fault.during)
    rows = {HIT: ways_to_see(second, rig.sandbox.world()), OTHER: [of(second, OTHER)]}
    result = EQUAL
    for one, story in stories.items():
        found, why = story.judge(told, rows[one], OVER, fault if one == HIT else None, is_published=is_published)
        if found == SILENT:
            return SILENT, f"{NAMES[one]}: {why}"
        result = LOUD if found == LOUD else result
    rig.sandbox.set_world(third)
    told = rig.sync("after", OVER, END)
    for one, story in stories.items():
        found, why = story.judge(told, [of(third, one)], END, None)
        if found != EQUAL:
            return SILENT, f"{NAMES[one]}, when it was over: {why}"
    return (result, "") if told == Told() else (SILENT, f"when it was over: {told}")


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


@contextlib.contextmanager
def open_rig(seed: int) -> Iterator[Rig]:
    """A rig, and the settings that it wants: waits of no length, and two connections."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Sandbox.start({}) as sandbox, in_small():
        options = {
            "CONNECTIONS": ",".join(CONNECTIONS.values()),
            "DATA_ROOT": f"{folder}/data",
            "REQUEST_ATTEMPTS": str(ATTEMPTS),
            "RETRY_WAIT_SECONDS": "0.001",
            "RETRY_WAIT_MAX_SECONDS": "0.05",
            "READ_TIMEOUT_SECONDS": "0.5",
            "USAGE_ARRIVAL_LAG_MINUTES": "0",
            "USAGE_INITIAL_DAYS": "0",
            # Nothing but what has gone altogether is held: the worlds change a great deal.
            "DRIFT_MINIMUM": "1000",
        }
        environment = {f"AIRFLOW__JUMPCLOUD_ELT__{name}": value for name, value in options.items()}
        environment |= {
            f"AIRFLOW_CONN_{name.upper()}": connection_json(sandbox.url, one) for one, name in CONNECTIONS.items()
        }
        with mock.patch.dict(os.environ, environment):
            sandbox.set_faults(CLAMPED)
            yield Rig(Path(folder), sandbox, seed)


def run_all(seed: int, kinds: Sequence[Fault], runs: int) -> Iterator[Verdict]:
    """Each kind in turn, at places and for lengths of time that the seed draws."""
    with open_rig(seed) as rig:
        for number in range(runs):
            draw = random.Random(f"{seed} {number}")
            fault, again = kinds[number % len(kinds)], number // len(kinds)
            place, lasting = draw.choice(fault.places), fault.lasting[again % len(fault.lasting)]
            began = time.monotonic()
            try:
                result, why = run_one(rig, fault, place, lasting, draw.randrange(WORLDS), draw)
            except Exception as error:  # whatever it is, it is none of those that are told
                logging.getLogger(__name__).debug("crash", exc_info=True)
                result, why = SILENT, f"crash: {type(error).__name__}: {error}"
            yield Verdict(fault.kind, place, lasting, result, why, time.monotonic() - began)


def in_table(verdicts: Sequence[Verdict]) -> str:
    """A row for each kind of fault."""
    by_kind: dict[str, list[Verdict]] = collections.defaultdict(list)
    for one in verdicts:
        by_kind[one.kind].append(one)
    rows = []
    for kind, several in [*by_kind.items(), ("all", list(verdicts))]:
        counts = collections.Counter(one.result for one in several)
        places = ", ".join(sorted({one.place for one in several})) if kind != "all" else ""
        seconds = sum(one.seconds for one in several)
        rows.append(
            [kind, places, str(len(several)), *(str(counts[one]) for one in (EQUAL, LOUD, SILENT)), f"{seconds:.1f}"]
        )
    return table(["fault", "where", "runs", EQUAL, LOUD, SILENT, "seconds"], rows)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="kinds whose names contain this")
    given = parser.parse_args()
    verdicts = []
    kinds = [fault for fault in faults() if given.only in fault.kind]
    if not kinds:
        parser.error(f"--only: {given.only!r} given; allowed: part of one of {', '.join(one.kind for one in faults())}")
    for one in run_all(given.seed, kinds, given.runs):
        verdicts.append(one)
        if one.result == SILENT:
            print(f"{len(verdicts)}. {one.kind}, {one.place}, {one.how}: {one.why}\n", flush=True)
    print(in_table(verdicts))
    print(f"\n{machine('duckdb', 'pyarrow')}")
    return int(any(one.result == SILENT for one in verdicts))


if __name__ == "__main__":
    sys.exit(main())
