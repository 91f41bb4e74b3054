"""A real Airflow for the tests: API server, scheduler and Dag processor, spoken to through its REST API.

The scheduler is what the Dags are run by in earnest; `dag.test()` and mocked contexts skip, map and branch
otherwise. It has a metadata database of its own, so that it never sees the runs of other tests.
"""

from __future__ import annotations

import contextlib
import copy
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar

AIRFLOW = str(Path(sys.executable).with_name("airflow"))
COMPONENTS = (["api-server"], ["scheduler", "--skip-serve-logs"], ["dag-processor"])
# Only for what hangs: every wait ends with what it waits for, and a busy machine is no failure.
START_SECONDS = 180.0
RUN_SECONDS = 600.0
STOP_SECONDS = 20.0
POLL_SECONDS = 0.25
BACKFILL_ATTEMPTS = 5
FINISHED = ("success", "failed")

Json = dict[str, Any]
T = TypeVar("T")


class ServerError(RuntimeError):
    """Airflow did not start, or refused a call, or did not come to an end in time."""


@dataclass(frozen=True)
class RanTask:
    """One task instance at the end of its run."""

    state: str | None
    tries: int


@dataclass(frozen=True)
class EndedRun:
    """A Dag run at its end. Mapped task instances are named ``task_id[organization name]``; times: naive UTC."""

    dag_id: str
    run_id: str
    run_type: str
    state: str
    data_interval: tuple[datetime, datetime] | None
    queued_at: datetime
    started_at: datetime
    ended_at: datetime
    tasks: dict[str, RanTask]

    @property
    def states(self) -> dict[str, str | None]:
        """The state of every task instance."""
        return {name: task.state for name, task in self.tasks.items()}

    @property
    def tries(self) -> int:
        """The tries of the task instance that was tried most often."""
        return max(task.tries for task in self.tasks.values())


class AirflowServer:
    """A running Airflow. Use `start` as a context manager."""

    def __init__(self, url: str, environment: dict[str, str], data_root: Path) -> None:
        self.url = url
        self.data_root = data_root
        self._environment = environment
        # Loopback must never go through a proxy that the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        self._token: str | None = None

    @classmethod
    @contextlib.contextmanager
    def start(
        cls,
        home: Path,
        migrated_database: Path,
        data_root: Path,
        *,
        passwords: Mapping[str, str] | None = None,
        options: Mapping[str, str] | None = None,
    ) -> Iterator[AirflowServer]:
        """Serve this session's Dags from a database of its own, which with the logs lies in `home`, until the block
        is left.

        `passwords` of users switches sign-in on; each has the role of their name, and `admin`, who must be one of
        them, is who `call` speaks as. `options` are further environment variables.
        """
        database = home / "server.db"
        shutil.copyfile(migrated_database, database)
        port = _free_port()
        environment = os.environ | {
            # SQLite lets one process write at a time; others wait for it so many seconds.
            "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}?timeout=60",
            "AIRFLOW__CORE__EXECUTOR": "LocalExecutor",
            "AIRFLOW__CORE__PARALLELISM": "4",
            "AIRFLOW__CORE__EXECUTION_API_SERVER_URL": f"http://localhost:{port}/execution/",
            "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "True",
            "AIRFLOW__API__PORT": str(port),
            "AIRFLOW__API__WORKERS": "1",
            "AIRFLOW__API__HOST": "127.0.0.1",
            "AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
            "AIRFLOW__LOGGING__BASE_LOG_FOLDER": str(home / "server-logs"),
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "INFO",
            # The files do not change under it.
            "AIRFLOW__DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "3600",
            "AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT": str(data_root),
            "AIRFLOW__JUMPCLOUD_ELT__DIRECTORY_SCHEDULE": "none",
            "AIRFLOW__JUMPCLOUD_ELT__USAGE_SCHEDULE": "@daily",
            "AIRFLOW__JUMPCLOUD_ELT__REQUEST_ATTEMPTS": "2",
            "AIRFLOW__JUMPCLOUD_ELT__DUCKDB_THREADS": "1",
        }
        environment |= _sign_in(home, passwords) if passwords else {}
        environment |= options or {}
        server = cls(f"http://127.0.0.1:{port}", environment, data_root)
        group = 0
        processes: list[subprocess.Popen[bytes]] = []
        try:
            for component in COMPONENTS:
                with (home / f"{component[0]}.log").open("wb") as log:
                    process = subprocess.Popen(
                        [AIRFLOW, *component], env=environment, stdout=log, stderr=log, process_group=group
                    )
                group = group or process.pid
                processes.append(process)
            server._await_start(home, processes, passwords)
            yield server
        finally:
            _end(group, processes)

    def signed_in_as(self, user: str, password: str) -> AirflowServer:
        """The same server, spoken to as somebody else."""
        other = copy.copy(self)
        other._token = None
        other._token = other._call("POST", "auth/token", {"username": user, "password": password})["access_token"]
        return other

    def clear(self, dag_id: str, run_id: str, *task_ids: str, only_failed: bool = False) -> None:
        """Clear these tasks of a run, and none after them."""
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": task_ids, "only_failed": only_failed}
        self.call("POST", f"dags/{dag_id}/clearTaskInstances", body)

    def get(self, path: str, **query: Any) -> Json:
        return self.call("GET", f"{path}?{urllib.parse.urlencode(query, doseq=True)}")

    def call(self, method: str, path: str, body: Any = None) -> Json:
        """The answer of the REST API, version 2. Raises ServerError with what it says."""
        return self._call(method, f"api/v2/{path}", body)

    def _call(self, method: str, path: str, body: Any = None) -> Json:
        headers = {"Content-Type": "application/json", "Accept": "application/json"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.url}/{path}", data, headers, method=method)
        try:
            with self._opener.open(request, timeout=30) as response:
                return json.loads(response.read() or b"{}")
        except urllib.error.HTTPError as error:
            raise ServerError(f"{method} {path}: {error.code} {error.read().decode()}") from error

    def cli(self, *arguments: str) -> str:
        """What an `airflow` command of this server prints. Raises ServerError where it fails."""
        ended = subprocess.run(
            [AIRFLOW, *arguments], env=self._environment, capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise ServerError(f"airflow {' '.join(arguments)}: {ended.stdout[-2000:]}{ended.stderr[-2000:]}")
        return ended.stdout

    def set_connection(self, connection_id: str, **fields: Any) -> None:
        """Make or replace a connection, as the form does."""
        self.delete_connection(connection_id)
        self.call("POST", "connections", {"connection_id": connection_id, "conn_type": "jumpcloud", **fields})

    def delete_connection(self, connection_id: str) -> None:
        known = self.get("connections", limit=100)["connections"]
        if any(one["connection_id"] == connection_id for one in known):
            self.call("DELETE", f"connections/{connection_id}")

    def unpause(self, dag_id: str) -> None:
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": False})

    def trigger(self, dag_id: str, *, logical_date: str | None = None, **conf: Any) -> str:
        """Start a run; returns its id."""
        body = {"logical_date": logical_date, "conf": conf}
        return str(self.call("POST", f"dags/{dag_id}/dagRuns", body)["dag_run_id"])

    def run_ids(self, dag_id: str) -> list[str]:
        """The runs of a Dag, oldest first."""
        runs = self.get(f"dags/{dag_id}/dagRuns", limit=100, order_by="id")["dag_runs"]
        return [run["dag_run_id"] for run in runs]

    def first_run_id(self, dag_id: str) -> str:
        """Wait for the first run of a Dag to be there."""
        return _wait_for(lambda: self.run_ids(dag_id), RUN_SECONDS, lambda: f"no run of {dag_id} was scheduled")[0]

    def backfill(self, dag_id: str, start: datetime, end: datetime, *options: str) -> list[str]:
        """Begin a backfill on the command line; returns the ids of its runs, oldest first.

        SQLite lets one process write at a time and makes the command fail where it meets another. Airflow then
        deletes what there is of the backfill, and the scheduler ends when that was running already. Hence the pause.
        """
        self.call("PATCH", f"dags/{dag_id}", {"is_paused": True})
        command = ("backfill", "create", "--dag-id", dag_id, "--from-date", start.isoformat())
        for attempt in range(BACKFILL_ATTEMPTS):
            for earlier in self.get("backfills", dag_id=dag_id)["backfills"]:
                # Its runs have ended, and the scheduler would see that within half a minute; or it was half made.
                if earlier["completed_at"] is None:
                    self.call("PUT", f"backfills/{earlier['id']}/cancel")
            try:
                self.cli(*command, "--to-date", end.isoformat(), *options)
                break
            except ServerError as error:
                if "database is locked" not in str(error) or attempt + 1 == BACKFILL_ATTEMPTS:
                    raise
        runs = self.get(f"dags/{dag_id}/dagRuns", run_type="backfill", order_by="logical_date", limit=100)["dag_runs"]
        self.unpause(dag_id)
        return [run["dag_run_id"] for run in runs]

    def end_of(self, dag_id: str, run_id: str, seconds: float = RUN_SECONDS) -> EndedRun:
        """Wait for the end of a run, so many seconds at most."""
        path = f"dags/{dag_id}/dagRuns/{urllib.parse.quote(run_id)}"

        def ended() -> Json | None:
            run = self.get(path)
            return run if run["state"] in FINISHED else None

        def so_far() -> str:
            return f"{dag_id} {run_id} has not ended: {self._tasks(path)}"

        run = _wait_for(ended, seconds, so_far)
        return EndedRun(
            dag_id=dag_id,
            run_id=run_id,
            run_type=run["run_type"],
            state=run["state"],
            data_interval=_data_interval(run),
            queued_at=_moment(run["queued_at"]),
            started_at=_moment(run["start_date"]),
            ended_at=_moment(run["end_date"]),
            tasks=self._tasks(path),
        )

    def warehouse_run_after(self, run: EndedRun) -> EndedRun:
        """The warehouse run that has everything that `run` landed, at its end: the first to start afterwards.

        Airflow's own link from an asset event to a run is no help: of the events that wait while a Dag is at its
        limit of active runs, it knows only the first.
        """
        emitted_at = max((_moment(event["timestamp"]) for event in self.asset_events(run)), default=None)
        if emitted_at is None:
            raise ServerError(f"{run.dag_id} {run.run_id} told the warehouse nothing: {run.states}")
        runs = self.get("dags/jumpcloud_warehouse/dagRuns", limit=100, order_by="start_date")["dag_runs"]
        for one in runs:
            if _moment(one["start_date"]) >= emitted_at:
                return self.end_of("jumpcloud_warehouse", one["dag_run_id"])
        raise ServerError(f"no warehouse run follows {run.dag_id} {run.run_id}")

    def asset_events(self, run: EndedRun) -> list[Json]:
        """The asset events that `run` emitted, when all that they started has ended."""
        # Before that Airflow cannot say: it answers 500 while a run that it started is queued.
        self.await_rest()
        query = {"source_dag_id": run.dag_id, "source_run_id": run.run_id, "limit": 100}
        events: list[Json] = self.get("assets/events", **query)["asset_events"]
        return events

    def log_of(self, run: EndedRun, task: str) -> str:
        """What the last try of a task instance, named as in `EndedRun.tasks`, has logged: messages and errors."""
        task_id, _, name = task.rstrip("]").partition("[")
        path = f"dags/{run.dag_id}/dagRuns/{urllib.parse.quote(run.run_id)}/taskInstances"
        instances = self.get(path, task_id=task_id, limit=100)["task_instances"]
        instance = next(one for one in instances if not name or one["rendered_map_index"] == name)
        log = self.get(f"{path}/{task_id}/logs/{instance['try_number']}", map_index=instance["map_index"])
        errors = [error for line in log["content"] for error in line.get("error_detail") or []]
        return "\n".join([line["event"] for line in log["content"]] + [error["exc_value"] for error in errors])

    def await_rest(self) -> None:
        """Wait until nothing runs and nothing is about to."""

        def rested() -> bool:
            # In this order: what the runs have emitted by now is queued, or is a run that the second look sees.
            return not self._unfinished() and not self._queued_events() and not self._unfinished()

        _wait_for(rested, RUN_SECONDS, lambda: f"these do not come to an end: {self._unfinished()}")

    def _queued_events(self) -> list[Json]:
        queued: list[Json] = self.get("dags/jumpcloud_warehouse/assets/queuedEvents")["queued_events"]
        return queued

    def _unfinished(self) -> list[Json]:
        found: list[Json] = self.get("dags/~/dagRuns", state=["queued", "running"], limit=100)["dag_runs"]
        return found

    def _tasks(self, path: str) -> dict[str, RanTask]:
        tasks: dict[str, RanTask] = {}
        for one in self.get(f"{path}/taskInstances", limit=100)["task_instances"]:
            mapped = f"[{one['rendered_map_index']}]" if one["map_index"] >= 0 else ""
            tasks[f"{one['task_id']}{mapped}"] = RanTask(one["state"], one["try_number"])
        return tasks

    def _await_start(
        self, home: Path, processes: list[subprocess.Popen[bytes]], passwords: Mapping[str, str] | None
    ) -> None:
        def started() -> bool:
            if any(process.poll() is not None for process in processes):
                raise ServerError(_ends_of_logs(home))
            try:
                if passwords and not self._token:
                    sign_in = {"username": "admin", "password": passwords["admin"]}
                    self._token = self._call("POST", "auth/token", sign_in)["access_token"]
                health = self.get("monitor/health")
                dags = self.get("dags", limit=100)["dags"]
            except (OSError, ServerError):
                return False
            components = ("metadatabase", "scheduler", "dag_processor")
            return bool(dags) and all(health[one]["status"] == "healthy" for one in components)

        _wait_for(started, START_SECONDS, lambda: f"Airflow did not start: {_ends_of_logs(home)}")


def _wait_for(probe: Callable[[], T | None], seconds: float, complaint: Callable[[], str]) -> T:
    """The first answer of `probe` that is one; raises ServerError with `complaint` after `seconds`."""
    deadline = time.monotonic() + seconds
    while not (answer := probe()):
        if time.monotonic() > deadline:
            raise ServerError(complaint())
        time.sleep(POLL_SECONDS)
    return answer


def _sign_in(home: Path, passwords: Mapping[str, str]) -> dict[str, str]:
    """The options of a simple auth manager that knows these users."""
    file = home / "passwords.json"
    file.write_text(json.dumps(dict(passwords)))
    return {
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_ALL_ADMINS": "False",
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS": ",".join(f"{user}:{user}" for user in passwords),
        "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(file),
    }


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC).replace(tzinfo=None)


def _data_interval(run: Json) -> tuple[datetime, datetime] | None:
    start, end = run["data_interval_start"], run["data_interval_end"]
    return (_moment(start), _moment(end)) if start and end else None


def _end(group: int, processes: list[subprocess.Popen[bytes]]) -> None:
    """End the process group that `start` made, and whatever it has started."""
    deadline = time.monotonic() + STOP_SECONDS
    for number in (signal.SIGTERM, signal.SIGKILL):
        with contextlib.suppress(ProcessLookupError):
            if group:
                os.killpg(group, number)
        for process in processes:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(max(0.1, deadline - time.monotonic()))


def _ends_of_logs(home: Path) -> str:
    return "\n".join(
        f"{path.name}: {path.read_text(encoding='utf-8', errors='replace')[-1500:]}"
        for path in (home / f"{component[0]}.log" for component in COMPONENTS)
        if path.exists()
    )


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
