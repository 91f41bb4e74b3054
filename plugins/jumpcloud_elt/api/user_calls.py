"""The calls that change users, as data: method, path, query and body. Makes none of them.

A dry run shows them, the record of an action keeps them, and the client makes them: each is written down once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from jumpcloud_elt.core.redaction import remove_secrets

USERS_PATH = "/api/systemusers"
NO_MANAGER = "null"  # as `cascade_manager`: the reports have none afterwards


@dataclass(frozen=True)
class Call:
    """One request to the console API. `answers_json` is False where a success says nothing that is read."""

    method: str
    path: str
    body: Mapping[str, Any] | None = None
    params: Mapping[str, str] | None = None
    answers_json: bool = False

    def describe(self) -> dict[str, Any]:
        """The request for a log or a record, without secrets."""
        parts = {"method": self.method, "path": self.path, "params": self.params, "body": self.body}
        described: dict[str, Any] = remove_secrets({name: part for name, part in parts.items() if part})
        return described


def create(fields: Mapping[str, Any]) -> Call:
    return Call("POST", USERS_PATH, fields, {"fullValidationDetails": "password"}, answers_json=True)


def update(user_id: str, fields: Mapping[str, Any]) -> Call:
    return Call("PUT", f"{USERS_PATH}/{user_id}", fields, answers_json=True)


def suspend(user_id: str) -> Call:
    return update(user_id, {"state": "SUSPENDED"})


def unsuspend(user_id: str) -> Call:
    return update(user_id, {"state": "ACTIVATED"})


def activate(user_id: str, email: bool | str | None = None) -> Call:
    return Call("POST", f"{USERS_PATH}/{user_id}/state/activate", {} if email is None else {"email": email})


def unlock(user_id: str) -> Call:
    return Call("POST", f"{USERS_PATH}/{user_id}/unlock")


def expire_password(user_id: str) -> Call:
    return Call("POST", f"{USERS_PATH}/{user_id}/expire")


def reset_mfa(user_id: str, exclusion_days: int | None = None) -> Call:
    body = {} if exclusion_days is None else {"exclusion": True, "exclusionDays": exclusion_days}
    return Call("POST", f"{USERS_PATH}/{user_id}/resetmfa", body)


def delete(user_id: str, cascade_manager: str | None = None) -> Call:
    params = None if cascade_manager is None else {"cascade_manager": cascade_manager}
    return Call("DELETE", f"{USERS_PATH}/{user_id}", params=params)


def change_member(group_id: str, user_id: str, op: str) -> Call:
    """`op` is ``add`` or ``remove``."""
    body = {"op": op, "type": "user", "id": user_id}
    return Call("POST", f"/api/v2/usergroups/{group_id}/members", body)
