"""What jumpcloud_user_action records, syncs, and shows in the warehouse."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.actions import execute, operations
from jumpcloud_elt.core.airflow_compat import AirflowException, AirflowFailException, AirflowSkipException
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.landing import action_log
from jumpcloud_elt.landing.layout import run_file_name
from jumpcloud_elt.tasks import user_action
from jumpcloud_sandbox.client import Sandbox
from support.acting import (
    ADA,
    APPROVED,
    BOB,
    CYD,
    DAG_ID,
    DAN,
    EVE,
    FAY,
    ORGANIZATION,
    OTHER,
    RUN_OF,
    TODAY,
    Json,
    answer_to,
    fault_for,
    params,
    run_action,
    user_id,
    user_of,
    world,
)
from support.connections import API_KEY, connection_json
from support.pipeline import query, run_directory, run_warehouse

pytestmark = pytest.mark.usefixtures("acting")


def test_a_killed_task_leaves_the_row_that_says_it_may_have_called(
    acting: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_directory("directory")
    planned = user_action.plan_action(params("suspend", "bob", "eve"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna")

    def killed(*_: Any) -> None:
        raise SystemExit

    # As by SIGKILL: nothing that comes after the call is run, not even what would be recorded then.
    record = action_log.record
    recorded: list[Any] = []

    def only_before(settings: Settings, attempt: Any, entries: Any) -> None:
        recorded.append(entries)
        if len(recorded) == 1:
            record(settings, attempt, entries)

    monkeypatch.setattr("jumpcloud_elt.actions.execute.record", only_before)
    monkeypatch.setattr("jumpcloud_elt.actions.operations.Action.do", killed)
    with pytest.raises(SystemExit):
        user_action.act(planned, None, 1)
    rows = query(run_warehouse("warehouse"), "select target, outcome, message from user_actions order by target")
    assert [(row["target"], row["outcome"]) for row in rows] == [(BOB, "unknown"), (EVE, "unknown")]
    assert "run it again, which looks first" in rows[0]["message"]


def test_a_task_that_is_interrupted_records_whom_it_was_at(
    acting: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned = user_action.plan_action(params("suspend", "ada", "bob", "eve"), {"dag_id": DAG_ID, "run_id": "r"}, "Anna")
    at = iter(("go on", "terminated"))
    do = operations.Action.do

    def interrupted(action: Any, user: Json) -> Any:
        if next(at) == "terminated":
            raise RuntimeError("terminated")
        return do(action, user)

    monkeypatch.setattr("jumpcloud_elt.actions.operations.Action.do", interrupted)
    with pytest.raises(RuntimeError):
        user_action.act(planned, None, 1)
    rows = action_log.read_run(acting.landing, ORGANIZATION, "r")
    assert {row["target"]: row["outcome"] for row in rows} == {ADA: "done", BOB: "unknown", EVE: "skipped"}


def test_the_directory_is_synced_and_the_warehouse_shows_user_and_record(
    acting: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = run_action("first", params("suspend", "bob"))
    assert ran.errors == {} and ran.skipped == {}
    run_action("dry", params("delete", "bob", dry_run=True))
    run_action("refused", params("suspend", "nobody"))
    run_action("waiting", params("delete", "eve"), None)
    warehouse = run_warehouse("warehouse")
    (bob,) = query(warehouse, "select status, organization_id from users where user_id = ?", [BOB])
    assert bob == {"status": "suspended", "organization_id": ORGANIZATION}
    (organization,) = query(warehouse, "select sync_status, connection_id from organizations")
    assert organization == {"sync_status": "ok", "connection_id": "jumpcloud_default"}
    columns = "run_id, requested_by, action, target, username, is_dry_run, outcome, connection_id"
    rows = query(warehouse, f"select {columns} from user_actions order by requested_at")
    assert [tuple(row.values()) for row in rows] == [
        ("first", "Anna Admin", "suspend", BOB, "bob", False, "done", "jumpcloud_default"),
        ("dry", "Anna Admin", "delete", BOB, "bob", True, "planned", "jumpcloud_default"),
        ("refused", "Anna Admin", "suspend", "nobody", None, False, "refused", "jumpcloud_default"),
        ("waiting", "Anna Admin", "delete", EVE, "eve", False, "refused", "jumpcloud_default"),
    ]
    (request,) = query(warehouse, "select request from user_actions where run_id = 'waiting'")
    assert request["request"] == f'{{"method":"DELETE","path":"/api/systemusers/{EVE}"}}'


def test_every_try_has_a_row_of_its_own(acting: Settings, sandbox: Sandbox) -> None:
    run_directory("directory")
    sandbox.set_faults(fault_for(BOB, status=400, body={"message": "not now"}))
    planned = user_action.plan_action(params("suspend", "bob"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    with pytest.raises(AirflowFailException):
        user_action.act(planned, None, 1)
    sandbox.set_faults()
    assert user_action.act(planned, None, 2) == {"done": 1}
    rows = query(run_warehouse("warehouse"), "select action_id, outcome from user_actions order by recorded_at")
    first, second = rows
    assert (first["outcome"], second["outcome"]) == ("failed", "done")
    assert second["action_id"] == f"{first['action_id']}-2"


def test_a_try_that_was_lost_before_it_began_is_not_told_of_those_whom_the_next_one_acts_on(
    acting: Settings, sandbox: Sandbox
) -> None:
    run_directory("directory")
    planned = user_action.plan_action(params("delete", "bob"), {"dag_id": DAG_ID, "run_id": "run"}, "Anna Admin")
    answer = answer_to(planned)
    assert user_action.act(planned, answer, 2) == {"done": 1}
    user_action.record_outcomes(planned, answer, ORGANIZATION, "run")
    assert user_action.report(planned, answer, ORGANIZATION, "run") == "delete: 1 done"
    (row,) = query(run_warehouse("warehouse"), "select outcome, approved_by from user_actions")
    assert row == {"outcome": "done", "approved_by": "Olga"}


def test_whom_a_killed_try_did_not_come_to_is_told_as_the_next_one_ended(
    acting: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_directory("directory")
    monkeypatch.setattr(execute, "CHUNK", 2)
    planned = user_action.plan_action(params("suspend", "ada", "bob", "eve", "fay"), RUN_OF, "Anna Admin")
    record, recorded = action_log.record, []

    def killed_after_the_first(*arguments: Any) -> None:
        recorded.append(arguments)
        if len(recorded) > 1:
            raise SystemExit
        record(*arguments)

    # As by SIGKILL: the first two may have been called, of the others nothing is known.
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit):
        patch.setattr("jumpcloud_elt.actions.execute.record", killed_after_the_first)
        user_action.act(planned, None, 1)
    assert user_action.act(planned, None, 2) == {"unchanged": 2, "done": 2}
    user_action.record_outcomes(planned, None, ORGANIZATION, "run")
    assert user_action.report(planned, None, ORGANIZATION, "run") == "suspend: 2 done, 2 unchanged"
    columns = "right(action_id, 2) = '-2' as is_second, target, outcome, message"
    rows = query(run_warehouse("warehouse"), f"select {columns} from user_actions order by 1, 2")
    assert [(row["target"], row["outcome"]) for row in rows if row["is_second"]] == [
        (ADA, "unchanged"), (BOB, "unchanged"), (EVE, "done"), (FAY, "done")
    ]  # fmt: skip
    first = {row["target"]: (row["outcome"], row["message"]) for row in rows if not row["is_second"]}
    assert (first[ADA][0], first[BOB][0]) == ("unknown", "unknown")
    assert first[EVE] == first[FAY] == ("skipped", "not tried: the task ended before, and was tried again")


def test_a_plan_that_was_made_again_leaves_nobody_waiting(acting: Settings, sandbox: Sandbox) -> None:
    run_directory("directory")
    # Killed after it had recorded whom it is about; the second finds that Bob is another by now.
    user_action.plan_action(params("suspend", "bob", "eve"), RUN_OF, "Anna Admin")
    organization = sandbox.organization(ORGANIZATION)
    organization["users"][1]["username"], organization["users"][5]["username"] = "robert", "bob"
    sandbox.set_organization(organization)
    planned = user_action.plan_action(params("suspend", "bob", "eve"), RUN_OF, "Anna Admin")
    assert user_action.act(planned, None, 1) == {"done": 2}
    user_action.record_outcomes(planned, None, ORGANIZATION, "run")
    assert user_action.report(planned, None, ORGANIZATION, "run") == "suspend: 2 done"
    rows = query(run_warehouse("w"), "select target, outcome, message from user_actions order by requested_at, target")
    again = "planned again since; nothing was called"
    assert [tuple(row.values()) for row in rows] == [
        (BOB, "skipped", again), (EVE, "skipped", again), (EVE, "done", "done"), (FAY, "done", "done")
    ]  # fmt: skip


def test_a_plan_that_fails_when_it_is_made_again_leaves_nobody_waiting(sandbox: Sandbox) -> None:
    user_action.plan_action(params("suspend", "bob"), RUN_OF, "Anna Admin")
    with pytest.raises(AirflowSkipException):
        user_action.record_outcomes(None, None, ORGANIZATION, "run")
    rows = action_log.read_run(read_settings().landing, ORGANIZATION, "run")
    assert [row["outcome"] for row in rows] == ["asked", "skipped"]


def test_what_older_files_call_by_other_names_is_told_by_those_of_now(acting: Settings, sandbox: Sandbox) -> None:
    run_directory("directory")
    steps = [
        # target, outcome and message as landed; outcome of now; whether something is left
        (ADA, "already_so", "is SUSPENDED", "unchanged", False),
        (BOB, "left_out", "no longer as the filters ask: is in no such group", "skipped", False),
        (CYD, "not_done", "not tried: interrupted (SystemExit)", "skipped", True),
        (DAN, "not_done", "rejected by Olga", "refused", False),
        (EVE, "not_done", "nobody approved within 24 hours", "refused", True),
        (FAY, "failed", "PUT /api/systemusers: 400", "failed", True),
    ]
    older = pa.schema([field for field in action_log.ACTION_SCHEMA if field.name != "is_unfinished"])
    rows = [
        {
            "action_id": "1", "requested_at": TODAY, "requested_by": "Anna", **RUN_OF, "action": "suspend",
            "connection_id": "jumpcloud_default", "is_dry_run": False, "recorded_at": TODAY + timedelta(seconds=number),
            "target": target, "outcome": outcome, "message": message,
        }
        for number, (target, outcome, message, _, _) in enumerate(steps)
    ]  # fmt: skip
    folder = acting.landing / "user_actions" / f"organization_id={ORGANIZATION}"
    folder.mkdir(parents=True)
    pq.write_table(pa.Table.from_pylist(rows, schema=older), folder / f"{run_file_name('run')}_0.parquet")
    wanted = {target: outcome for target, _, _, outcome, _ in steps}
    read = action_log.read_run(acting.landing, ORGANIZATION, "run")
    assert {row["target"]: row["outcome"] for row in read} == wanted
    assert [action_log.is_unfinished(row) for row in read] == [left for *_, left in steps]
    shown = "select target, outcome from user_actions where run_id = 'run'"
    assert {row["target"]: row["outcome"] for row in query(run_warehouse("alone"), shown)} == wanted
    # Beside files of now.
    assert run_action("now", params("suspend", "bob")).outcomes == {BOB: "done"}
    assert {row["target"]: row["outcome"] for row in query(run_warehouse("beside"), shown)} == wanted


def test_the_record_is_appended_to_and_never_rewritten(acting: Settings, sandbox: Sandbox) -> None:
    folder = acting.landing / "user_actions" / f"organization_id={ORGANIZATION}"
    run_action("run", params("suspend", "bob"))
    before = {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in folder.iterdir()}
    run_action("again", params("suspend", "bob"))
    run_action("run", params("unsuspend", "bob"))
    assert {path: (path.read_bytes(), path.stat().st_mtime_ns) for path in before} == before
    assert len(list(folder.iterdir())) > len(before)


def test_an_organization_that_no_configured_connection_syncs_is_not_synced(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    extra = {"organization_ids": OTHER}
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY, extra=extra))
    acting = {"permission": "read_and_act", "organization_ids": ORGANIZATION}
    monkeypatch.setenv("AIRFLOW_CONN_ACTING", connection_json(sandbox.url, API_KEY, extra=acting))
    ran = run_action("run", params("suspend", "bob", connection_id="acting"))
    assert ran.outcomes == {BOB: "done"} and ran.errors == {}
    assert "syncs organization" in ran.skipped["sync_directory"]
    assert ran.skipped["record_outcomes"] == "Recorded; the warehouse shows it once something has been synced."


def test_a_large_deletion_is_synced_as_far_as_it_was_this_runs(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Snapshots are told apart by whole seconds.
    minutes = itertools.count()
    yesterday = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=1)
    monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda: yesterday + timedelta(minutes=next(minutes)))
    start = world()
    users = start["organizations"][0]["users"]
    users += [
        {**users[4], "_id": user_id(number), "username": f"u{number}", "email": f"u{number}@x.example"}
        for number in range(10, 50)
    ]
    sandbox.set_world(start)
    run_directory("directory")
    first = params("delete", *(user_id(number) for number in range(10, 30)))
    ran = run_action("deletion", first, APPROVED)
    assert (ran.errors, set(ran.outcomes.values())) == ({}, {"done"})
    warehouse = run_warehouse("one")
    mine = "select sync_status, sync_message from organizations where organization_id = ?"
    assert query(warehouse, mine, [ORGANIZATION]) == [{"sync_status": "ok", "sync_message": None}]
    assert query(warehouse, "select count(*) as gone from users where status = 'deleted'") == [{"gone": 20}]
    decisions = query(warehouse, "select distinct decision from sync_log where run_id = 'deletion'")
    assert decisions == [{"decision": "accepted by deletion"}]
    # Twelve more have gone, and not by this run.
    organization = sandbox.organization(ORGANIZATION)
    organization["users"] = [user for user in organization["users"] if user["_id"] < user_id(38)]
    sandbox.set_organization(organization)
    assert run_action("another", params("delete", user_id(30)), APPROVED).errors == {}
    (organization,) = query(run_warehouse("two"), mine, [ORGANIZATION])
    assert organization["sync_status"] == "held" and "13 of 26 users" in organization["sync_message"]


def test_organizations_that_cannot_be_listed_after_acting_are_listed_again(sandbox: Sandbox) -> None:
    planned = user_action.plan_action(params("suspend", "bob"), RUN_OF, "Anna Admin")
    assert user_action.act(planned, None, 1) == {"done": 1}
    unavailable = {"match": {"path_regex": "^/api/organizations"}, "do": {"status": 503}}
    sandbox.set_faults(unavailable)
    with pytest.raises(AirflowException, match=r"The users were changed, but not synced: .* 503") as raised:
        user_action.sync_directory(planned, RUN_OF)
    assert type(raised.value) is AirflowException
    unavailable["do"] = {"status": 401, "body": {"message": "Unauthorized: api key user not found"}}
    sandbox.set_faults(unavailable)
    with pytest.raises(AirflowFailException, match=r"The users were changed, but not synced: .* 401"):
        user_action.sync_directory(planned, RUN_OF)
    sandbox.set_faults()
    assert user_action.sync_directory(planned, RUN_OF) > 0


def test_a_plan_for_which_jumpcloud_could_not_be_asked_is_not_recorded_as_refused(sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"path_regex": "^/api/systemusers"}, "do": {"status": 503}})
    with pytest.raises(AirflowException, match="503") as raised:
        user_action.plan_action(params("suspend", "bob"), RUN_OF, "Anna Admin")
    assert type(raised.value) is AirflowException
    assert action_log.read_run(read_settings().landing, ORGANIZATION, "run") == []


def test_a_sync_that_fails_says_that_the_users_were_changed(sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"path_regex": "^/api/applications"}, "do": {"status": 400}})
    ran = run_action("run", params("suspend", "bob"))
    assert ran.outcomes == {BOB: "done"}
    assert "400" in ran.errors["sync_directory"]


def test_personal_fields_that_are_not_to_be_landed_are_sent_and_not_recorded(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__LAND_PERSONAL_FIELDS", "false")
    fields = {"alternateEmail": "bob@home.example", "department": "Law"}
    ran = run_action("run", params("update", "bob", fields=fields))
    assert (user_of(sandbox, BOB) or {})["alternateEmail"] == "bob@home.example"
    assert "home.example" not in repr(ran.rows) and '"department":"Law"' in ran.rows[-1]["request"]


def test_values_that_are_refused_are_not_recorded_where_they_may_hold_a_secret_or_are_personal(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    ran = run_action("nested", params("update", "bob", fields={"description": {"password": "hunter2"}}))
    assert "fields.description: an object given; allowed: a text" in ran.message("bob")
    given = {
        "targets": [{"password": "hunter2"}],
        "filters": {"group": [{"password": "hunter2"}]},
        "group": {"x": "hunter2"},
    }
    nested = run_action("nested more", {**params("suspend"), **given})
    assert "hunter2" not in repr(ran.rows) + repr(ran.errors) + repr(nested.rows) + repr(nested.errors)
    fields = {"alternateEmail": "bob at home", "middlename": ["bob at home"], "description": "bob at home \0"}
    told = run_action("kept", params("update", "bob", fields={"alternateEmail": "bob at home"})).message("bob")
    assert "'bob at home' given" in told
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__LAND_PERSONAL_FIELDS", "false")
    with caplog.at_level("INFO"):
        ran = run_action("personal", params("update", "bob", fields=fields))
        run_action("sent", params("update", "bob", fields={"alternateEmail": "bob@home.example"}))
    assert "fields.alternateEmail: a text given (11 characters); allowed: an e-mail" in ran.message("bob")
    assert "at home" not in repr(ran.rows) + repr(ran.errors)
    assert "home.example" not in caplog.text


def test_no_key_is_in_errors_logs_or_the_record(
    acting: Settings, sandbox: Sandbox, caplog: pytest.LogCaptureFixture
) -> None:
    body = {"message": f"bad key {API_KEY}"}
    sandbox.set_faults(fault_for(BOB, status=403, body=body))
    with caplog.at_level("DEBUG"):
        ran = run_action("run", params("suspend", "bob"))
    assert "bad key ***" in ran.message(BOB)
    assert API_KEY not in caplog.text + repr(ran.errors) + repr(ran.rows) + repr(ran.planned)
