"""Start a sandbox, drive it, stop it — from tests, the demo and benchmarks. Standard library only."""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

Json = dict[str, Any]
START_SECONDS = 60.0
STOP_SECONDS = 10.0


class SandboxError(RuntimeError):
    """The sandbox did not start, or refused a control call."""


class Sandbox:
    """A running sandbox. A context manager: leaving it stops the process, if this object started it."""

    def __init__(self, url: str, process: subprocess.Popen[bytes] | None = None) -> None:
        self.url = url
        self._process = process
        # Loopback must never go through a proxy that the environment names.
        self._opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    @classmethod
    def start(
        cls,
        world: str | Path | Json = "demo",
        *,
        seed: int = 1,
        now: str | None = None,
        port: int = 0,
    ) -> Self:
        """Spawn a sandbox and wait until it answers.

        `world`: ``"demo"``, a JSON file, or the data itself. `now`: RFC 3339, fixes its clock.
        """
        with tempfile.TemporaryDirectory(prefix="sandbox-") as folder:
            if isinstance(world, dict):
                path = Path(folder, "world.json")
                path.write_text(json.dumps(world), encoding="utf-8")
                world = path
            announce = Path(folder, "url")
            command = [sys.executable, "-m", "jumpcloud_sandbox", "--port", str(port), "--announce", str(announce)]
            command += ["--world", str(world), "--seed", str(seed), "--exit-with-stdin"]
            command += ["--now", now] if now else []
            include = str(Path(__file__).resolve().parents[1])
            path_list = os.pathsep.join([include, *filter(None, [os.environ.get("PYTHONPATH")])])
            process = subprocess.Popen(  # noqa: S603 - its own interpreter, with arguments of its own
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path_list},
                # Ctrl-C is for the process that stops it.
                process_group=0,
            )
            sandbox = cls("", process)
            atexit.register(sandbox.stop)
            try:
                sandbox.url = _await_announcement(announce, process)
            except BaseException:
                sandbox.stop()
                raise
        return sandbox

    def stop(self) -> None:
        """End the process that this object started. Safe to call twice."""
        process, self._process = self._process, None
        if process is None:
            return
        atexit.unregister(self.stop)
        with contextlib.suppress(OSError):
            assert process.stdin is not None
            process.stdin.close()
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def world(self) -> Json:
        """The ground truth: everything the sandbox serves, with every edit so far."""
        world: Json = self._control("GET", "world")
        return world

    def set_world(self, world: Json) -> None:
        """Replace everything. `reset` still leads back to the world it was started with."""
        self._control("PUT", "world", world)

    def reset(self) -> None:
        """Back to the initial world; faults, latency, request log and tokens are gone."""
        self._control("POST", "reset")

    def organization(self, organization_id: str) -> Json:
        """One organization of the world. Raises StopIteration when there is none."""
        return next(row for row in self.world()["organizations"] if row["id"] == organization_id)

    def set_organization(self, organization: Json) -> None:
        """Replace one organization, found by its id."""
        self._control("PUT", f"organizations/{organization['id']}", organization)

    def add_events(self, organization_id: str, events: list[Json]) -> None:
        """Append events, whatever their time: late ones are how overlaps are tested."""
        self._control("POST", f"organizations/{organization_id}/events", events)

    def requests(self) -> list[Json]:
        """The log, oldest first: method, path, query, organization, key label, status, fault."""
        entries: list[Json] = self._control("GET", "requests")["requests"]
        return entries

    def request_log(self) -> Json:
        """The log with ``counts`` by method and path, ``total`` and ``max_in_flight``."""
        log: Json = self._control("GET", "requests")
        return log

    def clear_requests(self) -> None:
        self._control("DELETE", "requests")

    def set_faults(self, *rules: Json) -> None:
        """Replace all fault rules; without any, the sandbox behaves again. See `jumpcloud_sandbox.faults`."""
        self._control("PUT", "faults", list(rules))

    def faults(self) -> list[Json]:
        """The rules with how often each has ``matched`` and ``fired``."""
        rules: list[Json] = self._control("GET", "faults")
        return rules

    def set_latency(self, milliseconds: float) -> None:
        """Delay every answer."""
        self._control("PUT", "latency", {"ms": milliseconds})

    def expire_tokens(self) -> None:
        """End every OAuth token at once."""
        self._control("DELETE", "tokens")

    def _control(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        address = f"{self.url}/_sandbox/{path}"
        request = urllib.request.Request(address, data, method=method)  # noqa: S310 - loopback
        try:
            with self._opener.open(request) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise SandboxError(f"{method} {path}: {error.code} {error.read().decode()}") from error


def _await_announcement(announce: Path, process: subprocess.Popen[bytes]) -> str:
    deadline = time.monotonic() + START_SECONDS
    while not announce.exists():
        if process.poll() is not None:
            raise SandboxError(f"the sandbox ended with exit code {process.returncode} before it answered")
        if time.monotonic() > deadline:
            raise SandboxError(f"the sandbox did not answer within {START_SECONDS:.0f} s")
        time.sleep(0.02)
    return announce.read_text()
