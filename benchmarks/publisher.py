"""Publishes a warehouse over and over, and kills some builds on the way: what readers are held against.

    python -m benchmarks.publisher <publishes> <kills> <seed>

Builds what has landed under the configured data root, each time with one manifest more: the build `publish-<n>` finds
n of them. Prints `published <n>`, `killed <n>`, and `ended`. Every build is a process of its own, forked from one that
has imported everything and has never opened a database.
"""

from __future__ import annotations

import os
import random
import signal
import statistics
import sys
import time
from collections.abc import Callable

import pandas  # noqa: F401 - DuckDB imports it to read a table by name; not anew in every build

from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.landing.manifests import RunManifest, failure
from jumpcloud_elt.tasks import warehouse

ORGANIZATION = Organization(
    connection_id="jumpcloud_default",
    organization_id="c" * 24,
    organization_name="Readers",
    payload="{}",
    error=None,
)
DAG_ID = "counted"


def main(publishes: int, kills: int, seed: int) -> None:
    randomly = random.Random(seed)
    is_killed = [False] * (publishes - 1) + [True] * kills
    randomly.shuffle(is_killed)
    # The first is let through: it says how long a build takes, and there is something to read.
    still_to_do, number, seconds = [False, *is_killed], 0, [0.0]
    while still_to_do:
        kill, number = still_to_do.pop(0), number + 1
        _wait(_fork(lambda number=number: _land(number)))  # type: ignore[misc]
        began = time.monotonic()
        build = _fork(lambda number=number: _publish(number))  # type: ignore[misc]
        if kill:
            time.sleep(randomly.uniform(0, statistics.median(seconds[-5:])))
            os.kill(build, signal.SIGKILL)
        status = _wait(build)
        if status == 0:
            seconds.append(time.monotonic() - began)
            if kill:
                # Done before it could be killed: another one is.
                still_to_do.append(True)
        elif status != -signal.SIGKILL:
            sys.exit(f"Build {number} failed.")
        print("published" if status == 0 else "killed", number, flush=True)
    print("ended", flush=True)


def _land(number: int) -> None:
    run = RunManifest(read_settings().landing, DAG_ID, f"run-{number}")
    run.add(ORGANIZATION, [failure(ORGANIZATION, "directory", f"number {number}")])
    run.write_manifest([ORGANIZATION], "directory", is_restricted=True)


def _publish(number: int) -> None:
    warehouse.publish_warehouse(warehouse.check_warehouse(warehouse.build_warehouse(f"publish-{number}")))


def _fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        work()
        status = 0
    finally:
        sys.stderr.flush()
        os._exit(status)


def _wait(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
