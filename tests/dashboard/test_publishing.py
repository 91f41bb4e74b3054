"""Pages while new warehouses are published: no request fails, no publish waits, each new one is seen.

`PUBLISHES` asks for more rounds than a test run needs.
"""

from __future__ import annotations

import os
import shutil
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pytest

from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.warehouse.publish import publisher
from jumpcloud_sandbox.client import Sandbox
from support.dashboard_world import publish_demo
from support.dashboards import visitor

PUBLISHES = int(os.environ.get("PUBLISHES", "25"))
READERS = 4
LONGEST_PUBLISH_SECONDS = 2.0


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory, sandbox_process: Sandbox) -> Path:
    return publish_demo(tmp_path_factory.mktemp("publish") / "data", sandbox_process)


@pytest.mark.slow
def test_publishing_under_overlapping_requests(
    built: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow_database: None
) -> None:
    published = tmp_path / "data" / "warehouse" / "jumpcloud.duckdb"
    published.parent.mkdir(parents=True)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data"))
    shutil.copyfile(built, published)
    settings = read_settings()
    statuses: list[int] = []
    done = threading.Event()

    def read(addresses: list[str]) -> None:
        with visitor() as client:
            while not done.is_set():
                statuses.extend(client.get(address).status_code for address in addresses)

    routes = ["", "users", "applications", "access?usage=never", "usage", "users.csv"]
    seconds, unseen = [], []
    with visitor() as watcher, ThreadPoolExecutor(READERS) as pool:
        readers = [pool.submit(read, routes[number:] + routes[:number]) for number in range(READERS)]
        try:
            for number in range(PUBLISHES):
                target = published.with_name(f".next-{number}.duckdb")
                shutil.copyfile(built, target)
                day = f"20{10 + number // 28 % 80:02}-01-{number % 28 + 1:02}"
                with duckdb.connect(str(target)) as connection:
                    connection.execute("update warehouse_info set built_at = $1", [f"{day} 12:00:00"])
                began = time.perf_counter()
                publisher(settings).publish(str(target))
                seconds.append(time.perf_counter() - began)
                # The very next request shows it, whatever older ones still read: not by and by.
                if f'Data of <time datetime="{day}' not in watcher.get("").text:
                    unseen.append(number)
        finally:
            done.set()
    for reader in readers:
        reader.result()
    assert {*statuses} == {200}
    assert len(statuses) > PUBLISHES
    assert unseen == []
    assert max(seconds) < LONGEST_PUBLISH_SECONDS, "publish waited for readers"
