"""Ninety days of usage backfilled under a real scheduler: twice, and once more backwards with everything killed.

    python -m benchmarks.backfill [days] [runs at once]

Prints how long each backfill took, how many warehouse runs shared its landings, and how many rows of the marts
differ from those of the first (all columns but those that say when something was read). Needs some ten minutes.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psutil

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests"), str(ROOT / "include" / "sandbox")]

from jumpcloud_sandbox.client import Sandbox  # noqa: E402

DIRECTORY, USAGE, WAREHOUSE = "jumpcloud_directory", "jumpcloud_usage", "jumpcloud_warehouse"
READ_AT = {
    "organizations": "directory_synced_at",
    "users": "first_seen_at, last_seen_at",
    "applications": "first_seen_at, last_seen_at",
    "usage_coverage": "landed_at",
    "events": "_extracted_at",
}
MARTS = ("organizations", "users", "applications", "application_users", "usage_daily", "usage_coverage", "events")
SECONDS = 7_200

Marts = dict[str, set[str]]


def read_marts(warehouse: Path) -> Marts:
    """Every row of the marts as text, without the time at which it was read."""
    from support.pipeline import query

    left_out = {mart: f" exclude ({column})" for mart, column in READ_AT.items()}
    return {mart: set(map(str, query(warehouse, f"select *{left_out.get(mart, '')} from {mart}"))) for mart in MARTS}


def differing(before: Marts, after: Marts) -> dict[str, int]:
    """How many rows of each mart one has and the other has not."""
    found = {mart: len(before[mart] ^ after[mart]) for mart in MARTS}
    return {mart: rows for mart, rows in found.items() if rows} or {"none": 0}


def kill_all(but: set[int]) -> int:
    """SIGKILL every process that this one has started, but for those `but`; returns how many."""
    victims = [one for one in psutil.Process().children(recursive=True) if one.pid not in but]
    for one in victims:
        one.kill()
    psutil.wait_procs(victims, timeout=30)
    return len(victims)


def main() -> None:
    days = int(sys.argv[1]) if len(sys.argv) > 1 else 90
    at_once = sys.argv[2] if len(sys.argv) > 2 else "4"
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Sandbox.start("demo") as sandbox:
        home = Path(folder)
        sandbox_processes = {one.pid for one in psutil.Process().children(recursive=True)}
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
            # What was killed is noticed sooner than after five minutes.
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "30",
            "AIRFLOW__SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        }
        # Imported once Airflow has a home of its own.
        from support.airflow_server import AIRFLOW, AirflowServer

        migrated = home / "migrated.db"
        environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{migrated}"}
        subprocess.run([AIRFLOW, "db", "migrate"], env=environment, capture_output=True, check=True)
        last = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None) - timedelta(days=2)
        first = last - timedelta(days=days - 1)

        def connect(server: Any) -> None:
            server.set_connection("jumpcloud_default", host=sandbox.url, password="sandbox-key")
            for dag_id in (DIRECTORY, WAREHOUSE, USAGE):
                server.unpause(dag_id)
            server.end_of(USAGE, server.first_run_id(USAGE), SECONDS)
            server.end_of(DIRECTORY, server.trigger(DIRECTORY), SECONDS)

        def finish(server: Any, run_ids: list[str]) -> dict[str, int]:
            states: dict[str, int] = {}
            for run_id in run_ids:
                state = server.end_of(USAGE, run_id, SECONDS).state
                states[state] = states.get(state, 0) + 1
            server.await_rest()
            return states

        def warehouse_runs(server: Any) -> int:
            return int(server.get(f"dags/{WAREHOUSE}/dagRuns", limit=1)["total_entries"])

        print(f"{days} daily intervals, {at_once} at once, 3 organizations", flush=True)
        with AirflowServer.start(home, migrated, home / "one") as server:
            connect(server)
            server.await_rest()
            marts: list[Marts] = []
            for name, options in (("first", []), ("again", ["--reprocess-behavior", "completed"])):
                runs, began = warehouse_runs(server), time.monotonic()
                states = finish(server, server.backfill(USAGE, first, last, "--max-active-runs", at_once, *options))
                seconds, runs = time.monotonic() - began, warehouse_runs(server) - runs
                marts.append(read_marts(home / "one" / "warehouse" / "jumpcloud.duckdb"))
                rows = {mart: len(found) for mart, found in marts[-1].items()}
                print(f"{name}: {states}, {seconds:.0f} s, {runs} warehouse runs, rows {rows}", flush=True)
            print(f"rows that differ: {differing(*marts)}", flush=True)

        with AirflowServer.start(home, migrated, home / "two") as server:
            connect(server)
            run_ids = server.backfill(USAGE, first, last, "--max-active-runs", at_once, "--run-backwards")
            server.end_of(USAGE, run_ids[-max(1, days // 3)], SECONDS)
            print(f"backwards: {kill_all(sandbox_processes)} processes killed in the middle", flush=True)
        with contextlib.closing(sqlite3.connect(home / "server.db")) as database:
            # What the killed processes have written last lies in a log beside it.
            database.execute("pragma wal_checkpoint(truncate)")
        shutil.copyfile(home / "server.db", home / "killed.db")
        with AirflowServer.start(home, home / "killed.db", home / "two") as server:
            states = finish(server, run_ids)
            marts.append(read_marts(home / "two" / "warehouse" / "jumpcloud.duckdb"))
            print(f"finished: {states}; rows that differ: {differing(marts[0], marts[-1])}", flush=True)


if __name__ == "__main__":
    main()
