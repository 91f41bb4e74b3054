"""Run one contestant in a process of its own, on one core, and say what it used.

The process that starts the others stays small: on Linux a child begins with its parent's peak as its own.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

MB = 1e6
_KILOBYTES = 1 if sys.platform == "darwin" else 1024  # the unit in which the system states memory


@dataclass(frozen=True)
class Usage:
    """What a contestant used, without its imports; `start_mb` is its memory after them, `peak_mb` holds both, and
    the largest child."""

    events: int
    bytes_written: int
    wall_seconds: float
    cpu_seconds: float
    start_mb: float
    peak_mb: float

    @property
    def events_per_second(self) -> float:
        return self.events / self.wall_seconds

    @property
    def events_per_cpu_second(self) -> float:
        return self.events / self.cpu_seconds


def run_child(
    contestant: str,
    arguments: Mapping[str, Any],
    environment: Mapping[str, str],
    module: str = "benchmarks.land_events",
) -> bytes:
    """Run `contestant` of a benchmark in a fresh interpreter. Raises CalledProcessError."""
    command = [sys.executable, "-m", module, "--contestant", contestant]
    command += ["--arguments", json.dumps(arguments)]
    return subprocess.run(command, env=dict(environment), stdout=subprocess.PIPE, check=True).stdout


def run_alone(
    contestant: str,
    arguments: Mapping[str, Any],
    environment: Mapping[str, str],
    module: str = "benchmarks.land_events",
) -> Usage:
    """Run `contestant` as `run_child` does, and return what it used."""
    return Usage(**json.loads(run_child(contestant, arguments, environment, module).splitlines()[-1]))


def report(work: Callable[[], tuple[int, int]], *, on_one_core: bool = True) -> None:
    """In the contestant's process, imports done: do the work, print what it used as JSON.

    `work` returns the number of events and of bytes written.
    """
    if on_one_core:
        use_one_core()
    others = resource.getrusage(resource.RUSAGE_CHILDREN)
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    events, size = work()
    wall, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = [used.ru_utime + used.ru_stime for used in (before, after, others, children)]
    # Imports may have had children, too; those are no part of the work.
    largest_child = children.ru_maxrss if cpu[3] > cpu[2] else 0
    usage = Usage(
        events=events,
        bytes_written=size,
        wall_seconds=wall,
        cpu_seconds=cpu[1] - cpu[0] + cpu[3] - cpu[2],
        start_mb=before.ru_maxrss * _KILOBYTES / MB,
        peak_mb=(after.ru_maxrss + largest_child) * _KILOBYTES / MB,
    )
    print(json.dumps(asdict(usage)), flush=True)


def use_one_core() -> None:
    """Keep this process on one core, where the system can do that (not on macOS)."""
    if sys.platform == "linux":
        os.sched_setaffinity(0, {max(os.sched_getaffinity(0))})


def median(usages: Sequence[Usage]) -> Usage:
    """Each number's own median."""
    fields = asdict(usages[0])
    return Usage(**{name: statistics.median(getattr(usage, name) for usage in usages) for name in fields})


def spread(usages: Sequence[Usage]) -> str:
    """How far apart the runs were, as a share of their median."""
    speeds = [usage.events_per_cpu_second for usage in usages]
    return f"±{(max(speeds) - min(speeds)) / 2 / statistics.median(speeds):.0%}"


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Markdown with aligned columns: the first to the left, the others to the right."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]

    def line(cells: Sequence[str]) -> str:
        aligned = [
            cell.rjust(width) if column else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(cells, widths, strict=True))
        ]
        return f"| {' | '.join(aligned)} |"

    rule = "|".join(("-" * (width + 1) + ":") if column else "-" * (width + 2) for column, width in enumerate(widths))
    return "\n".join([line(header), f"|{rule}|", *map(line, rows)])


def machine(*packages: str) -> str:
    """Cores, system, Python, and the versions of `packages`."""
    from importlib.metadata import version

    versions = ", ".join(f"{package} {version(package)}" for package in packages)
    return (
        f"{os.cpu_count()} cores ({_processor()}), {platform.system()} {platform.machine()}, "
        f"Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or "processor unknown"
