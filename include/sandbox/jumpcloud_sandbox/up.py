"""`make up`: the demo with the Airflow UI, until it is interrupted.

Starts the sandbox and `airflow standalone`, lets all Dags run once over the demo's history, and prints where to
log in. Ends both on Ctrl-C.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.demo import DAYS_OF_USAGE, sandbox_environment

AIRFLOW = str(Path(sys.executable).with_name("airflow"))
USUAL_PORT = 8080
START_SECONDS = 180


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home = Path(os.environ["AIRFLOW_HOME"])
    port = _free_port()
    with Sandbox.start("demo") as sandbox:
        environment = sandbox_environment(sandbox.url) | {
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
            "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
            # One idle worker of 140 MB is forked for each.
            "AIRFLOW__CORE__PARALLELISM": os.environ.get("AIRFLOW__CORE__PARALLELISM", "4"),
        }
        print("Starting Airflow; its log is in", home / "standalone.log")
        _airflow(environment, "dags", "reserialize")
        print(f"Loading {DAYS_OF_USAGE} days of history")
        today = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        usage = {"start": (today - timedelta(days=DAYS_OF_USAGE)).isoformat(), "end": today.isoformat()}
        _airflow(environment, "dags", "unpause", "--yes", "--treat-dag-id-as-regex", "jumpcloud_.*")
        _airflow(environment, "dags", "trigger", "jumpcloud_usage", "--conf", json.dumps(usage))
        with (home / "standalone.log").open("wb") as log:
            process = subprocess.Popen(  # noqa: S603 - Airflow's own command line
                [AIRFLOW, "standalone"], env=environment, stdout=log, stderr=log, start_new_session=True
            )
            try:
                _await_ui(port, process)
                _print_log_in(port, home)
                process.wait()
            except KeyboardInterrupt:
                print("\nStopping")
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGTERM)
                process.wait()
    return 0


def _airflow(environment: dict[str, str], *arguments: str) -> None:
    ended = subprocess.run(  # noqa: S603 - Airflow's own command line
        [AIRFLOW, *arguments], env=environment, capture_output=True, text=True, check=False
    )
    if ended.returncode:
        sys.exit(f"airflow {' '.join(arguments)} failed:\n{ended.stdout[-2000:]}{ended.stderr[-2000:]}")


def _await_ui(port: int, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            sys.exit("Airflow ended before its UI answered; see its log.")
        with contextlib.suppress(OSError, urllib.error.URLError):
            urllib.request.urlopen(f"http://localhost:{port}/api/v2/monitor/health", timeout=2)
            return
        time.sleep(1)
    sys.exit(f"The UI did not answer within {START_SECONDS} s; see Airflow's log.")


def _print_log_in(port: int, home: Path) -> None:
    print(f"\nAirflow:   http://localhost:{port}")
    print(f"Dashboard: http://localhost:{port}/plugin/jumpcloud (JumpCloud in the navigation)")
    passwords = home / "simple_auth_manager_passwords.json.generated"
    if passwords.exists():
        for user, password in json.loads(passwords.read_text()).items():
            print(f"User:      {user}\nPassword:  {password}")
    print("\nThe Dags are running over the sandbox's organizations: the dashboard has its data in a minute or two.")
    print("Ctrl-C stops everything.")


def _free_port() -> int:
    """Airflow's usual port, or another where that is taken."""
    for port in (USUAL_PORT, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind(("127.0.0.1", port))
            return int(probe.getsockname()[1])
    sys.exit("No loopback port is free.")


if __name__ == "__main__":
    sys.exit(main())
