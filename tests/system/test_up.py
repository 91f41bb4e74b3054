"""`make up`: what it prints leads to where it says, and it ends what it started.

Airflow is a stand-in that answers as far as `sandbox.up` asks: that a real one runs so is seen in the browser tests.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jumpcloud_elt.plugin import JumpCloudPlugin
from support.paths import ROOT

INCLUDE = str(ROOT / "include" / "sandbox")
AIRFLOW = """
import json, os, sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

home = Path(os.environ["AIRFLOW_HOME"])
with (home / "asked.jsonl").open("a") as asked:
    print(json.dumps({"arguments": sys.argv[1:], "environment": dict(os.environ)}), file=asked)

class Answer(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/api/v2/monitor/health" else 404)
        self.end_headers()

if sys.argv[1] == "standalone":
    (home / "simple_auth_manager_passwords.json.generated").write_text('{"admin": "the-password"}')
    HTTPServer(("127.0.0.1", int(os.environ["AIRFLOW__API__PORT"])), Answer).serve_forever()
"""
UP = "import sys; from jumpcloud_sandbox import up; up.AIRFLOW = sys.argv[1]; sys.exit(up.main())"


@pytest.mark.parametrize("ended_by", [signal.SIGINT, signal.SIGTERM])
def test_up_prints_where_to_sign_in_and_ends_what_it_started(tmp_path: Path, ended_by: signal.Signals) -> None:
    airflow = tmp_path / "airflow"
    airflow.write_text(f"#!{sys.executable}\n{AIRFLOW}")
    airflow.chmod(0o755)
    with subprocess.Popen(
        [sys.executable, "-u", "-c", UP, str(airflow)],
        env=os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": INCLUDE},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        said = ""
        for line in process.stdout:
            said += line
            if "Ctrl-C" in line:
                break
        (url,) = re.findall(r"Airflow: +(http://localhost:\d+)$", said, re.MULTILINE)
        with urllib.request.urlopen(f"{url}/api/v2/monitor/health") as answer:
            assert answer.status == 200
        process.send_signal(ended_by)
        assert process.wait(60) == 0
    (view,) = JumpCloudPlugin.external_views
    assert f"{url}/plugin/{view['url_route']} " in said
    assert "User:      admin\nPassword:  the-password\n" in said
    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(f"{url}/api/v2/monitor/health")

    asked = [json.loads(line) for line in (tmp_path / "asked.jsonl").read_text().splitlines()]
    assert [one["arguments"][:2] for one in asked] == [
        ["dags", "reserialize"],
        ["dags", "unpause"],
        ["dags", "trigger"],
        ["standalone"],
    ]
    assert asked[2]["arguments"][2:4] == ["jumpcloud_usage", "--conf"]
    usage = json.loads(asked[2]["arguments"][4])
    assert datetime.fromisoformat(usage["end"]) - datetime.fromisoformat(usage["start"]) == timedelta(days=60)
    assert datetime.now(UTC) - datetime.fromisoformat(usage["end"]) < timedelta(days=1, minutes=5)
    environment = asked[3]["environment"]
    assert environment["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == f"{url}/execution/"
    assert environment["AIRFLOW__CORE__DAGS_ARE_PAUSED_AT_CREATION"] == "False", "nothing would run by itself"
    connection = json.loads(environment["AIRFLOW_CONN_JUMPCLOUD_SANDBOX"])
    assert connection["host"].startswith("http://127.0.0.1:"), "the sandbox, and no tenant"
