"""The directory Dag over 1, 10, 100 and 300 small organizations, under a real scheduler (LocalExecutor).

    python -m benchmarks.directory_scale [1 10 100 300]

Each organization has 20 users, 5 applications and 3 groups. Prints task instances per organization and seconds per
task instance: what Airflow costs, for JumpCloud's own latency is none here.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from jumpcloud_sandbox.client import Sandbox  # noqa: E402

Json = dict[str, Any]


def small_organization(number: int) -> Json:
    users = [f"1{number:011x}{n:012x}" for n in range(20)]
    applications = [f"3{number:011x}{n:012x}" for n in range(5)]
    groups = [f"4{number:011x}{n:012x}" for n in range(3)]
    return {
        "id": f"{number + 1:024x}",
        "displayName": f"Organization {number}",
        "insights": "not_enabled",
        "users": [{"_id": one, "username": f"u{n}", "email": f"u{n}@{number}.io"} for n, one in enumerate(users)],
        "applications": [{"_id": one, "name": f"app{n}"} for n, one in enumerate(applications)],
        "usergroups": [{"id": one, "name": f"Group {n}", "type": "user_group"} for n, one in enumerate(groups)],
        "memberships": {groups[0]: users, groups[1]: users[:5]},
        "application_users": {applications[0]: users[:3]},
        "application_groups": dict.fromkeys(applications, groups[:1]),
    }


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [1, 10, 100, 300]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder, Sandbox.start({}) as sandbox:
        home = Path(folder)
        os.environ |= {
            "AIRFLOW_HOME": folder,
            "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
        }
        # Imported once Airflow has a home of its own.
        from support.airflow_server import AIRFLOW, AirflowServer

        database = home / "migrated.db"
        environment = os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}"}
        subprocess.run([AIRFLOW, "db", "migrate"], env=environment, capture_output=True, check=True)
        with AirflowServer.start(home, database, home / "data") as server:
            server.set_connection("jumpcloud_default", host=sandbox.url, password="scale-key")
            server.unpause("jumpcloud_directory")
            print(
                f"{'organizations':>13}{'task instances':>16}{'seconds':>9}{'s per organization':>20}{'s per task':>12}"
            )
            for size in sizes:
                organizations = [small_organization(number) for number in range(size)]
                keys = [{"key": "scale-key", "organizations": [one["id"] for one in organizations]}]
                sandbox.set_world(json.loads(json.dumps({"organizations": organizations, "keys": keys})))
                run = server.end_of("jumpcloud_directory", server.trigger("jumpcloud_directory"), seconds=3_600)
                assert run.state == "success", run
                seconds = (run.ended_at - run.started_at).total_seconds()
                # Beside the mapped one: list, record, report.
                instances = size + 3
                print(
                    f"{size:>13}{instances:>16}{seconds:>9.1f}{seconds / size:>20.2f}{seconds / instances:>12.2f}",
                    flush=True,
                )


if __name__ == "__main__":
    main()
