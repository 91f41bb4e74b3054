"""`make up`: Dags begin when the API server answers, it says how far they are, and it ends what it started.

Airflow is a stand-in that answers as far as `up` asks: that a real one runs so is seen in the browser tests.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jumpcloud_elt.plugin import JumpCloudPlugin
from support.paths import ROOT

INCLUDE = str(ROOT / "include" / "sandbox")
# Notes what it is started with and asked for. A run is running when it is first asked about, and has ended then.
AIRFLOW = """
import json, os, sys, time
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

home = Path(os.environ["AIRFLOW_HOME"])
asked_about = set()
fails = os.environ.get("FAILS")

def note(**what):
    with (home / "noted.jsonl").open("a") as noted:
        print(json.dumps(what), file=noted)

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.do_POST()

    def do_PATCH(self):
        self.do_POST()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or b"null")
        note(asked=f"{self.command} {self.path}", body=body, token=self.headers.get("Authorization"))
        path, dag_id = self.path.partition("?")[0], (self.path.split("/") + [""] * 5)[4]
        if path == "/auth/token":
            said = {"access_token": f"token of {body['password']}"}
        elif path.endswith("/dagRuns"):
            said = {"dag_run_id": "a run"}
        elif path.endswith("/taskInstances"):
            states = ["failed"] if "state=failed" in self.path else [None, "success", "running"]
            said = {"task_instances": [
                {"task_id": "extract", "rendered_map_index": "Acme", "state": state} for state in states
            ]}
        elif "/dagRuns/" in path:
            is_over = path in asked_about
            asked_about.add(path)
            said = {"state": "running" if not is_over else "failed" if dag_id == fails else "success"}
        else:
            said = {"is": "there"}
        # Dags are known once they have been read.
        is_there = "/dags" not in path or (home / "noted.jsonl").read_text().count('{"started"') == 4
        self.send_response(200 if is_there else 404)
        self.end_headers()
        self.wfile.write(json.dumps(said).encode())

note(started=sys.argv[1:], environment=dict(os.environ))
if sys.argv[1] == fails:
    sys.exit("the disk is full")
if sys.argv[1] == "api-server":
    (home / "simple_auth_manager_passwords.json.generated").write_text('{"admin": "the-password"}')
    HTTPServer((os.environ["AIRFLOW__API__HOST"], int(os.environ["AIRFLOW__API__PORT"])), Answer).serve_forever()
time.sleep(600)
"""
UP = """
import sys
from jumpcloud_sandbox import up

up.AIRFLOW, up.POLL_SECONDS, up.START_SECONDS = sys.argv[1], 0.1, 60.0
sys.exit(up.main())
"""
DAGS = ("jumpcloud_directory", "jumpcloud_usage", "jumpcloud_warehouse")


class Up:
    """A running `make up`, and what it has said."""

    def __init__(self, process: subprocess.Popen[str], home: Path) -> None:
        self.process = process
        self.said = ""
        self._home = home

    def says(self, words: str) -> None:
        """Read on until these words have been said."""
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.said += line
            if words in line:
                return
        raise AssertionError(self.said)

    def noted(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in (self._home / "noted.jsonl").read_text().splitlines()]


@contextlib.contextmanager
def up(home: Path, **environment: str) -> Iterator[Up]:
    airflow = home / "airflow"
    airflow.write_text(f"#!{sys.executable}\n{AIRFLOW}")
    airflow.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-c", UP, str(airflow)],
        env=os.environ | {"AIRFLOW_HOME": str(home), "PYTHONPATH": INCLUDE} | environment,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            yield Up(process, home)
        finally:
            process.send_signal(signal.SIGTERM)


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_up_leads_to_a_dashboard_with_data_and_ends_what_it_started(tmp_path: Path, ended_by: signal.Signals) -> None:
    with up(tmp_path) as started:
        started.says("The dashboard has data: ")
        (url,) = re.findall(r"^Airflow: +(http://localhost:\d+)$", started.said, re.MULTILINE)
        with urllib.request.urlopen(f"{url}/api/v2/monitor/health") as answer:
            assert answer.status == 200
        started.process.send_signal(ended_by)
        assert started.process.wait(60) == 0
    (view,) = JumpCloudPlugin.external_views
    assert f"The dashboard has data: {url}/plugin/{view['url_route']}\n" in started.said
    assert "User:      admin\nPassword:  the-password\n" in started.said
    for dag_id in DAGS:
        assert re.search(rf"^{dag_id} +running, 1 of 3 tasks\n{dag_id} +success in \d+ s$", started.said, re.MULTILINE)
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/api/v2/monitor/health")


def test_up_begins_when_the_api_server_answers_and_runs_one_dag_after_the_other(tmp_path: Path) -> None:
    with up(tmp_path) as started:
        started.says("The dashboard has data: ")
    noted = started.noted()
    steps = [str(one.get("asked") or one["started"][0]) for one in noted]
    before = min(steps.index(one) for one in ("scheduler", "dag-processor", "triggerer"))
    is_known_yet = {"GET /api/v2/dags/jumpcloud_directory"}
    assert set(steps[:before]) - is_known_yet == {"api-server", "GET /api/v2/monitor/health", "POST /auth/token"}
    asked = [one for one in noted[before:] if "asked" in one]
    assert {one["token"] for one in asked} - {None} == {"Bearer token of the-password"}
    changes = [(one["asked"].partition("/dags/")[2], one["body"]) for one in asked if "GET" not in one["asked"]]
    assert [path for path, _ in changes] == [path for dag_id in DAGS for path in (dag_id, f"{dag_id}/dagRuns")]
    assert [body for path, body in changes if "dagRuns" not in path] == [{"is_paused": False}] * 3
    usage = changes[3][1]["conf"]
    assert datetime.fromisoformat(usage["end"]) - datetime.fromisoformat(usage["start"]) == timedelta(days=60)
    assert datetime.now(UTC) - datetime.fromisoformat(usage["end"]) < timedelta(days=1, minutes=5)


def test_up_is_on_loopback_alone_and_connects_the_sandbox_twice(tmp_path: Path) -> None:
    with up(tmp_path) as started:
        started.says("The dashboard has data: ")
    components = [one for one in started.noted() if "started" in one]
    assert sorted(one["started"] for one in components) == [
        ["api-server"],
        ["dag-processor"],
        # They would serve their logs on every address.
        ["scheduler", "--skip-serve-logs"],
        ["triggerer", "--skip-serve-logs"],
    ]
    for environment in (one["environment"] for one in components):
        assert environment["AIRFLOW__API__HOST"] == "127.0.0.1"
        port = environment["AIRFLOW__API__PORT"]
        assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"http://127.0.0.1:{port}/execution/"
        connection_ids = environment["AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS"].split(",")
        reads, acts = (json.loads(environment[f"AIRFLOW_CONN_{one.upper()}"]) for one in connection_ids)
        assert reads["host"] == acts["host"] and acts["host"].startswith("http://127.0.0.1:"), "no tenant"
        assert ("extra" in reads, acts["extra"]) == (False, {"permission": "read_and_act"})


def test_up_says_which_task_of_which_dag_failed_and_leaves_it_to_be_looked_at(tmp_path: Path) -> None:
    with up(tmp_path, FAILS="jumpcloud_usage") as started:
        started.says("This went wrong: jumpcloud_usage failed in extract Acme. See the logs")
        assert started.process.poll() is None
        started.process.send_signal(signal.SIGINT)
        assert started.process.wait(60) == 1
    assert "has data" not in started.said and "jumpcloud_warehouse" not in started.said


@pytest.mark.parametrize("component", ["api-server", "scheduler"])
def test_up_ends_where_a_component_of_airflow_has_ended(tmp_path: Path, component: str) -> None:
    with up(tmp_path, FAILS=component) as started:
        started.says(f"This went wrong: airflow {component} has ended:")
        started.says("the disk is full")
        started.says(f"{component}.log")
        assert started.process.wait(60) == 1
