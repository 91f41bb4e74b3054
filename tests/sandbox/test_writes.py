"""Writing: users and group members, and what the API refuses."""

from __future__ import annotations

from typing import Any

import pytest
import requests

from support.sandbox_api import ALPHA, Api, oid

USERS = "/api/systemusers"
ONE = f"{USERS}/{oid('1', 1)}"
MEMBERS = f"/api/v2/usergroups/{oid('4', 1)}/members"
NEW = {"username": "new.person", "email": "new@x.example"}


def _write(api: Api, method: str, path: str, body: Any = None, key: str = "writer") -> requests.Response:
    return api.call(method, path, key=key, json=body)


def _user(api: Api) -> dict[str, Any]:
    row: dict[str, Any] = api.get(ONE).json()
    return row


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", USERS),
        ("PUT", ONE),
        ("DELETE", ONE),
        ("POST", f"{ONE}/state/activate"),
        ("POST", f"{ONE}/unlock"),
        ("POST", f"{ONE}/expire"),
        ("POST", f"{ONE}/resetmfa"),
        ("POST", MEMBERS),
    ],
)
def test_a_key_that_may_only_read_is_refused(api: Api, method: str, path: str) -> None:
    before = api.sandbox.world()
    assert _write(api, method, path, {}, key="single").status_code == 403
    assert api.sandbox.world() == before


def test_a_created_user_is_listed(api: Api) -> None:
    created = _write(api, "POST", USERS, NEW | {"state": "STAGED", "password": "c0rrect-horse"}).json()
    assert api.get(f"{USERS}/{created['_id']}").json() == created
    assert (created["state"], created["activated"]) == ("STAGED", True)
    assert "password" not in created
    assert api.get(USERS).json()["totalCount"] == 251


def test_the_default_state_is_the_organizations(api: Api) -> None:
    settings = {"newSystemUserStateDefaults": {"manualEntry": "STAGED"}}
    api.sandbox.set_organization(api.sandbox.organization(ALPHA) | {"settings": settings})
    assert _write(api, "POST", USERS, NEW).json()["state"] == "STAGED"


@pytest.mark.parametrize(
    "body",
    [
        {"username": "new"},
        NEW | {"email": "USER1@x.example"},
        NEW | {"username": "user001"},
        NEW | {"username": "1st"},
        NEW | {"state": "SUSPENDED", "suspended": False},
        NEW | {"state": "GONE"},
    ],
)
def test_users_that_cannot_be_created_are_400(api: Api, body: dict[str, Any]) -> None:
    answer = _write(api, "POST", USERS, body)
    assert answer.status_code == 400
    assert answer.json()["status"] == "INVALID_ARGUMENT"


def test_a_refused_password_is_explained_when_asked(api: Api) -> None:
    path = f"{USERS}?fullValidationDetails=password"
    details = _write(api, "POST", path, NEW | {"password": "plain"}).json()["details"]
    assert details[0]["fieldViolationsList"][0]["field"] == "password"


def test_state_and_suspended_follow_each_other(api: Api) -> None:
    assert _write(api, "PUT", ONE, {"state": "SUSPENDED"}).json()["suspended"] is True
    assert _write(api, "PUT", ONE, {"suspended": False}).json()["state"] == "ACTIVATED"
    assert _write(api, "PUT", ONE, {"state": "STAGED"}).status_code == 400
    assert _write(api, "PUT", ONE, {"state": "ACTIVATED", "suspended": True}).status_code == 400
    assert _user(api)["state"] == "ACTIVATED"


def test_only_staged_users_are_activated(api: Api) -> None:
    identifier = _write(api, "POST", USERS, NEW | {"state": "STAGED"}).json()["_id"]
    path = f"{USERS}/{identifier}/state/activate"
    assert _write(api, "POST", path, {}).status_code == 200
    assert api.get(f"{USERS}/{identifier}").json()["state"] == "ACTIVATED"
    assert _write(api, "POST", path, {}).status_code == 400


def test_unlock_expire_and_reset_mfa(api: Api) -> None:
    _write(api, "PUT", ONE, {"account_locked": True, "totp_enabled": True})
    assert _write(api, "POST", f"{ONE}/unlock").status_code == 200
    assert _write(api, "POST", f"{ONE}/expire").status_code == 200
    assert _write(api, "POST", f"{ONE}/resetmfa", {"exclusion": True, "exclusionDays": 3}).status_code == 200
    user = _user(api)
    assert (user["account_locked"], user["password_expired"], user["totp_enabled"]) == (False, True, False)
    assert user["mfa"] == {"configured": False, "exclusion": True, "exclusionDays": 3}


def test_a_deleted_user_leaves_the_list_and_the_graph(api: Api) -> None:
    path = f"{USERS}/{oid('1', 5)}"
    assert _write(api, "DELETE", path).json()["_id"] == oid("1", 5)
    assert api.get(path).status_code == 404
    assert _write(api, "DELETE", path).status_code == 404
    assert api.get(MEMBERS).json() == []


def test_a_manager_is_deleted_only_with_word_on_the_reports(api: Api) -> None:
    report = f"{USERS}/{oid('1', 2)}"
    _write(api, "PUT", report, {"manager": oid("1", 1)})
    assert _write(api, "DELETE", ONE).status_code == 409
    assert _write(api, "DELETE", f"{ONE}?cascade_manager={oid('9', 9)}").status_code == 400
    assert _write(api, "DELETE", f"{ONE}?cascade_manager={oid('1', 3)}").status_code == 200
    assert api.get(report).json()["manager"] == oid("1", 3)
    assert _write(api, "DELETE", f"{USERS}/{oid('1', 3)}?cascade_manager=null").status_code == 200
    assert "manager" not in api.get(report).json()


def test_members_are_added_and_removed_once(api: Api) -> None:
    def change(op: str, user: str = oid("1", 9)) -> requests.Response:
        return _write(api, "POST", MEMBERS, {"op": op, "type": "user", "id": user})

    assert change("add").status_code == 204
    again = change("add")
    assert (again.status_code, again.json()) == (409, {"message": "Already Exists"})
    assert api.get(MEMBERS).headers["x-total-count"] == "2"
    assert change("remove").status_code == 204
    assert change("remove").status_code == 404
    assert change("add", oid("9", 9)).status_code == 404
    assert change("replace").status_code == 400
