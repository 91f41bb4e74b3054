"""This package beside dlt: the same events of the same server to Parquet, at 0 and 200 ms.

    python -m benchmarks.peer_dlt [--quick] [--events N] [--peer-events N]

dlt runs in an environment of its own, which is made the first time (benchmarks/.venv-dlt). Both have all cores, both
run in a process of their own, imports done; the sandbox has rendered its events beforehand and does not count.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path

from benchmarks.land_events import API_KEY, DAY, NOW, ORGANIZATION_ID, clean_environment, world
from benchmarks.measuring import Usage, machine, run_alone, table
from jumpcloud_sandbox.client import Sandbox

REQUIREMENT = "dlt[parquet]==1.31.0"
ENVIRONMENT = Path(__file__).parent / ".venv-dlt"
LATENCIES = (0, 200)


def dlt_python() -> Path:
    """The interpreter that has dlt; makes its environment where there is none."""
    python = ENVIRONMENT / "bin" / "python"
    installed = ENVIRONMENT / ".installed"
    if not installed.exists() or installed.read_text() != REQUIREMENT:
        print(f"Setting up {ENVIRONMENT.name} with {REQUIREMENT}: once", file=sys.stderr, flush=True)
        subprocess.run([sys.executable, "-m", "venv", "--clear", ENVIRONMENT], check=True)
        pip = [str(python), "-m", "pip", "install", "--quiet", "--quiet", "--disable-pip-version-check"]
        # The same pyarrow for both.
        subprocess.run([*pip, REQUIREMENT, f"pyarrow=={version('pyarrow')}"], check=True)
        installed.write_text(REQUIREMENT)
    return python


def measure_package(url: str, environment: dict[str, str]) -> Usage:
    """`land_unit`, with the defaults."""
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        return run_alone("land", {"url": url, "folder": folder}, environment, module="benchmarks.slices")


def measure_dlt(url: str, python: Path) -> Usage:
    """The pipeline of `benchmarks.dlt_extract`."""
    start, end = (f"{moment.isoformat()}Z" for moment in DAY)
    body = {"service": ["directory", "sso"], "start_time": start, "end_time": end, "sort": "ASC", "limit": 10_000}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        given = {"url": url, "key": API_KEY, "organization_id": ORGANIZATION_ID, "body": body, "folder": folder}
        ended = subprocess.run(
            [python, "-m", "benchmarks.dlt_extract", json.dumps(given)],
            env={"PATH": os.environ["PATH"], "DLT_DATA_DIR": folder, "RUNTIME__DLTHUB_TELEMETRY": "false"},
            cwd=Path(__file__).parents[1],
            stdout=subprocess.PIPE,
            check=True,
        )
    return Usage(**json.loads(ended.stdout.splitlines()[-1]))


def compare(events: int, peer_events: int, environment: dict[str, str]) -> str:
    """Both at each latency; speed by the event, for dlt's numbers of events may be smaller."""
    python = dlt_python()
    usages: dict[tuple[int, str], Usage] = {}
    for name, count in (("dlt", peer_events), ("this package", events)):
        with Sandbox.start(world(count, is_rendered=True), now=NOW) as sandbox:
            for latency in LATENCIES:
                sandbox.set_latency(latency)
                one = measure_dlt(sandbox.url, python) if name == "dlt" else measure_package(sandbox.url, environment)
                assert one.events == count
                usages[latency, name] = one
    rows = [
        [
            f"{latency} ms, {name}",
            f"{one.events_per_second / usages[latency, 'dlt'].events_per_second:.1f}",
            f"{one.events_per_cpu_second / usages[latency, 'dlt'].events_per_cpu_second:.1f}",
            f"{one.events:,}",
            f"{one.events_per_second:,.0f}",
            f"{one.wall_seconds:.1f}",
            f"{one.cpu_seconds:.1f}",
            f"{one.peak_mb:.0f}",
        ]
        for (latency, name), one in sorted(usages.items())
    ]
    header = ["to Parquet", "times dlt", "by CPU time", "events", "events/s", "seconds", "CPU s", "peak MB"]
    return table(header, rows)


def main() -> int:
    """Run all and print one table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer_dlt", description=__doc__.split("\n")[0])
    parser.add_argument("--quick", action="store_true", help="100,000 events, of dlt 20,000")
    parser.add_argument("--events", type=int, help="for this package (1,000,000)")
    parser.add_argument("--peer-events", type=int, help="for dlt (200,000: a million take minutes)")
    options = parser.parse_args()
    events = options.events or (100_000 if options.quick else 1_000_000)
    peer_events = options.peer_events or (20_000 if options.quick else 200_000)
    with tempfile.TemporaryDirectory(prefix="bench-airflow-") as home:
        print(f"{machine('msgspec', 'pyarrow', 'apache-airflow')}, {REQUIREMENT}; one run each\n", flush=True)
        print(compare(events, peer_events, clean_environment(home, is_alone=False)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
