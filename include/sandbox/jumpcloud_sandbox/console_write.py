"""V1 and V2 console API, writing: users and group members. Needs a key with write permission.

Writes change the world but, unlike JumpCloud's, leave no events behind.
"""

from __future__ import annotations

from typing import Any

from starlette.responses import Response
from starlette.routing import Route

from jumpcloud_sandbox.calls import Call, json_response, route
from jumpcloud_sandbox.errors import bad_request, conflict, invalid_argument, not_found
from jumpcloud_sandbox.state import find
from jumpcloud_sandbox.timestamps import SECOND, format_ns
from jumpcloud_sandbox.world import Json

_STATES = ("STAGED", "ACTIVATED", "SUSPENDED")
# Never stored, or not for the caller to choose.
_NOT_KEPT = ("password", "_id", "id", "created", "organization")
_DEFAULTS: Json = {
    "account_locked": False,
    "account_locked_date": None,
    "activated": False,
    "addresses": [],
    "attributes": [],
    "company": "",
    "department": "",
    "description": "",
    "displayname": "",
    "employeeIdentifier": None,
    "firstname": "",
    "jobTitle": "",
    "lastname": "",
    "location": "",
    "mfa": {"configured": False, "exclusion": False},
    "password_expired": False,
    "phoneNumbers": [],
    "ssh_keys": [],
    "suspended": False,
    "totp_enabled": False,
}


def create_user(call: Call) -> Response:
    """A duplicate is 400 here, not 409, as the specification has it."""
    body = call.body()
    for name in ("email", "username"):
        if not isinstance(body.get(name), str) or not body[name]:
            raise invalid_argument(f"{name} is required")
    if not body["username"][0].isalpha() or set(body["username"]) & set(" @"):
        raise invalid_argument("username is invalid")
    _refuse_duplicates(call, body, None)
    defaults = call.organization["settings"].get("newSystemUserStateDefaults", {})
    start = {"state": defaults.get("manualEntry", "ACTIVATED")}
    change = start | _checked(call, body, start, _STATES)
    now = call.state.now_ns()
    taken = {user["id"] for user in call.organization["users"]}
    number = len(taken)
    while (identifier := f"{now // SECOND:08x}{number:016x}") in taken:
        number += 1
    row = _DEFAULTS | {"created": format_ns(now)} | change | {"_id": identifier, "id": identifier}
    call.organization["users"].append(row)
    return json_response(row)


def update_user(call: Call) -> Response:
    """Partial. STAGED is a state to leave, never to go back to."""
    user, body = _user(call), call.body()
    _refuse_duplicates(call, body, user)
    user.update(_checked(call, body, user, _STATES[1:]))
    return json_response(user)


def delete_user(call: Call) -> Response:
    """A manager's reports must be cleared (``cascade_manager=null``) or given to somebody else."""
    user = _user(call)
    organization = call.organization
    reports = [row for row in organization["users"] if row.get("manager") == user["id"]]
    heir = call.query.get("cascade_manager")
    if reports and heir is None:
        raise conflict("Conflict: the user is a manager of other users")
    if heir not in (None, "null") and (heir == user["id"] or find(organization["users"], str(heir)) is None):
        raise bad_request("Bad Request: cascade_manager is not another user")
    for report in reports:
        del report["manager"]
        if heir != "null":
            report["manager"] = heir
    organization["users"].remove(user)
    for edges in (organization["memberships"], organization["application_users"]):
        for key, users in edges.items():
            edges[key] = [identifier for identifier in users if identifier != user["id"]]
    return json_response(user)


def activate_user(call: Call) -> Response:
    user = _user(call)
    if user.get("state") != "STAGED":
        raise invalid_argument("only a staged user can be activated")
    user["state"] = "ACTIVATED"
    return Response()


def unlock_user(call: Call) -> Response:
    _user(call).update(account_locked=False, account_locked_date=None, badLoginAttempts=0)
    return Response()


def expire_password(call: Call) -> Response:
    _user(call)["password_expired"] = True
    return Response()


def reset_mfa(call: Call) -> Response:
    """TOTP is gone; `exclusion` gives the user some days without it."""
    user, body = _user(call), call.body()
    exclusion = {name: body[name] for name in ("exclusion", "exclusionDays", "exclusionUntil") if name in body}
    user["totp_enabled"] = False
    user["mfa"] = {"configured": False, "exclusion": False, **exclusion}
    if "mfaEnrollment" in user:
        user["mfaEnrollment"].update(totpStatus="NOT_ENROLLED", overallStatus="NOT_ENROLLED")
    return Response()


def change_members(call: Call) -> Response:
    """``{"op": "add"|"remove", "id", "type": "user"}``: 409 for a member twice, 404 for none."""
    if find(call.organization["usergroups"], call.path["id"]) is None:
        raise not_found()
    body = call.body()
    members = call.organization["memberships"].setdefault(call.path["id"], [])
    identifier = body.get("id")
    if body.get("type") != "user" or body.get("op") not in ("add", "remove"):
        raise bad_request("Bad Request: op must be add or remove, type must be user")
    if body["op"] == "add":
        if find(call.organization["users"], str(identifier)) is None:
            raise not_found()
        if identifier in members:
            raise conflict("Already Exists")
        members.append(str(identifier))
    elif identifier in members:
        members.remove(str(identifier))
    else:
        raise not_found()
    return Response(status_code=204)


def _user(call: Call) -> Json:
    user: Json | None = find(call.organization["users"], call.path["id"])
    if user is None:
        raise not_found()
    return user


def _refuse_duplicates(call: Call, body: Json, own: Json | None) -> None:
    """E-mails are told apart without regard to case; usernames exactly."""
    for user in call.organization["users"]:
        if user is own:
            continue
        same_email = str(user.get("email", "")).lower() == str(body.get("email") or "").lower()
        if (body.get("email") and same_email) or (body.get("username") and user.get("username") == body["username"]):
            raise invalid_argument("User already exists")


def _checked(call: Call, body: Json, user: Json, states: tuple[str, ...]) -> Json:
    """The fields to store, with `state` and `suspended` agreeing. Raises ApiError 400."""
    change: Json = {name: value for name, value in body.items() if name not in _NOT_KEPT}
    state, suspended = body.get("state"), body.get("suspended")
    if state is not None and state not in states:
        raise invalid_argument(f"state must be one of {', '.join(states)}")
    if state is not None and suspended is not None and suspended is not (state == "SUSPENDED"):
        raise invalid_argument("state and suspended contradict each other")
    if state is not None:
        change["suspended"] = state == "SUSPENDED"
    elif suspended:
        change["state"] = "SUSPENDED"
    elif suspended is False and user.get("state") == "SUSPENDED":
        change["state"] = "ACTIVATED"
    if "account_locked" in change and not change["account_locked"]:
        change["account_locked_date"] = None
    return change | _password(call, body.get("password"))


def _password(call: Call, password: Any) -> Json:
    """What setting a password does to the row. The password itself is not kept anywhere."""
    if password is None:
        return {}
    if not isinstance(password, str) or len(password) < 8 or password.isalnum():
        violation = {"field": "password", "description": "specialCharacter"}
        details = {
            "fieldViolationsList": [violation],
            "@type": "type.googleapis.com/google.rpc.BadRequest",
        }
        wanted = call.query.get("fullValidationDetails") == "password"
        raise invalid_argument("Password validation fail", [details] if wanted else None)
    return {"activated": True, "password_expired": False, "password_date": format_ns(call.state.now_ns())}


_USER = "/api/systemusers/{id}"
ROUTES: list[Route] = [
    route("POST", "/api/systemusers", create_user, is_write=True),
    route("PUT", _USER, update_user, is_write=True),
    route("DELETE", _USER, delete_user, is_write=True),
    route("POST", f"{_USER}/state/activate", activate_user, is_write=True),
    route("POST", f"{_USER}/unlock", unlock_user, is_write=True),
    route("POST", f"{_USER}/expire", expire_password, is_write=True),
    route("POST", f"{_USER}/resetmfa", reset_mfa, is_write=True),
    route("POST", "/api/v2/usergroups/{id}/members", change_members, is_write=True),
]
