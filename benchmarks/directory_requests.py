"""Requests of one directory snapshot: direct bindings joined with memberships, against walking every application.

    python -m benchmarks.directory_requests

A tenant of 5,000 users, 200 applications and 300 groups, served by the sandbox. Both ways give who can reach
which application; the walk asks JumpCloud for every pair, the join only for edges.
"""

from __future__ import annotations

import json
import os
import random
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from jumpcloud_sandbox.client import Sandbox

USERS, APPLICATIONS, GROUPS = 5_000, 200, 300
ORGANIZATION = "a" * 24
Json = dict[str, Any]


def tenant() -> Json:
    """Everybody is in six groups or so, one group holds everybody; one application in ten is everybody's."""
    chance = random.Random(1)
    users = [f"1{number:023x}" for number in range(USERS)]
    groups = [f"4{number:023x}" for number in range(GROUPS)]
    applications = [f"3{number:023x}" for number in range(APPLICATIONS)]
    memberships: dict[str, list[str]] = {group: [] for group in groups}
    memberships[groups[0]] = users
    for user in users:
        for group in chance.sample(groups[1:], 6):
            memberships[group].append(user)
    return {
        "id": ORGANIZATION,
        "displayName": "Yardstick",
        "insights": "not_enabled",
        "users": [{"_id": one, "username": f"u{n}", "email": f"u{n}@x.io"} for n, one in enumerate(users)],
        "applications": [{"_id": one, "name": f"app{n}"} for n, one in enumerate(applications)],
        "usergroups": [{"id": one, "name": f"Group {n}", "type": "user_group"} for n, one in enumerate(groups)],
        "memberships": memberships,
        "application_users": {one: chance.sample(users, chance.randrange(20)) for one in applications},
        "application_groups": {
            one: [groups[0]] if n % 10 == 0 else chance.sample(groups[1:], 3) for n, one in enumerate(applications)
        },
    }


def main() -> None:
    with (
        tempfile.TemporaryDirectory() as folder,
        Sandbox.start(
            {"organizations": [tenant()], "keys": [{"key": "key", "organizations": [ORGANIZATION]}]}
        ) as sandbox,
    ):
        os.environ["AIRFLOW_HOME"] = folder
        os.environ["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"] = folder
        connection = {"conn_type": "jumpcloud", "host": sandbox.url, "password": "key"}
        os.environ["AIRFLOW_CONN_JUMPCLOUD_DEFAULT"] = json.dumps(connection)
        # Imported once Airflow has a home of its own.
        from jumpcloud_elt.api.pagination import iter_v2_pages
        from jumpcloud_elt.connections.client import open_client
        from jumpcloud_elt.core.organization import Organization
        from jumpcloud_elt.core.settings import read_settings
        from jumpcloud_elt.extract.directory import land_directory

        settings = read_settings()
        organization = Organization(
            connection_id="jumpcloud_default",
            organization_id=ORGANIZATION,
            organization_name="Yardstick",
            payload=json.dumps({"id": ORGANIZATION}),
            error=None,
        )
        with open_client("jumpcloud_default", settings) as client:
            began = time.monotonic()
            outcomes = land_directory(client, organization, settings)
            seconds = time.monotonic() - began
            print(f"{'stream':<26}{'rows':>9}{'requests':>10}{'seconds':>9}")
            for outcome in outcomes:
                print(f"{outcome.stream:<26}{outcome.rows:>9}{outcome.requests:>10}{outcome.seconds:>9.1f}")
            edges = [
                one for one in outcomes if one.stream in ("usergroups", "usergroup_members", "application_associations")
            ]
            joined = sum(one.requests or 0 for one in edges)

            def walk(application: str) -> int:
                path = f"/api/v2/applications/{application}/users"
                pages = iter_v2_pages(lambda params: client.get(path, params, organization_id=ORGANIZATION))
                return sum(len(page.rows) for page in pages)

            requests, began = client.request_count, time.monotonic()
            applications = [f"3{number:023x}" for number in range(APPLICATIONS)]
            with ThreadPoolExecutor(settings.request_threads) as pool:
                pairs = sum(pool.map(walk, applications))
            walked, walk_seconds = client.request_count - requests, time.monotonic() - began
        print(f"\naccess by joining edges: {joined} requests (whole snapshot: {seconds:.1f} s)")
        print(f"access by walking:       {walked} requests for {pairs} pairs ({walk_seconds:.1f} s)")
        print(f"ratio:                   {walked / joined:.1f}")
        print(f"landed:                  {sum(f.stat().st_size for f in Path(folder).rglob('*.parquet')) / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
