"""Nothing that is secret is left anywhere after all Dags have run over a world that plants it in every such field.

Searched: every byte of every file of the data root and of Airflow's home (metadata database with XCom, logs), and
every value of every Parquet file and warehouse table, which are compressed.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest
from airflow.dag_processing.dagbag import DagBag

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import NORTHWIND
from jumpcloud_sandbox.payloads import SECRET
from support.connections import connection_json
from support.worlds import DAY, TODAY

API_KEY = f"jca_{SECRET}of-the-connection"
CLIENT_SECRET = f"{SECRET}of-the-service-account"


def findings(*folders: Path) -> Iterator[str]:
    """Where the marker is found, as it is or decompressed."""
    marker = SECRET.encode()
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if not path.is_file():
                continue
            if marker in path.read_bytes():
                yield f"bytes of {path}"
            if path.suffix == ".parquet":
                metadata = pq.read_metadata(path).metadata or {}
                if marker in b"".join(metadata.values()) or SECRET in repr(pq.ParquetFile(path).read().to_pylist()):
                    yield f"values of {path}"
            if path.suffix == ".duckdb":
                with contextlib.closing(duckdb.connect(str(path), read_only=True)) as connection:
                    tables = connection.execute("select table_schema, table_name from information_schema.tables")
                    for schema, table in tables.fetchall():
                        if SECRET in repr(connection.execute(f'select * from "{schema}"."{table}"').fetchall()):
                            yield f"{schema}.{table} of {path}"


@pytest.mark.parametrize("kind", ["API key", "service account"])
def test_no_planted_secret_is_left_in_landing_warehouse_logs_xcom_or_database(
    kind: str,
    sandbox: Sandbox,
    settings: Settings,
    airflow_database: None,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    world = sandbox.world()
    everything = [one["id"] for one in world["organizations"]]
    world["keys"] = [{"key": API_KEY, "organizations": everything, "provider_id": world["providers"][0]["id"]}]
    account = {"client_id": "the-client", "client_secret": CLIENT_SECRET, "organizations": everything}
    world["service_accounts"] = [account]
    sandbox.set_world(world)
    login = {} if kind == "API key" else {"login": "the-client"}
    password = API_KEY if kind == "API key" else CLIENT_SECRET
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, password, **login))
    # A failing organization, too: what errors say is logged.
    sandbox.set_faults(
        {
            "match": {"path_regex": "/api/v2/usergroups", "organization_id": NORTHWIND},
            "do": {"status": 403, "body": {"message": f"not for {password}"}},
        }
    )
    usage = {"start": f"{TODAY - 20 * DAY:%Y-%m-%d}T00:00:00Z", "end": f"{TODAY:%Y-%m-%d}T00:00:00Z"}
    dags = DagBag(os.environ["AIRFLOW__CORE__DAGS_FOLDER"]).dags
    with caplog.at_level(logging.DEBUG):
        states = [
            str(dags[dag_id].test(run_conf=conf).state)
            for dag_id, conf in (
                ("jumpcloud_directory", {}),
                ("jumpcloud_usage", usage),
                ("jumpcloud_warehouse", {}),
            )
        ]
        sandbox.set_faults()
        states.append(str(dags["jumpcloud_directory"].test().state))
    assert states == ["failed", "success", "success", "success"]

    home = Path(os.environ["AIRFLOW_HOME"])
    with contextlib.closing(sqlite3.connect(home / "airflow.db")) as database:
        assert database.execute("select count(*) from xcom").fetchone()[0] > 0
    assert list(findings(settings.data_root, home)) == []
    assert SECRET not in caplog.text


def test_the_world_plants_a_secret_in_every_field_that_may_hold_one(sandbox: Sandbox) -> None:
    northwind = json.dumps(sandbox.organization(NORTHWIND))
    for field in ("config", "ssh_keys", "public_key", "apiKeyHash", "growthData", "changes"):
        start = northwind.index(f'"{field}"')
        assert SECRET in northwind[start : northwind.index(SECRET, start) + len(SECRET)], field
    assert northwind.count(SECRET) > 50


def test_the_search_finds_what_is_compressed(tmp_path: Path) -> None:
    import pyarrow as pa  # noqa: PLC0415

    table = pa.table({"payload": [f"{{{SECRET}}}" * 100]})
    pq.write_table(table, tmp_path / "a.parquet", compression="zstd")
    with contextlib.closing(duckdb.connect(str(tmp_path / "b.duckdb"))) as connection:
        connection.execute("create table t as select * from range(100000) r, (select ? as secret)", [SECRET])
    found = list(findings(tmp_path))
    assert f"values of {tmp_path / 'a.parquet'}" in found
    assert f"main.t of {tmp_path / 'b.duckdb'}" in found
