"""`make demo`: the three Dags, through Airflow, against the sandbox; then what they found out.

Exits with 0 only if every run succeeded and the warehouse was published by this very demo.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.report import report

CONNECTION_ID = "jumpcloud_sandbox"
API_KEY = "sandbox-key"
DAYS_OF_USAGE = 60


def sandbox_environment(url: str) -> dict[str, str]:
    """This process's environment with the sandbox as the one connection."""
    connection = {"conn_type": "jumpcloud", "host": url, "password": API_KEY}
    return os.environ | {
        # `airflow standalone` starts `airflow` by name.
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")]),
        f"AIRFLOW_CONN_{CONNECTION_ID.upper()}": json.dumps(connection),
        "AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS": CONNECTION_ID,
        # The history is the range that is asked for: no run loads more.
        "AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS": "0",
    }


def runs_of_demo() -> list[tuple[str, dict[str, str]]]:
    """Which Dags run, in this order, and with which params."""
    today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    usage = {"start": (today - timedelta(days=DAYS_OF_USAGE)).isoformat(), "end": today.isoformat()}
    return [("jumpcloud_directory", {}), ("jumpcloud_usage", usage), ("jumpcloud_warehouse", {})]


def main() -> int:
    began = time.time()
    data_root = Path(os.environ["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"])
    warehouse = data_root / "warehouse" / "jumpcloud.duckdb"
    print(f"Loading {DAYS_OF_USAGE} days of history")
    with Sandbox.start("demo") as sandbox:
        environment = sandbox_environment(sandbox.url)
        for dag_id, conf in runs_of_demo():
            if not _run(dag_id, conf, environment, data_root):
                return 1
    if not warehouse.exists() or warehouse.stat().st_mtime < began:
        print(f"No warehouse was published at {warehouse}.", file=sys.stderr)
        return 1
    print(f"\n{report(warehouse)}")
    return 0


def _run(dag_id: str, conf: dict[str, str], environment: dict[str, str], data_root: Path) -> bool:
    log = data_root / "logs" / f"{dag_id}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    print(f"{dag_id:<22}", end="", flush=True)
    began = time.monotonic()
    command = [str(Path(sys.executable).with_name("airflow")), "dags", "test", dag_id]
    command += ["--conf", json.dumps(conf)] if conf else []
    with log.open("wb") as output:
        ended = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False)  # noqa: S603
    text = log.read_text(encoding="utf-8", errors="replace")
    succeeded = ended.returncode == 0 and f"DagRun Finished: dag_id={dag_id}" in text and "state=success" in text
    print(f"{'succeeded' if succeeded else 'FAILED'} in {time.monotonic() - began:.0f} s")
    if not succeeded:
        print(f"\n{text[-6000:]}\nThe whole log: {log}", file=sys.stderr)
    return succeeded


if __name__ == "__main__":
    sys.exit(main())
