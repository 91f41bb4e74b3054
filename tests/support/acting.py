"""A small organization whose users are acted on, and the tasks of jumpcloud_user_action in order, in this process."""

from __future__ import annotations

import contextlib
import hashlib
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_elt.core.airflow_compat import AirflowFailException, AirflowSkipException
from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.landing.action_log import read_run
from jumpcloud_elt.tasks import user_action
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json

Json = dict[str, Any]
ORGANIZATION, OTHER = "a1" * 12, "b2" * 12
STAFF, EMPTY = "c3" * 12, "c4" * 12
DAG_ID = "jumpcloud_user_action"
RUN_OF = {"dag_id": DAG_ID, "run_id": "run"}
WRITES = ("POST", "PUT", "DELETE", "PATCH")
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
DAY = timedelta(days=1)


def user_id(number: int, kind: str = "1") -> str:
    return f"{kind * 8}{number:016x}"


ADA, BOB, CYD, DAN, EVE, FAY = (user_id(number) for number in range(1, 7))
STRANGER = user_id(1, "2")
NEW = {"username": "Grace Hopper", "email": "grace@x.example", "firstname": "Grace", "department": "Navy"}
USERS = "/api/systemusers"
# For each action: params with a user whom it changes, params with one who needs no change, and the one call.
CASES: dict[str, tuple[Json, Json, tuple[str, str]]] = {
    "create": (
        {"fields": NEW},
        {"fields": {"username": "bob", "email": "BOB@x.example", "department": "Sales"}},
        ("POST", USERS),
    ),
    "activate": ({"targets": [DAN]}, {"targets": [BOB]}, ("POST", f"{USERS}/{DAN}/state/activate")),
    "suspend": ({"targets": [BOB]}, {"targets": [CYD]}, ("PUT", f"{USERS}/{BOB}")),
    "unsuspend": ({"targets": [CYD]}, {"targets": [BOB]}, ("PUT", f"{USERS}/{CYD}")),
    "update": (
        {"targets": [BOB], "fields": {"department": "Law"}},
        {"targets": [BOB], "fields": {"department": "Sales"}},
        ("PUT", f"{USERS}/{BOB}"),
    ),
    "unlock": ({"targets": [EVE]}, {"targets": [BOB]}, ("POST", f"{USERS}/{EVE}/unlock")),
    "force_password_reset": ({"targets": [BOB]}, {"targets": [ADA]}, ("POST", f"{USERS}/{BOB}/expire")),
    "reset_mfa": ({"targets": [FAY]}, {"targets": [BOB]}, ("POST", f"{USERS}/{FAY}/resetmfa")),
    "add_to_group": (
        {"targets": [BOB], "group": "Empty"},
        {"targets": [BOB], "group": "Staff"},
        ("POST", f"/api/v2/usergroups/{EMPTY}/members"),
    ),
    "remove_from_group": (
        {"targets": [BOB], "group": STAFF},
        {"targets": [BOB], "group": EMPTY},
        ("POST", f"/api/v2/usergroups/{STAFF}/members"),
    ),
    "delete": ({"targets": [BOB]}, {"targets": [BOB]}, ("DELETE", f"{USERS}/{BOB}")),
}
every_action = pytest.mark.parametrize("action", ACTIONS)


def world(**organization: Any) -> Json:
    """Ada (manager of Bob and Cyd) and Bob are active, Cyd is suspended, Dan staged, Eve locked out, Fay has TOTP."""

    def user(number: int, name: str, **more: Any) -> Json:
        return {
            "_id": user_id(number),
            "username": name,
            "email": f"{name}@x.example",
            "firstname": name.title(),
            "department": "Sales",
            "state": "ACTIVATED",
            "activated": True,
            "suspended": False,
            "account_locked": False,
            "password_expired": False,
            "totp_enabled": False,
            "created": "2024-01-02T03:04:05.678Z",
            **more,
        }

    users = [
        user(1, "ada"),
        user(2, "bob", manager=ADA),
        user(3, "cyd", manager=ADA, state="SUSPENDED", suspended=True),
        user(4, "dan", state="STAGED", activated=False),
        user(5, "eve", account_locked=True, department="Research"),
        user(6, "fay", totp_enabled=True, mfa={"configured": True, "exclusion": False}),
    ]
    own = {
        "id": ORGANIZATION,
        "displayName": "Acme",
        "users": users,
        "administrators": [{"_id": user_id(1, "9"), "email": "ada@x.example", "roleName": "Manager"}],
        "usergroups": [{"id": STAFF, "name": "Staff"}, {"id": EMPTY, "name": "Empty"}],
        "memberships": {STAFF: [ADA, BOB]},
        **organization,
    }
    stranger = {**user(1, "stranger"), "_id": STRANGER}
    return {
        "organizations": [own, {"id": OTHER, "displayName": "Other", "users": [stranger]}],
        "keys": [{"key": API_KEY, "organizations": [ORGANIZATION, OTHER], "permission": "write"}],
    }


def allow(monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox, permission: str = "read_and_act") -> None:
    """Let the connection do what its `permission` says."""
    connection = connection_json(sandbox.url, API_KEY, extra={"permission": permission})
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection)


def user_of(sandbox: Sandbox, identifier: str) -> Json | None:
    """A user as the sandbox has it, None where it has none."""
    users = sandbox.organization(ORGANIZATION)["users"]
    return next((user for user in users if user["_id"] == identifier), None)


def members_of(sandbox: Sandbox, group: str) -> list[str]:
    members: list[str] = sandbox.organization(ORGANIZATION)["memberships"].get(group, [])
    return members


def writes(sandbox: Sandbox) -> list[tuple[str, str, int | None]]:
    """Every request that asked for a change: method, path, status (None: the connection broke)."""
    return [
        (one["method"], one["path"], one["status"])
        for one in sandbox.requests()
        if one["method"] in WRITES and not one["path"].startswith("/insights/")
    ]


def params(action: str, *targets: str, **more: Any) -> Json:
    """The params of a run, as Airflow hands them on; a real one."""
    return {
        "connection_id": "jumpcloud_default",
        "organization_id": ORGANIZATION,
        "action": action,
        "targets": list(targets),
        "filters": {},
        "fields": {},
        "group": None,
        "dry_run": False,
        **more,
    }


def given(action: str, case: Json, **more: Any) -> Json:
    """The params of one of the `CASES`."""
    return {**params(action), **case, **more}


def fault_for(user: str, **do: Any) -> Json:
    """A fault of the sandbox at every `PUT` to one user."""
    return {"match": {"method": "PUT", "path_regex": f"/{user}$"}, "do": do}


class Ran:
    """A run at its end: what it recorded, and what failed where."""

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.errors: dict[str, str] = {}
        self.skipped: dict[str, str] = {}
        self.path: str | None = None
        self.planned: Json | None = None

    @property
    def rows(self) -> list[Json]:
        """Every recorded row, the oldest first."""
        return read_run(read_settings().landing, ORGANIZATION, self.run_id)

    @property
    def outcomes(self) -> dict[str | None, str]:
        """How it ended, by target."""
        return {row["target"]: row["outcome"] for row in self.rows}

    def message(self, target: str | None) -> str:
        return str([row["message"] for row in self.rows if row["target"] == target][-1])


APPROVED = {"chosen_options": ["Approve"], "responded_by_user": {"id": "olga", "name": "Olga"}}
REJECTED = {"chosen_options": ["Reject"], "responded_by_user": {"id": "olga", "name": "Olga"}}


def answer_to(planned: Json, approval: Json = APPROVED, *, ago: timedelta = timedelta()) -> Json:
    """An answer as the task `approve` leaves it: to the question of this plan, given so long ago."""
    question = hashlib.sha256(f"{planned['subject']}\n{planned['body']}".encode()).hexdigest()
    return {**approval, "question": question, "responded_at": (datetime.now(UTC) - ago).isoformat()}


def run_action(run_id: str, asked_for: Json, approval: Json | None = None, *, try_number: int = 1) -> Ran:
    """One run of jumpcloud_user_action; `approval` is the answer where one is asked for, None: nobody answers."""
    ran = Ran(run_id)
    run_of = {"dag_id": DAG_ID, "run_id": run_id}
    is_skipped = False
    answer = None

    @contextlib.contextmanager
    def task(name: str) -> Any:
        try:
            yield
        except AirflowSkipException as error:
            ran.skipped[name] = str(error)
        except AirflowFailException as error:
            ran.errors[name] = str(error)

    with task("plan_action"):
        ran.planned = user_action.plan_action(asked_for, run_of, "Anna Admin")
    if ran.planned is not None:
        ran.path = user_action.choose_path(ran.planned, "approve", "act")
        if ran.path == "approve":
            answer = answer_to(ran.planned, approval) if approval else None
            is_skipped = approval != APPROVED
        if not is_skipped:
            with task("act"):
                user_action.act(ran.planned, answer, try_number)
    with task("sync_directory"):
        user_action.sync_directory(ran.planned, run_of)
    with task("record_outcomes"):
        user_action.record_outcomes(ran.planned, answer, str(asked_for["organization_id"]), run_id)
    with task("report"):
        user_action.report(ran.planned, answer, str(asked_for["organization_id"]), run_id)
    return ran
