"""All benchmarks of `make bench`, one after another.

    python -m benchmarks [--quick]

`backfill`, `directory_requests`, `directory_scale`, `faults` and `history_build` are run by name.
"""

from __future__ import annotations

import subprocess
import sys

# By name: what makes each one quick.
BENCHMARKS = {
    "land_events": ["--quick"],
    "slices": ["--quick"],
    "peer_dlt": ["--quick"],
    "readers": ["--publishes", "8", "--kills", "4", "--users", "100"],
    "rollup_build": ["--size", "0.001"],
    "dashboard": ["--users", "1000", "--applications", "50", "--days", "30"],
}


def main() -> int:
    """Run each in a process of its own; the number of those that failed."""
    failed = 0
    for name, quickly in BENCHMARKS.items():
        print(f"\n## {name}\n", flush=True)
        options = quickly if "--quick" in sys.argv[1:] else []
        failed += subprocess.run([sys.executable, "-m", f"benchmarks.{name}", *options], check=False).returncode != 0
    return failed


if __name__ == "__main__":
    sys.exit(main())
