"""What a build costs when one snapshot is new, over histories of different lengths.

    python -m benchmarks.history_build

The history is what the state file hands on: closed versions are carried over as they are, and only the open
ones of the organizations that have a new snapshot are looked at.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import time
from datetime import timedelta
from pathlib import Path
from unittest import mock

import duckdb

from jumpcloud_sandbox.client import Sandbox

USERS = 2_000
KEPT = (0, 1_000_000, 5_000_000)
ORGANIZATION = "a" * 24

CLOSED_VERSIONS = """
insert into state.user_history
select
    organization_id,
    format('1{:023x}', (range % 100000)::bigint),
    'active', ['User'], false, true, 'user' || range || '@x.io', 'user' || range, 'User ' || range,
    'Department ' || range % 30, 'Engineer', null, ['All', 'Group ' || range % 50],
    timestamp '2020-01-01' + to_hours(range % 10000), timestamp '2020-01-01' + to_hours(range % 10000 + 24)
from range(?), (select ? as organization_id)
"""


def main() -> None:
    users = [{"_id": f"1{n:023x}", "username": f"u{n}", "email": f"u{n}@x.io"} for n in range(USERS)]
    organization = {"id": ORGANIZATION, "users": users, "insights": "not_enabled"}
    world = {
        "organizations": [organization],
        "keys": [{"key": "history-key", "organizations": [ORGANIZATION]}],
    }
    print(f"{'kept versions':>14}{'build seconds':>15}{'file MB':>9}")
    for kept in KEPT:
        with tempfile.TemporaryDirectory() as folder, Sandbox.start(world) as sandbox:
            os.environ["AIRFLOW_HOME"] = folder
            os.environ["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"] = folder
            connection = {"conn_type": "jumpcloud", "host": sandbox.url, "password": "history-key"}
            os.environ["AIRFLOW_CONN_JUMPCLOUD_DEFAULT"] = json.dumps(connection)
            # Imported once Airflow has a home of its own.
            from jumpcloud_elt.core.times import utc_now
            from jumpcloud_elt.tasks import common, directory, warehouse
            from jumpcloud_elt.warehouse.files import state_file_of

            def snapshot(number: int) -> None:
                run_of = {"dag_id": "jumpcloud_directory", "run_id": f"run-{number}"}
                listed = common.list_organizations([])
                for one in listed:
                    directory.extract_directory(one, run_of)
                common.record_run(listed, run_of, common.DIRECTORY, is_restricted=False)

            yesterday = utc_now() - timedelta(days=1)
            with mock.patch("jumpcloud_elt.extract.directory.utc_now", return_value=yesterday):
                snapshot(1)
            published = Path(warehouse.publish_warehouse(warehouse.check_warehouse(warehouse.build_warehouse("first"))))
            with contextlib.closing(duckdb.connect()) as connection_:
                connection_.execute(f"attach '{state_file_of(published)}' as state")
                connection_.execute(CLOSED_VERSIONS, [kept, ORGANIZATION])
            sandbox.set_world(world | {"organizations": [organization | {"users": users[:-5]}]})
            snapshot(2)
            began = time.monotonic()
            warehouse.publish_warehouse(warehouse.check_warehouse(warehouse.build_warehouse("second")))
            seconds = time.monotonic() - began
            print(f"{kept:>14,}{seconds:>15.2f}{published.stat().st_size / 1e6:>9.1f}", flush=True)


if __name__ == "__main__":
    main()
