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
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
sys.path += [str(ROOT / "include" / "sandbox"), str(ROOT / "tests")]
_HOME = tempfile.TemporaryDirectory(prefix="jumpcloud-elt-bench-", ignore_cleanup_errors=True)
os.environ.setdefault("AIRFLOW_HOME", _HOME.name)
os.environ.setdefault("AIRFLOW__LOGGING__LOGGING_LEVEL", "CRITICAL")


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
)
from benchmarks.fault_stories import (  # noqa: E402
    CONNECTIONS,
    END,
    EQUAL,
    FAULTY,
    HIT,
    LOUD,
    NAMES,
    OTHER,
    OVER,
    SILENT,
    START,
    Json,
    Story,
    Told,
    change,
    changing_world,
    of,
    ways_to_see,
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
from support.evolving import ORGANIZATIONS  # noqa: E402
from support.pipeline import run_directory, run_usage, run_warehouse  # noqa: E402

WORLDS = 6
ATTEMPTS, TRIES = 3, 2
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
            warehouse.report_unpublished(name)
        return told


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
