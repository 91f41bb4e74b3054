"""One interval of a million events read in one walk and in slices, at several latencies: speed and memory.

    python -m benchmarks.slices [--quick] [--latency MS …]

The sandbox has rendered its events beforehand and adds the latency to every answer, to all requests at the same time;
its process does not count. Unlike in `land_events` the package has all cores. Read the ratios.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from benchmarks.land_events import clean_environment, land, world
from benchmarks.measuring import Usage, machine, run_alone, table
from jumpcloud_sandbox.client import Sandbox

NOW = "2026-11-22T00:00:00Z"
ONE_WALK, SLICES = 1, 16  # requests at a time; the second is the default
LATENCIES = (0, 200, 2_000)
MODULE = "benchmarks.slices"


def compare(count: int, latencies: list[int], environment: dict[str, str]) -> str:
    """Each latency with one walk and with slices."""
    rows: list[list[str]] = []
    without: dict[int, Usage] = {}
    with Sandbox.start(world(count, is_rendered=True), now=NOW) as sandbox:
        for latency in latencies:
            sandbox.set_latency(latency)
            usages = {threads: _measure(sandbox.url, threads, environment) for threads in (ONE_WALK, SLICES)}
            without = without or usages
            for threads, one in usages.items():
                rows.append(
                    [
                        f"{latency:,} ms, {'one walk' if threads == ONE_WALK else f'{threads} requests at a time'}",
                        f"{usages[ONE_WALK].wall_seconds / one.wall_seconds:.1f}",
                        f"{one.wall_seconds / without[threads].wall_seconds:.2f}",
                        f"{one.wall_seconds:.1f}",
                        f"{one.events_per_second:,.0f}",
                        f"{one.cpu_seconds:.1f}",
                        f"{one.peak_mb:.0f}",
                    ]
                )
                print(rows[-1], file=sys.stderr, flush=True)
    header = [f"{count:,} events in one interval", "times one walk", f"times {latencies[0]} ms", "seconds"]
    return table([*header, "events/s", "CPU s", "peak MB"], rows)


def _measure(url: str, threads: int, environment: dict[str, str]) -> Usage:
    environment = environment | {"AIRFLOW__JUMPCLOUD_ELT__USAGE_SLICE_THREADS": str(threads)}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return run_alone("land", {"url": url, "folder": folder}, environment, module=MODULE)


def main() -> int:
    """Run all and print one table."""
    parser = argparse.ArgumentParser(prog=f"python -m {MODULE}", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="100,000 events, without the longest latency")
    parser.add_argument("--latency", type=int, nargs="+", help=f"in milliseconds (default: {LATENCIES})")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    parser.add_argument("--arguments", type=json.loads, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.contestant:
        land(options.arguments["url"], Path(options.arguments["folder"]), on_one_core=False)
        return 0
    latencies = options.latency or list(LATENCIES[:2] if options.quick else LATENCIES)
    with tempfile.TemporaryDirectory(prefix="bench-airflow-") as home:
        print(f"{machine('msgspec', 'pyarrow', 'apache-airflow')}; one run each\n", flush=True)
        print(compare(100_000 if options.quick else 1_000_000, latencies, clean_environment(home, is_alone=False)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
