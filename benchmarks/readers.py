"""Readers while warehouses are published and builds are killed: does any read fail, lag behind, or see half a build?

    python -m benchmarks.readers [--publishes 200] [--kills 20] [--users 500]

Three kinds of readers read in a loop all the while: an analyst who connects with DuckDB, in a process of its own; one
process with overlapping requests, which never has the warehouse closed, as a dashboard's server; and in that process
one request that stays open from the first publish to the last.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import duckdb

from jumpcloud_sandbox.client import Sandbox

ORGANIZATION = "a" * 24
SERVER_THREADS = 3
PAUSE_SECONDS = 0.05
# One row, of three tables: all of one build, or the read has seen two.
READ = """
select
    (select run_id[9:]::int from warehouse_info) as number,
    (select count(*) from sync_log where dag_id = 'counted') as counted,
    (select count(*) from users) as users
"""


@dataclass
class Reads:
    """What one kind of reader has seen. `behind` is how long the oldest build was read after it had been replaced."""

    seconds: list[float] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    builds: set[int] = field(default_factory=set)
    behind: float = 0.0

    def row(self, name: str) -> str:
        median, worst = statistics.median(self.seconds) * 1000, max(self.seconds) * 1000
        return (
            f"{name:<34}{len(self.seconds):>8,}{len(self.problems):>8}{len(self.builds):>8}{median:>11.1f}{worst:>10.1f}"
            f"{self.behind * 1000:>11.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--publishes", type=int, default=200)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--users", type=int, default=500)
    parser.add_argument("--analyst", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.analyst:
        _analyst(Path(given.analyst), given.users)
        return
    users = [{"_id": f"1{n:023x}", "username": f"u{n}", "email": f"u{n}@x.io"} for n in range(given.users)]
    world = {
        "organizations": [{"id": ORGANIZATION, "users": users, "insights": "not_enabled"}],
        "keys": [{"key": "readers-key", "organizations": [ORGANIZATION]}],
    }
    with tempfile.TemporaryDirectory() as folder, Sandbox.start(world) as sandbox:
        os.environ["AIRFLOW_HOME"] = os.environ["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"] = folder
        connection = {"conn_type": "jumpcloud", "host": sandbox.url, "password": "readers-key"}
        os.environ["AIRFLOW_CONN_JUMPCLOUD_DEFAULT"] = json.dumps(connection)
        os.environ["AIRFLOW__LOGGING__LOGGING_LEVEL"] = "WARNING"
        _land()
        _measure(given.publishes, given.kills, given.users, Path(folder, "warehouse", "jumpcloud.duckdb"))


def _land() -> None:
    # Imported once Airflow has a home of its own.
    from jumpcloud_elt.tasks import common, directory

    run_of = {"dag_id": "jumpcloud_directory", "run_id": "directory"}
    listed = common.list_organizations([])
    for one in listed:
        directory.extract_directory(one, run_of)
    common.record_run(listed, run_of, common.DIRECTORY, is_restricted=False)


def _measure(publishes: int, kills: int, users: int, warehouse: Path) -> None:
    from jumpcloud_elt.reading import open_warehouse

    command = [sys.executable, "-m", "benchmarks.publisher", str(publishes), str(kills), "1"]
    began = time.monotonic()
    publisher = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert publisher.stdout
    first = publisher.stdout.readline().split()
    assert first == ["published", "1"], first
    analyst = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.readers", "--analyst", str(warehouse), "--users", str(users)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    ended = threading.Event()
    # When each build was published, as this process was told.
    published = {1: time.monotonic()}
    server = [Reads() for _ in range(SERVER_THREADS)]

    def serve(reads: Reads) -> None:
        with contextlib.ExitStack() as open_requests:
            while not ended.is_set():
                # The next request is there before the last one has gone.
                previous = open_requests.pop_all()
                _read(reads, lambda: open_requests.enter_context(open_warehouse()), users, published)
                previous.close()

    with open_warehouse() as held:
        threads = [threading.Thread(target=serve, args=[reads]) for reads in server]
        for thread in threads:
            thread.start()
        killed = 0
        for line in publisher.stdout:
            word, *number = line.split()
            killed += word == "killed"
            if word == "published":
                published[int(number[0])] = time.monotonic()
        seconds = time.monotonic() - began
        ended.set()
        for thread in threads:
            thread.join()
        still = held.execute(READ).fetchall()[0]
    assert publisher.wait() == 0
    told = json.loads(analyst.communicate(input="")[0])
    whole = Reads(
        seconds=[one for reads in server for one in reads.seconds],
        problems=[one for reads in server for one in reads.problems],
        builds=set().union(*(reads.builds for reads in server)),
        behind=max(reads.behind for reads in server),
    )
    print(f"{len(published)} published, {killed} killed; {seconds:.0f} s")
    print(f"{'':<34}{'reads':>8}{'failed':>8}{'builds':>8}{'median ms':>11}{'worst ms':>10}{'behind ms':>11}")
    print(Reads(told["seconds"], told["problems"], set(told["builds"])).row("a process that connects each time"))
    print(whole.row("a server's overlapping requests"))
    print(f"one request held all the while: build {still[0]} to the end, {still[1]} manifests, {still[2]:,} users")
    for problem in (told["problems"] + whole.problems)[:10]:
        print(problem)


def _analyst(warehouse: Path, users: int) -> None:
    """Connect, read, close, until standard input ends."""
    reads, ended = Reads(), threading.Event()

    def await_end() -> None:
        sys.stdin.read()
        ended.set()

    threading.Thread(target=await_end).start()
    while not ended.is_set():
        with contextlib.ExitStack() as stack:
            _read(
                reads,
                lambda: stack.enter_context(contextlib.closing(duckdb.connect(str(warehouse), read_only=True))),
                users,
                {},
            )
    print(json.dumps({"seconds": reads.seconds, "problems": reads.problems, "builds": sorted(reads.builds)}))


def _read(
    reads: Reads, connect: Callable[[], duckdb.DuckDBPyConnection], users: int, published: dict[int, float]
) -> None:
    began = time.monotonic()
    try:
        number, counted, found = connect().execute(READ).fetchall()[0]
        if (counted, found) != (number, users):
            reads.problems.append(f"build {number}: {counted} manifests, {found} users")
        reads.builds.add(number)
        if replaced := [at for later, at in list(published.items()) if later > number]:
            reads.behind = max(reads.behind, began - min(replaced))
    except Exception as error:
        reads.problems.append(f"{type(error).__name__}: {error}")
    reads.seconds.append(time.monotonic() - began)
    # Builds need a processor too.
    time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
