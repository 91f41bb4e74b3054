"""`make up`: the demo with the Airflow UI, until it is interrupted.

Starts the sandbox and Airflow, both on loopback alone; once the API server answers, lets the Dags run over the demo's
history and says how far they are, to the end: the dashboard has data, or what went wrong. Ends everything on Ctrl-C.
"""

from __future__ import annotations

import contextlib
import functools
import json
import math
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.demo import CONNECTION_ID, DAYS_OF_USAGE, runs_of_demo, sandbox_environment

AIRFLOW = str(Path(sys.executable).with_name("airflow"))
HOST = "127.0.0.1"
USUAL_PORT = 8080
# Of the sandbox's keys the one that may write: the connection that may act.
ACTING_CONNECTION_ID, ACTING_API_KEY = f"{CONNECTION_ID}_acting", "sandbox-key-write"
START_SECONDS, RUN_SECONDS, STOP_SECONDS = 180.0, 1800.0, 20.0
POLL_SECONDS = 1.0
ENDED = ("success", "failed", "skipped", "upstream_failed", "removed")

Json = dict[str, Any]
T = TypeVar("T")
# At once, also into a pipe: somebody is waiting.
say = functools.partial(print, flush=True)


class UpError(Exception):
    """What went wrong, and where to look."""


class Airflow:
    """The components of an Airflow that this process runs, and its REST API."""

    def __init__(self, home: Path, port: int, environment: dict[str, str]) -> None:
        self.home, self.url = home, f"http://localhost:{port}"
        self._api = f"http://{HOST}:{port}"
        self._environment = environment
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._token: str | None = None
        # Loopback must never go through a proxy that the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def start(self, component: str, *options: str) -> None:
        """Start a component; its log goes to a file below AIRFLOW_HOME."""
        with self._log(component).open("wb") as log:
            self._processes[component] = subprocess.Popen(  # noqa: S603 - Airflow's own command line
                [AIRFLOW, component, *options], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def stop(self) -> None:
        """End everything that was started, and whatever that has started."""
        deadline = time.monotonic() + STOP_SECONDS
        for number in (signal.SIGTERM, signal.SIGKILL):
            for process in self._processes.values():
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, number)
            for process in self._processes.values():
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(max(0.1, deadline - time.monotonic()))

    def wait_for(self, probe: Callable[[], T | None], seconds: float, what: str) -> T:
        """The first answer of `probe` that is one. Raises UpError after `seconds`, and where a component has ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for component, process in self._processes.items():
                if process.poll() is not None:
                    end = self._log(component).read_text(encoding="utf-8", errors="replace")[-2000:]
                    raise UpError(f"airflow {component} has ended:\n{end}\nIts log: {self._log(component)}")
            if answer := probe():
                return answer
            time.sleep(POLL_SECONDS)
        raise UpError(f"{what} within {seconds:.0f} s. Airflow's logs: {self.home}/*.log")

    def passwords(self) -> dict[str, str]:
        """The users that Airflow has made, with their passwords; nobody where it needs no sign-in."""
        file = self.home / "simple_auth_manager_passwords.json.generated"
        made: dict[str, str] = json.loads(file.read_text()) if file.exists() else {}
        return made

    def sign_in(self) -> None:
        for user, password in self.passwords().items():
            answer = self._call("POST", "auth/token", {"username": user, "password": password})
            self._token = answer["access_token"]
            return

    def call(self, method: str, path: str, body: Any = None) -> Json:
        """The answer of the REST API, version 2. Raises UpError with what it says."""
        return self._call(method, f"api/v2/{path}", body)

    def is_there(self, path: str) -> bool:
        with contextlib.suppress(UpError, OSError):
            return bool(self.call("GET", path))
        return False

    def _call(self, method: str, path: str, body: Any) -> Json:
        headers = {"Content-Type": "application/json"}
        headers |= {"Authorization": f"Bearer {self._token}"} if self._token else {}
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._api}/{path}", data, headers, method=method)  # noqa: S310 - loopback
        try:
            with self._opener.open(request, timeout=30) as answer:
                decoded: Json = json.load(answer)
                return decoded
        except urllib.error.HTTPError as error:
            told = error.read().decode(errors="replace")
            raise UpError(f"Airflow answers {error.code} to {method} {path}: {told}") from error

    def _log(self, component: str) -> Path:
        return self.home / f"{component}.log"


def main() -> int:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    home, port = Path(os.environ["AIRFLOW_HOME"]), _free_port()
    with Sandbox.start("demo") as sandbox, _running(home, port, sandbox.url) as airflow:
        code = 0
        try:
            try:
                _begin(airflow)
                say(f"\nThe dashboard has data: {airflow.url}/plugin/jumpcloud")
            except (UpError, OSError) as error:
                code = 1
                say(f"\nThis went wrong: {error}")
            # What runs goes on, to be looked at.
            airflow.wait_for(lambda: None, math.inf, "")
        except UpError as error:
            say(error if code == 0 else "Airflow has ended")
            code = 1
        except KeyboardInterrupt:
            say("\nStopping")
    return code


@contextlib.contextmanager
def _running(home: Path, port: int, sandbox_url: str) -> Iterator[Airflow]:
    acting = {
        "conn_type": "jumpcloud",
        "host": sandbox_url,
        "password": ACTING_API_KEY,
        "extra": {"permission": "read_and_act"},
    }
    environment = sandbox_environment(sandbox_url) | {
        f"AIRFLOW_CONN_{ACTING_CONNECTION_ID.upper()}": json.dumps(acting),
        "AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS": f"{CONNECTION_ID},{ACTING_CONNECTION_ID}",
        "AIRFLOW__API__HOST": HOST,
        "AIRFLOW__API__PORT": str(port),
        "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://{HOST}:{port}/execution/",
        "AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION": "False",
        # One idle worker of 140 MB is forked for each.
        "AIRFLOW__CORE__PARALLELISM": os.environ.get("AIRFLOW__CORE__PARALLELISM", "4"),
    }
    airflow = Airflow(home, port, environment)
    try:
        yield airflow
    finally:
        airflow.stop()


def _begin(airflow: Airflow) -> None:
    """Start Airflow, say how to sign in, and let the Dags run. Raises UpError."""
    say(f"Starting Airflow; its logs: {airflow.home}/*.log")
    # Alone: Dags of an earlier time would begin with the scheduler, before anything answers.
    airflow.start("api-server")
    airflow.wait_for(lambda: airflow.is_there("monitor/health"), START_SECONDS, "The API server did not answer")
    airflow.sign_in()
    _print_log_in(airflow)
    airflow.start("scheduler", "--skip-serve-logs")
    airflow.start("dag-processor")
    airflow.start("triggerer", "--skip-serve-logs")
    _run_dags(airflow)


def _print_log_in(airflow: Airflow) -> None:
    say(f"\nAirflow:   {airflow.url}")
    say(f"Dashboard: {airflow.url}/plugin/jumpcloud (JumpCloud in the navigation)")
    for user, password in airflow.passwords().items():
        say(f"User:      {user}\nPassword:  {password}")
    say(f"Connections: {CONNECTION_ID} reads, {ACTING_CONNECTION_ID} may act")
    say("Ctrl-C stops everything.\n")


def _run_dags(airflow: Airflow) -> None:
    """Let the Dags run one after the other, saying how far they are. Raises UpError where one fails."""
    say(f"Loading {DAYS_OF_USAGE} days of history")
    for dag_id, conf in runs_of_demo():
        path = f"dags/{dag_id}"
        airflow.wait_for(functools.partial(airflow.is_there, path), START_SECONDS, f"Airflow did not read {dag_id}")
        airflow.call("PATCH", path, {"is_paused": False})
        run = airflow.call("POST", f"{path}/dagRuns", {"logical_date": None, "conf": conf})
        _follow(airflow, dag_id, str(run["dag_run_id"]))


def _follow(airflow: Airflow, dag_id: str, run_id: str) -> None:
    path = f"dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}"
    began = time.monotonic()
    said = ""

    def ended() -> str | None:
        nonlocal said
        states = [one["state"] for one in airflow.call("GET", f"{path}/taskInstances?limit=1000")["task_instances"]]
        state = str(airflow.call("GET", path)["state"])
        told = f"{dag_id:<20} {state}, {sum(one in ENDED for one in states)} of {len(states)} tasks"
        if told != said and state not in ENDED:
            said = told
            say(told)
        return state if state in ENDED else None

    state = airflow.wait_for(ended, RUN_SECONDS, f"{dag_id} has not ended")
    say(f"{dag_id:<20} {state} in {time.monotonic() - began:.0f} s")
    if state != "success":
        tasks = airflow.call("GET", f"{path}/taskInstances?limit=1000&state=failed")["task_instances"]
        names = [f"{one['task_id']} {one['rendered_map_index'] or ''}".rstrip() for one in tasks]
        raise UpError(
            f"{dag_id} failed in {', '.join(names) or 'no task'}. See the logs of these tasks: "
            f"{airflow.url}/dags/{dag_id}/runs/{urllib.parse.quote(run_id)}"
        )


def _free_port() -> int:
    """Airflow's usual port, or another where that is taken."""
    for port in (USUAL_PORT, 0):
        with contextlib.suppress(OSError), socket.socket() as probe:
            probe.bind((HOST, port))
            return int(probe.getsockname()[1])
    sys.exit("No loopback port is free.")


if __name__ == "__main__":
    sys.exit(main())
