"""All benchmarks of `make bench`, one after another.

python -m benchmarks [--quick]
"""

from __future__ import annotations

import subprocess
import sys

# What needs no options and ends within minutes; the others are run by name.
BENCHMARKS = ("land_events", "slices", "peer_dlt")


def main() -> int:
    """Run each in a process of its own; the number of those that failed."""
    failed = 0
    for name in BENCHMARKS:
        print(f"\n## {name}\n", flush=True)
        command = [sys.executable, "-m", f"benchmarks.{name}", *sys.argv[1:]]
        failed += subprocess.run(command, check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
