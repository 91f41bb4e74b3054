"""Forgetting a person: nothing of them is left, every count stays, nobody else is touched."""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.models.renderedtifields import RenderedTaskInstanceFields
from airflow.models.xcom import XComModel
from airflow.utils.session import create_session
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import select

from jumpcloud_elt.core.airflow_compat import AirflowFailException, AirflowSkipException
from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.host import private_folder
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.landing import action_log
from jumpcloud_elt.landing.files import read_metadata
from jumpcloud_elt.landing.snapshots import fingerprint_of
from jumpcloud_elt.privacy.people import Person
from jumpcloud_elt.privacy.pseudonyms import Forgetting, Pseudonyms
from jumpcloud_elt.tasks import forget, warehouse
from jumpcloud_elt.warehouse import checkpoints
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json
from support.evolving import ORGANIZATIONS, object_id
from support.forgetting import (
    ADMINISTRATOR,
    EMAILS,
    IDENTIFIERS,
    NEIGHBOURS,
    ORGANIZATION,
    OTHER_ORGANIZATION,
    SECOND_ADMINISTRATOR,
    USER,
    USERNAME,
    WorldWithPerson,
    forgotten_ids,
    landed_rows,
    marts_without_person,
    traces_in_landing,
    traces_in_warehouse,
)
from support.paths import ODD_FOLDERS, ROOT
from support.pipeline import query, run_directory, run_usage, run_warehouse
from support.writers import writing

pytestmark = pytest.mark.slow

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
DAY = timedelta(days=1)
STEPS = 5
START = TODAY - STEPS * DAY
PERSON = (USER, ADMINISTRATOR, SECOND_ADMINISTRATOR)

Json = dict[str, Any]


def land(sandbox: Sandbox, seed: int) -> None:
    """Snapshots and events of a world in which the person is there in three of `STEPS`; and a warehouse."""
    world = WorldWithPerson(seed)
    with pytest.MonkeyPatch.context() as patch:
        for step in range(STEPS):
            now = START + step * DAY
            world.advance(now)
            sandbox.set_world(world.world())
            patch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda now=now: now)
            assert run_directory(f"directory-{step}", accept_drop=[*ORGANIZATIONS]) == []
    assert run_usage("usage", START, TODAY) == []
    run_warehouse("before")


@pytest.fixture(scope="module")
def landed(sandbox_process: Sandbox, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Settings]:
    """A data root with a person who is gone, landed once and never to be changed."""
    sandbox_process.reset()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path_factory.mktemp("landed") / "data"))
        patch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox_process.url, API_KEY))
        land(sandbox_process, seed=3)
        settings = read_settings()
    content = contents(settings.data_root)
    yield settings
    # What the tests change are hard links of these: nothing may be written in place.
    assert contents(settings.data_root) == content


@pytest.fixture
def copy(landed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """That data root once more, for one test. Its files are hard links."""
    shutil.copytree(landed.data_root, tmp_path / "data", copy_function=os.link)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data"))
    return read_settings()


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def params(target: str, organization_id: str = ORGANIZATION, *, dry_run: bool = False) -> Json:
    return {"organization_id": organization_id, "target": target, "dry_run": dry_run}


def run_forget(run_id: str, target: str, organization_id: str = ORGANIZATION) -> Json:
    """One run of jumpcloud_forget; returns what was rewritten."""
    given = params(target, organization_id)
    forget.find_person(given)
    found = forget.forget_person(given, {"dag_id": "jumpcloud_forget", "run_id": run_id}, "Olga Operator")
    run_warehouse(f"{run_id}-warehouse")
    forget.finish_forgetting(given)
    return dict(found)


def assert_forgotten(settings: Settings, before: Path) -> None:
    """Nothing is left of the person, and all else is as in the warehouse `before`."""
    assert traces_in_landing(settings.landing) == []
    assert traces_in_warehouse(settings.warehouse) == []
    assert traces_in_landing(settings.rollups) == []
    for file in (path for path in settings.warehouse.parent.rglob("*") if path.is_file()):
        content = file.read_bytes()
        assert not [one for one in PERSON if one.encode() in content], file
    assert not (settings.landing / "_forgetting").exists()
    ids = forgotten_ids(settings.warehouse)
    assert marts_without_person(settings.warehouse, ids) == marts_without_person(before, PERSON)


def test_the_world_has_what_is_to_be_forgotten(landed: Settings) -> None:
    found = {identifier for _, identifier in traces_in_landing(landed.landing)}
    assert found == set(IDENTIFIERS)
    files = {path.split("/")[0] for path, _ in traces_in_landing(landed.landing)}
    assert files >= {"systemusers", "administrators", "usergroups", "usergroup_members", "application_associations",
                     "directory_insights_events"}  # fmt: skip
    tables = {table for table, _ in traces_in_warehouse(landed.warehouse)}
    assert tables >= {"users", "user_history", "access_history", "usage_daily", "application_users", "events"}
    versions = query(landed.warehouse, "select * from user_history where user_id = ?", [USER])
    assert len(versions) == 4


@pytest.mark.parametrize("target", [USER, USERNAME, EMAILS[2], EMAILS[0].upper(), ADMINISTRATOR])
def test_nothing_of_the_person_is_left_and_every_count_stays(target: str, landed: Settings, copy: Settings) -> None:
    found = run_forget("forget", target)
    assert (found["users"], found["administrators"]) == (1, 2)
    assert_forgotten(copy, landed.warehouse)


def test_what_builds_carry_on_and_what_was_set_aside_goes_before_anything_is_built(
    landed: Settings, copy: Settings
) -> None:
    state = copy.warehouse.parent / "state"
    assert sorted(path.name for path in state.iterdir()) == ["jumpcloud.duckdb", "last_good-jumpcloud.duckdb"]
    unit = next(copy.landing.glob(f"directory_insights_events/organization_id={ORGANIZATION}/*/*.parquet"))
    aside = [unit.with_name(f"{unit.name}.damaged"), copy.landing / "_runs" / "x.parquet.damaged"]
    other = copy.landing / "systemusers" / f"organization_id={OTHER_ORGANIZATION}" / "x.parquet.damaged"
    for path in (*aside, other):
        path.write_bytes(b"half a file")
    forget.forget_person(params(USER), {"dag_id": "jumpcloud_forget", "run_id": "forget"}, "Olga")
    assert list(state.iterdir()) == []
    assert [path.exists() for path in (*aside, other)] == [False, False, True]


def test_a_world_in_which_names_meet_keeps_every_row_of_everybody_else(sandbox: Sandbox, settings: Settings) -> None:
    land(sandbox, seed=11)
    before = settings.data_root / "before.duckdb"
    shutil.copyfile(settings.warehouse, before)
    others = marts_without_person(before, PERSON)
    run_forget("forget", USER)
    assert traces_in_landing(settings.landing) == []
    assert traces_in_warehouse(settings.warehouse) == []
    assert marts_without_person(settings.warehouse, forgotten_ids(settings.warehouse)) == others


def test_rows_of_others_are_landed_as_they_were(landed: Settings, copy: Settings) -> None:
    def rows(settings: Settings, stream: str, key: str) -> list[Json]:
        return [
            row
            for path, row in landed_rows(settings.landing / stream)
            if row[key] in NEIGHBOURS and f"organization_id={ORGANIZATION}" in str(path)
        ]

    run_forget("forget", USER)
    [user] = forgotten_ids_of_type(copy, "user")
    before, after = rows(landed, "systemusers", "user_id"), rows(copy, "systemusers", "user_id")
    assert len(after) == len(before) == STEPS * len(NEIGHBOURS)
    for old, new in zip(before, after, strict=True):
        assert json.loads(new["payload"]) == json.loads(old["payload"].replace(USER, user))
    events = {row["event_id"]: row for _, row in landed_rows(copy.landing / "directory_insights_events")}
    for _, row in landed_rows(landed.landing / "directory_insights_events"):
        if row["initiated_by_id"] in NEIGHBOURS and row["event_type"] == "user_login_attempt":
            assert events[row["event_id"]] == row


def forgotten_ids_of_type(settings: Settings, account_type: str) -> list[str]:
    rows = query(settings.warehouse, "select user_id from users where account_type = ?", [account_type])
    return [row["user_id"] for row in rows if row["user_id"] in forgotten_ids(settings.warehouse)]


def test_what_is_known_of_the_person_becomes_one_pseudonym_everywhere(landed: Settings, copy: Settings) -> None:
    run_forget("forget", USER)
    [user] = forgotten_ids_of_type(copy, "user")
    [row] = query(copy.warehouse, "select * from users where user_id = ?", [user])
    [old] = query(landed.warehouse, "select * from users where user_id = ?", [USER])
    names = ("email", "username", "first_name", "last_name", "display_name", "department", "job_title", "employee_id")
    assert all("forgotten-" in row[name].lower() for name in names)
    assert row["job_title"] == row["display_name"]
    assert {name: row[name] for name in row if name not in (*names, "user_id")} == {
        name: old[name] for name in old if name not in (*names, "user_id")
    }
    history = "select valid_from, valid_to from user_history where user_id = ? order by all"
    assert query(copy.warehouse, history, [user]) == query(landed.warehouse, history, [USER])
    members = {row["user_id"] for _, row in landed_rows(copy.landing / "usergroup_members")}
    assert user in members and USER not in members


def test_what_stays_of_the_persons_own_rows_is_no_more_than_marts_need(copy: Settings) -> None:
    run_forget("forget", USER)
    [user] = forgotten_ids_of_type(copy, "user")
    payloads = [
        json.loads(row["payload"]) for _, row in landed_rows(copy.landing / "systemusers") if row["user_id"] == user
    ]
    assert len(payloads) == 3
    for payload in payloads:
        assert payload.keys() == {
            "_id", "id", "email", "username", "firstname", "lastname", "displayname", "department", "jobTitle",
            "manager", "state", "activated", "totp_enabled", "created", "admin", "employeeIdentifier",
        }  # fmt: skip
        assert payload["_id"] == payload["id"] == user
        assert payload["manager"] == next(iter(NEIGHBOURS))
        assert payload["admin"]["roleName"] == "Help Desk"
    own = [
        json.loads(row["payload"])
        for _, row in landed_rows(copy.landing / "directory_insights_events")
        if user in (row["initiated_by_id"], row["resource_id"])
    ]
    by = [event for event in own if event["event_type"] != "user_update"]
    assert len(by) == 3 * 3
    for event in by:
        assert event.keys() <= {"id", "event_type", "service", "timestamp", "organization", "success",
                                "sso_token_success", "initiated_by", "resource", "application"}  # fmt: skip
    about = [event for event in own if event["event_type"] == "user_update"]
    assert [event["changes"] for event in about] == 3 * [
        [{"field": "email"}, {"field": "addresses"}, {"field": "displayname"}]
    ]
    assert all(event["resource"].keys() == {"id", "type", "username", "email"} for event in about)


def test_a_dry_run_changes_no_byte_and_tells_no_name(copy: Settings, caplog: pytest.LogCaptureFixture) -> None:
    before = contents(copy.data_root)
    with caplog.at_level(logging.DEBUG):
        found = forget.find_person(params(EMAILS[0], dry_run=True))
        with pytest.raises(AirflowSkipException, match="dry_run is true"):
            forget.forget_person(params(EMAILS[0], dry_run=True), {"dag_id": "f", "run_id": "r"}, "Olga")
    assert contents(copy.data_root) == before
    assert found["files"] > 10 and found["rows"] > found["files"]
    assert not [one for one in IDENTIFIERS if one.lower() in caplog.text.lower()]
    assert all(isinstance(value, int) for value in found.values())


def test_a_dry_run_counts_what_is_then_rewritten(copy: Settings) -> None:
    found = forget.find_person(params(USER, dry_run=True))
    assert run_forget("forget", USER) == found


@pytest.mark.parametrize(
    ("target", "organization_id", "message"),
    [
        ("nobody", ORGANIZATION, "target: 'nobody' given; nobody in organization a+ has ever had that"),
        ("", ORGANIZATION, "target: '' given; nobody in organization"),
        (USER, "c" * 24, f"organization_id: '{'c' * 24}' given; allowed: an organization of which something"),
        (USER, OTHER_ORGANIZATION, f"target: '{USER}' given; nobody in organization b+ "),
        ("zoë", ORGANIZATION, r"target: 'zoë' given, who is still in the snapshot of .* \(systemusers\)"),
        (object_id("f", 11), ORGANIZATION, f"target: '{object_id('f', 11)}' given, who is still in"),
    ],
)
def test_a_target_that_cannot_be_forgotten_is_refused(
    target: str, organization_id: str, message: str, copy: Settings
) -> None:
    before = contents(copy.data_root)
    for dry_run in (True, False):
        with pytest.raises(AirflowFailException, match=message):
            forget.find_person(params(target, organization_id, dry_run=dry_run))
    with pytest.raises(AirflowFailException, match=message):
        forget.forget_person(params(target, organization_id), {"dag_id": "f", "run_id": "r"}, "Olga")
    assert contents(copy.data_root) == before


class Killed(BaseException):
    """The task's process is gone."""


@pytest.mark.parametrize("files", [0, 1, 5, 12])
def test_a_run_that_was_killed_is_finished_by_running_it_again(
    files: int, landed: Settings, copy: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    left = iter(range(files))
    put = FolderPath.put

    def put_until_killed(path: FolderPath, temporary: Path) -> None:
        if path.suffix == ".parquet" and next(left, None) is None:
            raise Killed
        put(path, temporary)

    with monkeypatch.context() as patch:
        patch.setattr(FolderPath, "put", put_until_killed)
        with pytest.raises(Killed):
            run_forget("killed", EMAILS[0])
    assert len(list((copy.landing / "_forgetting").iterdir())) == 1
    assert traces_in_landing(copy.landing)
    run_forget("again", USERNAME)
    assert_forgotten(copy, landed.warehouse)


def test_a_run_that_was_killed_before_the_warehouse_was_published_is_finished_too(
    landed: Settings, copy: Settings
) -> None:
    forget.forget_person(params(USER), {"dag_id": "jumpcloud_forget", "run_id": "killed"}, "Olga")
    assert traces_in_warehouse(copy.warehouse)
    assert run_forget("again", USER)["rows"] == 0
    assert_forgotten(copy, landed.warehouse)


def test_what_lands_meanwhile_fails_the_run_and_is_forgotten_by_the_next(landed: Settings, copy: Settings) -> None:
    units = sorted((copy.landing / "directory_insights_events").rglob("*.parquet"))
    unit = next(path for path in units if f"organization_id={ORGANIZATION}" in str(path))
    landed_again = unit.read_bytes()
    forget.forget_person(params(USER), {"dag_id": "jumpcloud_forget", "run_id": "first"}, "Olga")
    unit.unlink()
    unit.write_bytes(landed_again)
    with pytest.raises(AirflowFailException, match=r"\d+ rows in 1 files of the person have landed"):
        forget.finish_forgetting(params(USER))
    run_forget("again", USER)
    assert_forgotten(copy, landed.warehouse)


def test_roll_ups_go_with_the_person_and_what_an_older_build_still_writes_is_never_read(
    landed: Settings, copy: Settings
) -> None:
    """They name people as events do."""
    assert traces_in_landing(landed.rollups)
    (older,) = copy.rollups.iterdir()
    aside = older.rename(copy.data_root / "aside")
    forget.forget_person(params(USER), {"dag_id": "jumpcloud_forget", "run_id": "forget"}, "Olga")
    assert list(copy.rollups.iterdir()) == []
    # As a build does that began before.
    aside.rename(older)
    assert traces_in_landing(copy.rollups)
    built = warehouse.check_warehouse(warehouse.build_warehouse("build"))
    assert traces_in_landing(copy.rollups) == []
    warehouse.publish_warehouse(built)
    (newer,) = copy.rollups.iterdir()
    shutil.copytree(newer, older)
    forget.finish_forgetting(params(USER))
    assert list(copy.rollups.iterdir()) == [newer]
    assert_forgotten(copy, landed.warehouse)


def test_a_warehouse_that_was_being_built_meanwhile_is_not_published(copy: Settings) -> None:
    built = warehouse.build_warehouse("meanwhile")
    aside = Path(built).rename(copy.data_root / "aside")
    forget.forget_person(params(USER), {"dag_id": "jumpcloud_forget", "run_id": "forget"}, "Olga")
    aside.rename(built)
    with pytest.raises(AirflowFailException, match="landed files were rewritten meanwhile"):
        warehouse.publish_warehouse(warehouse.check_warehouse(built))
    assert not Path(built).exists()
    run_warehouse("next")
    assert traces_in_warehouse(copy.warehouse) == []


def test_another_organization_is_not_touched_whatever_it_shares(landed: Settings, copy: Settings) -> None:
    run_forget("forget", EMAILS[2])
    parts = (f"organization_id={OTHER_ORGANIZATION}",)
    for path in sorted(copy.landing.rglob("*.parquet")):
        if path.relative_to(copy.landing).parts[1:2] == parts:
            assert path.samefile(landed.landing / path.relative_to(copy.landing))
    with pytest.raises(AirflowFailException, match="still in the snapshot"):
        forget.find_person(params(EMAILS[2], OTHER_ORGANIZATION))


def test_files_keep_their_metadata_their_order_and_their_twins(landed: Settings, copy: Settings) -> None:
    run_forget("forget", USER)
    users = sorted((copy.landing / "systemusers" / f"organization_id={ORGANIZATION}").rglob("*.parquet"))
    rewritten = 0
    for path in sorted((copy.landing).rglob("*.parquet")):
        name = path.relative_to(copy.landing)
        if name.parts[0] == "_runs":
            continue
        old, new = read_metadata(landed.landing / name), read_metadata(path)
        rewritten += not path.samefile(landed.landing / name)
        assert {**old, "fingerprint": None} == {**new, "fingerprint": None}
        table = pq.ParquetFile(path).read()
        assert table.schema.equals(pq.ParquetFile(landed.landing / name).schema_arrow)
        if "fingerprint" in new:
            assert new["fingerprint"] == fingerprint_of(table)
    assert rewritten > 10
    for path in users:
        ids = pq.ParquetFile(path).read(columns=["user_id"])["user_id"].to_pylist()
        assert ids == sorted(ids)


def test_files_that_are_one_stay_one(landed: Settings, copy: Settings) -> None:
    folder = Path("application_associations", f"organization_id={ORGANIZATION}")
    first, *_, last = sorted((copy.landing / folder).rglob("*.parquet"))
    last.unlink()
    os.link(first, last)
    forget.forget_person(params(USER), {"dag_id": "jumpcloud_forget", "run_id": "forget"}, "Olga")
    assert first.samefile(last)
    assert not first.samefile(landed.landing / first.relative_to(copy.landing))


def test_a_snapshot_of_a_checkpoint_is_forgotten_like_any_other(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    land(sandbox, seed=5)
    before = settings.data_root / "before.duckdb"
    shutil.copyfile(settings.warehouse, before)
    others = marts_without_person(before, PERSON)
    assert checkpoints.prune_landed_snapshots(replace(settings, snapshot_retention_days=3)) > 0
    assert "_checkpoints" in {path.split("/")[0] for path, _ in traces_in_landing(settings.landing)}
    run_forget("forget", EMAILS[0])
    assert traces_in_landing(settings.landing) == []
    assert traces_in_warehouse(settings.warehouse) == []
    assert marts_without_person(settings.warehouse, forgotten_ids(settings.warehouse)) == others


def test_an_audit_of_actions_loses_the_person_and_keeps_the_rest(copy: Settings) -> None:
    rows = [
        {"action_id": "1", "organization_id": ORGANIZATION, "target": EMAILS[1], "message": f"{USERNAME}: done"},
        {"action_id": "2", "organization_id": ORGANIZATION, "target": USERNAME, "message": f'{{"id": "{USER}"}}'},
        {"action_id": "3", "organization_id": ORGANIZATION, "target": "zoë", "message": "done"},
        {"action_id": "4", "organization_id": OTHER_ORGANIZATION, "target": USERNAME, "message": "done"},
    ]
    path = copy.landing / "user_actions" / "actions.parquet"
    path.parent.mkdir()
    pq.write_table(pa.Table.from_pylist(rows), path)
    run_forget("forget", USER)
    assert traces_in_landing(copy.landing) == []
    after = pq.ParquetFile(path).read().to_pylist()
    assert after[2:] == rows[2:]
    assert [row["action_id"] for row in after] == ["1", "2", "3", "4"]
    assert all("forgotten-" in row["target"].lower() for row in after[:2])


def test_a_record_of_actions_on_the_person_keeps_everything_but_the_person(landed: Settings, copy: Settings) -> None:
    attempt = action_log.Attempt(
        action_id="1", requested_at=TODAY, requested_by="Olga Operator", dag_id="jumpcloud_user_action", run_id="run",
        connection_id="jumpcloud_default", organization_id=ORGANIZATION, action="update", is_dry_run=False,
    )  # fmt: skip
    neighbour_id, (email, username) = next(iter(NEIGHBOURS.items()))
    body = {"firstname": "Zoë", "displayname": "Wizard", "department": "Département Ω", "state": "STAGED"}
    own = action_log.Entry(
        target=USER, username=USERNAME, email=EMAILS[1], outcome="done", message=f"done, as user {USER}",
        request={"method": "PUT", "path": f"/api/systemusers/{USER}", "body": {**body, "manager": neighbour_id}},
    )  # fmt: skip
    created = msgspec.structs.replace(own, target=USERNAME, message=f"{USERNAME} exists")
    refused = action_log.Entry(target=EMAILS[0].upper(), outcome="refused", message=f"targets: {EMAILS[0]!r} given")
    other = action_log.Entry(
        target=neighbour_id, username=username, email=email, outcome="done", message="done",
        request={"path": f"/api/systemusers/{neighbour_id}", "body": {"department": "Law", "manager": USER}},
    )  # fmt: skip
    told = msgspec.structs.replace(other, message=f"beside {EMAILS[2]} and {USERNAME}.", request=None)
    for organization_id in (ORGANIZATION, OTHER_ORGANIZATION):
        for number, entry in enumerate((own, created, refused, other, told)):
            one = msgspec.structs.replace(attempt, action_id=str(number), organization_id=organization_id)
            action_log.record(copy, one, [entry])
    by_others = msgspec.structs.replace(attempt, action_id="9", requested_by=EMAILS[0], approved_by=USERNAME)
    action_log.record(copy, by_others, [msgspec.structs.replace(other, request=None)])
    before = _recorded(copy, ORGANIZATION), _recorded(copy, OTHER_ORGANIZATION)
    run_forget("forget", USER)
    assert traces_in_landing(copy.landing) == [] and traces_in_warehouse(copy.warehouse) == []
    after = _recorded(copy, ORGANIZATION)
    assert _recorded(copy, OTHER_ORGANIZATION) == before[1]
    kept = ("action_id", "requested_at", "run_id", "connection_id", "action", "is_dry_run", "outcome", "recorded_at")
    assert [[row[name] for name in kept] for row in after] == [[row[name] for name in kept] for row in before[0]]
    new_id = after[0]["target"]
    assert new_id != USER and after[0]["username"] == after[1]["target"] == after[1]["username"]
    assert all("forgotten-" in after[0][name].lower() for name in ("username", "email"))
    request = json.loads(after[0]["request"])
    assert (request["method"], request["path"]) == ("PUT", f"/api/systemusers/{new_id}")
    assert set(request["body"]) == {*body, "manager"}
    assert (request["body"]["state"], request["body"]["manager"]) == ("STAGED", neighbour_id)
    # Of somebody else nothing changes but who the person is.
    others_body = json.loads(after[3]["request"])["body"]
    assert others_body == {"department": "Law", "manager": new_id}
    assert (after[3]["target"], after[3]["username"], after[3]["email"]) == (neighbour_id, username, email)
    assert "Olga Operator" in {row["requested_by"] for row in after}


def _recorded(settings: Settings, organization_id: str) -> list[Json]:
    folder = settings.landing / "user_actions" / f"organization_id={organization_id}"
    rows = [row for path in folder.glob("*.parquet") for row in pq.ParquetFile(path).read().to_pylist()]
    return sorted(rows, key=lambda row: str(row["action_id"]))


def test_the_record_says_who_had_it_done_and_how_much_it_was_and_not_of_whom(landed: Settings, copy: Settings) -> None:
    found = run_forget("forget", USERNAME)
    [record] = query(copy.warehouse, "select * from sync_log where dag_id = 'jumpcloud_forget'")
    assert record["reason"] == (
        f"{found['rows']} rows in {found['files']} files rewritten to forget one person, by Olga Operator"
    )
    assert (record["organization_id"], record["outcome"], record["rows"]) == (ORGANIZATION, "ok", found["rows"])
    assert record["connection_id"] == "jumpcloud_default"
    others = "select * from sync_log where dag_id <> 'jumpcloud_forget' order by all"
    assert query(copy.warehouse, others) == query(landed.warehouse, others)


def test_what_killed_tasks_have_left_goes_and_what_is_being_written_stays(copy: Settings) -> None:
    landing, host = Path(str(copy.landing)), private_folder()
    places = [landing / "systemusers" / f"organization_id={ORGANIZATION}" / "snapshot_at=x" / "systemusers.parquet"]
    places += [landing / "_runs" / "jumpcloud_usage" / ".run.parts" / "x.json", landing / "_notifications" / "x.json"]
    places += [copy.rollups / "v1" / "x.parquet", copy.warehouse, host / "x.parquet"]  # type: ignore[list-item]
    built, spilt = (copy.warehouse.with_name(f".killed.duckdb{suffix}") for suffix in ("", ".spill"))
    spilt.mkdir()
    for path in (built, spilt / "x"):
        path.write_text(USER)
    with ExitStack() as stack:
        killed = [stack.enter_context(writing(place, USER)) for place in places]
        for writer in killed:
            writer.kill()
        alive = stack.enter_context(writing(places[0], "half a file"))
        assert all(writer.temporary.read_text() == USER for writer in killed)
        run_forget("forget", USER)
        assert [one for one in (*(writer.temporary for writer in killed), built, spilt) if one.exists()] == []
        assert alive.temporary.read_text() == "half a file"


def test_a_writer_that_is_killed_while_somebody_is_forgotten_leaves_nothing_either(copy: Settings) -> None:
    given = params(USER)
    with writing(Path(str(copy.landing)) / "systemusers" / "x.parquet", USER) as writer:
        forget.forget_person(given, {"dag_id": "jumpcloud_forget", "run_id": "forget"}, "Olga Operator")
        assert writer.temporary.exists()
        writer.kill()
    run_warehouse("forgotten")
    forget.finish_forgetting(given)
    assert not writer.temporary.exists()


def test_a_person_is_forgotten_under_folders_of_any_name(
    landed: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / ODD_FOLDERS / "data"
    shutil.copytree(landed.data_root, root, copy_function=os.link)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(root))
    run_forget("forget", USER)
    assert_forgotten(read_settings(), landed.warehouse)


def test_a_name_that_two_users_have_had_is_refused_with_their_ids(copy: Settings) -> None:
    first, second = _share_names(copy)
    for target in ("shared", "shared@x.example", "SHARED@x.example"):
        with pytest.raises(AirflowFailException, match=f"2 users .* allowed: one of their ids: {first}, {second}$"):
            forget.find_person(params(target))


def test_one_of_two_users_of_a_name_is_forgotten_by_id_and_the_other_keeps_it(copy: Settings) -> None:
    first, second = _share_names(copy)
    users = copy.landing / "systemusers"
    before = [row for _, row in landed_rows(users) if row["user_id"] == second]
    forget.forget_person(params(first), {"dag_id": "jumpcloud_forget", "run_id": "forget"}, "Olga")
    after = [row for _, row in landed_rows(users)]
    assert [row for row in after if row["user_id"] == second] == before
    assert "Onlyfirst" not in repr(after) and first not in repr(after)


def _share_names(settings: Settings) -> tuple[str, str]:
    """Two users of an earlier snapshot who have an e-mail and a user name in common."""
    path = min((settings.landing / "systemusers" / f"organization_id={ORGANIZATION}").rglob("*.parquet"))
    table = pq.ParquetFile(path).read()
    ids = "f" * 23 + "1", "f" * 23 + "2"
    names = {"email": "Shared@x.example", "username": "shared"}
    rows = [
        {**table.to_pylist()[0], "user_id": one, "payload": json.dumps({"_id": one, **names, "firstname": first})}
        for one, first in zip(ids, ("Onlyfirst", "Other"), strict=True)
    ]
    path.unlink()
    pq.write_table(pa.concat_tables([table, pa.Table.from_pylist(rows, schema=table.schema)]), path)
    return ids


def test_an_administrator_who_is_still_there_is_refused(copy: Settings) -> None:
    folder = copy.landing / "administrators" / f"organization_id={ORGANIZATION}"
    first, *_, last = sorted(folder.rglob("*.parquet"))
    last.unlink()
    os.link(first, last)
    with pytest.raises(AirflowFailException, match=r"who is still in the snapshot of .* \(administrators\)"):
        forget.find_person(params(USER))


def test_somebody_whom_only_events_name_is_forgotten_too(copy: Settings) -> None:
    stranger = object_id("8", 8)
    assert stranger in repr(list(landed_rows(copy.landing)))
    assert run_forget("forget", stranger)["users"] == 1
    files = (copy.landing / "directory_insights_events" / f"organization_id={ORGANIZATION}").rglob("*.parquet")
    assert stranger not in repr([pq.ParquetFile(path).read().to_pylist() for path in files])


def test_identifiers_are_found_whatever_escapes_they_are_written_with(copy: Settings) -> None:
    unit = max((copy.landing / "directory_insights_events" / f"organization_id={ORGANIZATION}").rglob("*.parquet"))
    table = pq.ParquetFile(unit).read()
    payloads = [
        f'{{"id": "1", "by": "{USER}", "n": 1.50}}',
        r'{"id": "2", "note": "zo\u00eb.o\"hara, Zo\u00EB.O\u0027Hara@x.example", "n": 1.50}',
        r'{"id": "3", "\u0066' + USER[1:] + '": {}, "n": 1.50}',
        r'{"id": "4", "note": "\u00e9 is nobody", "n": 1.50}',
    ]
    template = table.to_pylist()[0] | {
        name: None for name in table.column_names if name.startswith(("initiated", "resource"))
    }
    rows = [{**template, "event_id": str(number), "payload": text} for number, text in enumerate(payloads)]
    unit.unlink()
    pq.write_table(pa.Table.from_pylist(rows, schema=table.schema), unit)
    forget.forget_person(params(USER), {"dag_id": "jumpcloud_forget", "run_id": "forget"}, "Olga")
    assert traces_in_landing(copy.landing) == []
    after = pq.ParquetFile(unit).read()["payload"].to_pylist()
    assert after[3] == payloads[3]
    assert all("forgotten-" in text for text in after[1:2]) and all('"n":1.50' in text for text in after[:3])


def pseudonyms_of(**names: tuple[str, ...]) -> Pseudonyms:
    return Pseudonyms(Forgetting.of(Person(organization_id=ORGANIZATION, **names)))


@pytest.mark.parametrize(
    "text",
    ["ana@x.io", "ANA@X.IO", "<ana@x.io>", "mail ana@x.io.", "mailto:ana@x.io?x=1", "'ana@x.io'", "a/ana@x.io,b",
     "é ana@x.io"],
)  # fmt: skip
def test_an_email_is_found_where_it_stands_alone(text: str) -> None:
    replaced = pseudonyms_of(emails=("ana@x.io",)).anywhere(text)
    assert "ana@x.io" not in replaced.lower() and "forgotten" in replaced.lower()


@pytest.mark.parametrize(
    "text",
    ["diana@x.io", "d'ana@x.io", "a.ana@x.io", "a+ana@x.io", "é-ana@x.io", "ana@x.io.uk", "ana@x.iota",
     "ana@x.io-y.org", "éana@x.io"],
)  # fmt: skip
def test_an_email_is_not_found_within_another(text: str) -> None:
    assert pseudonyms_of(emails=("ana@x.io",)).anywhere(text) == text


def test_a_user_name_that_is_an_ordinary_word_is_replaced_only_where_the_text_is_about_the_person() -> None:
    pseudonyms = pseudonyms_of(usernames=("sales", "ana.lo-pez"))
    assert pseudonyms.in_events("sales of ana.lo-pezes, sales") == "sales of ana.lo-pezes, sales"
    assert "ana.lo-pez" not in pseudonyms.in_events("sales: ana.lo-pez.")
    about = pseudonyms.about_the_person("sales, wholesales, ana.lo-pez-laptop")
    assert "wholesales" in about and not about.startswith("sales") and "ana.lo-pez" not in about


names = st.text(min_size=1, max_size=12)


@given(first=names, last=names, other=names)
def test_pseudonyms_are_equal_as_their_texts_are_and_are_put_together_like_them(
    first: str, last: str, other: str
) -> None:
    pseudonyms = pseudonyms_of(usernames=(first,))
    assert pseudonyms.of(f"{first} {last}") == f"{pseudonyms.of(first)} {pseudonyms.of(last)}"
    assert (pseudonyms.of(first) == pseudonyms.of(other)) == (first == other)


@given(first=st.emails(), second=st.emails())
def test_emails_that_differ_in_case_alone_have_pseudonyms_that_do_too(first: str, second: str) -> None:
    pseudonyms = pseudonyms_of(emails=(first,))
    for one, other in ((first, second), (first, first.upper()), (first, first.title())):
        found = pseudonyms.of(one), pseudonyms.of(other)
        assert (found[0] == found[1]) == (one == other)
        assert (found[0].lower() == found[1].lower()) == (one.lower() == other.lower())


def test_the_ids_that_stand_for_the_persons_keep_their_order() -> None:
    ids = tuple(f"{number:024x}" for number in range(9))
    pseudonyms = pseudonyms_of(user_ids=ids)
    assert sorted(ids, key=pseudonyms.of) == list(ids)
    assert all(re.fullmatch("[0-9a-f]{24}", pseudonyms.of(one)) for one in ids)


@pytest.mark.usefixtures("airflow_database")
def test_the_dag_forgets_only_when_told_to_and_leaves_no_name_in_what_its_tasks_hand_on(
    landed: Settings, copy: Settings
) -> None:
    dag = DagBag(ROOT / "dags" / "jumpcloud_forget.py").dags["jumpcloud_forget"]
    before = contents(copy.data_root)
    dry = dag.test(run_conf={"organization_id": ORGANIZATION.upper(), "target": f" {EMAILS[0]} "})
    assert dry.state == "success"
    states = {task.task_id: task.state for task in dry.get_task_instances()}
    assert states == {"find_person": "success"} | dict.fromkeys(
        ("forget_person", "build", "check", "publish", "finish", "report_failures"), "skipped"
    )
    assert contents(copy.data_root) == before
    real = dag.test(run_conf=params(EMAILS[0]), logical_date=datetime.now(UTC))
    assert {task.state for task in real.get_task_instances()} == {"success"}
    assert_forgotten(copy, landed.warehouse)
    with create_session() as session:
        kept = [json.dumps(one.value) for one in session.scalars(select(XComModel))]
        kept += [json.dumps(one.rendered_fields) for one in session.scalars(select(RenderedTaskInstanceFields))]
    assert not [one for one in IDENTIFIERS for text in kept if one.lower() in text.lower()]
