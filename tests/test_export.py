"""Exports from the command line: each data set in each format, whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import stat
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.export import EXPORTS, main
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND
from support.dashboard_world import FORMULA, publish_demo
from support.pipeline import query

FIELDS = [
    "id", "email", "firstName", "lastName", "status", "externalStatus", "roles", "lastUsedDate", "licenses",
]  # fmt: skip
TABLES = {"users": "users", "applications": "applications", "access": "application_users"}


@pytest.fixture(scope="module")
def warehouse(tmp_path_factory: pytest.TempPathFactory, sandbox_process: Sandbox) -> Path:
    return publish_demo(tmp_path_factory.mktemp("export") / "data", sandbox_process)


def run(warehouse: Path, *arguments: str) -> int:
    return main([*arguments, "--warehouse", str(warehouse)])


@pytest.mark.parametrize("dataset", EXPORTS)
def test_every_row_is_written_as_csv_and_parquet(warehouse: Path, tmp_path: Path, dataset: str) -> None:
    keys = {"users": ["user_id"], "applications": ["application_id"], "access": ["application_id", "user_id"]}[dataset]
    columns = ", ".join(["organization_id", *keys])
    wanted = sorted(tuple(row.values()) for row in query(warehouse, f"select {columns} from {TABLES[dataset]}"))
    for form in ("csv", "parquet"):
        file = tmp_path / f"out.{form}"
        assert run(warehouse, dataset, "--format", form, "--output", str(file)) == 0
        if form == "csv":
            rows = list(csv.DictReader(io.StringIO(file.read_text(encoding="utf-8"))))
        else:
            rows = pq.read_table(file).to_pylist()
        assert [tuple(row[name] for name in ["organization_id", *keys]) for row in rows] == wanted
        assert [path.name for path in tmp_path.iterdir()] == [file.name], "nothing is left beside it"
        file.unlink()


@pytest.mark.parametrize("dataset", EXPORTS)
def test_each_row_says_of_which_time_it_speaks(warehouse: Path, tmp_path: Path, dataset: str) -> None:
    file = tmp_path / "out.parquet"
    assert run(warehouse, dataset, "--format", "parquet", "--output", str(file)) == 0
    organizations = query(warehouse, "select organization_id, usage_from, usage_until from organizations")
    known = {row["organization_id"]: (row["usage_from"], row["usage_until"]) for row in organizations}
    rows = pq.read_table(file).to_pylist()
    assert {(None, None)} < {(row["usage_from"], row["usage_until"]) for row in rows}
    for row in rows:
        assert (row["usage_from"], row["usage_until"]) == known[row["organization_id"]]
        if dataset == "access":
            assert row["had_access_before"] is (row["access"] != "none" and row["access_since"] is None)


def test_the_import_format_has_its_fields_and_no_other(warehouse: Path, tmp_path: Path) -> None:
    file = tmp_path / "users.json"
    assert run(warehouse, "users", "--format", "saas-import", "--output", str(file)) == 0
    imported = {row["id"]: row for row in json.loads(file.read_text(encoding="utf-8"))}
    users = {row["user_id"]: row for row in query(warehouse, "select * from users")}
    names = query(
        warehouse,
        "select user_id, list(name) as names from application_users inner join applications "
        "using (organization_id, application_id) where access <> 'none' and is_listed group by user_id",
    )
    licences = {row["user_id"]: sorted({*row["names"]}) for row in names}
    assert imported.keys() == users.keys()
    assert len(json.loads(file.read_text(encoding="utf-8"))) == len(users)
    for user_id, user in users.items():
        row = imported[user_id]
        assert list(row) == FIELDS
        used = user["last_used_at"]
        assert row == {
            "id": user_id,
            "email": user["email"],
            "firstName": user["first_name"],
            "lastName": user["last_name"],
            "status": "deleted" if user["status"] == "deleted" else "active",
            "externalStatus": user["status"],
            "roles": user["roles"],
            "lastUsedDate": used.strftime("%Y-%m-%dT%H:%M:%SZ") if used else None,
            "licenses": licences.get(user_id, []),
        }


def test_somebody_of_several_organizations_is_imported_once(warehouse: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.duckdb"
    shutil.copyfile(warehouse, own)
    own.chmod(0o644)
    shared = query(
        own,
        "select * from users inner join application_users using (organization_id, user_id) "
        "where access <> 'none' and users.organization_id = $1 order by user_id limit 1",
        [NORTHWIND],
    )[0]["user_id"]
    with duckdb.connect(str(own)) as connection:
        connection.execute(
            "insert into users select * replace ($1 as organization_id, 'deleted' as status, ['Elsewhere'] as roles, "
            "timestamp '2030-01-02 03:04:05' as last_used_at) from users where user_id = $2",
            [BLUE_YONDER, shared],
        )
    files = [tmp_path / "once.json", tmp_path / "again.json"]
    for file in files:
        assert run(own, "users", "--format", "saas-import", "--output", str(file)) == 0
    assert files[0].read_bytes() == files[1].read_bytes()
    rows = json.loads(files[0].read_text(encoding="utf-8"))
    assert len({row["id"] for row in rows}) == len(rows)
    (row,) = (one for one in rows if one["id"] == shared)
    assert row["status"] == "active"
    assert row["externalStatus"] != "deleted"
    assert row["lastUsedDate"] == "2030-01-02T03:04:05Z"
    assert "Elsewhere" in row["roles"]
    assert row["licenses"]


def test_text_and_times_are_as_they_are(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(warehouse, "users", "--organization", NORTHWIND) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert FORMULA in {row["display_name"] for row in rows}, "a tool, not a spreadsheet, reads this"
    used = {row["user_id"]: row["last_used_at"] for row in query(warehouse, "select user_id, last_used_at from users")}
    for row in rows:
        assert (row["last_used_at"] or None) == (
            f"{used[row['user_id']].isoformat()}Z" if row["last_used_at"] else None
        )
        assert not row["last_used_at"] or datetime.fromisoformat(row["last_used_at"])


def test_one_organization_only(warehouse: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(warehouse, "applications", "--organization", BLUE_YONDER) == 0
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["organization_id"] for row in rows} == {BLUE_YONDER}
    assert {row["users_never_used"] for row in rows} == {""}, "not known is not 0"


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["access", "--format", "saas-import"], "--format: saas-import given; allowed for applications and access"),
        (["users", "--organization", "nobody"], f"--organization: 'nobody' given; allowed: {NORTHWIND}"),
        (["groups"], "invalid choice: 'groups'"),
    ],
)
def test_what_cannot_be_exported_is_refused_by_name(
    warehouse: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], complaint: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        run(warehouse, *arguments)
    assert ended.value.code == 2
    assert complaint in capsys.readouterr().err


def test_an_export_that_fails_leaves_the_file_before_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "users.csv"
    file.write_text("before")
    assert main(["users", "--output", str(file), "--warehouse", str(tmp_path / "nothing.duckdb")]) == 1
    assert file.read_text() == "before"
    assert "There is no warehouse" in capsys.readouterr().err


def test_a_link_stays_one_and_what_is_no_file_is_written_to(warehouse: Path, tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    target, link, pipe = tmp_path / "there" / "users.csv", tmp_path / "link.csv", tmp_path / "pipe"
    link.symlink_to(target)
    assert run(warehouse, "users", "--output", str(link)) == 0
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8").startswith("organization_name,")
    os.mkfifo(pipe)
    with ThreadPoolExecutor(1) as pool:
        read = pool.submit(pipe.read_bytes)
        assert run(warehouse, "users", "--format", "parquet", "--output", str(pipe)) == 0
        assert read.result().startswith(b"PAR1")
    assert stat.S_ISFIFO(pipe.stat().st_mode)
