"""The profile fields that `create` and `update` take, and JumpCloud's rules for them. Calls nothing.

Every problem is found at once. No password, key or other secret is taken: what starts a Dag run stays in Airflow.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from jumpcloud_elt.core.redaction import SECRET_NAMES, remove_secrets

# JumpCloud's own names and lengths.
_LENGTHS = {
    "username": 30,
    "email": 254,
    "firstname": 1024,
    "middlename": 1024,
    "lastname": 1024,
    "displayname": 1024,
    "company": 1024,
    "costCenter": 1024,
    "department": 1024,
    "description": 1024,
    "employeeIdentifier": 256,
    "employeeType": 1024,
    "jobTitle": 1024,
    "location": 1024,
    "alternateEmail": 254,
    "managedAppleId": 254,
    "manager": 254,
}

PROFILE_FIELDS = tuple(_LENGTHS)
CREATE_FIELDS = (*PROFILE_FIELDS, "state")
# A user name is the name of accounts on devices, too: JumpCloud ties them to it.
UPDATE_FIELDS = tuple(name for name in PROFILE_FIELDS if name != "username")
# What no two users may share.
UNIQUE_FIELDS = ("username", "email", "employeeIdentifier")
_EMAILS = ("email", "alternateEmail", "managedAppleId")
_STATES = ("STAGED", "ACTIVATED")

# As the warehouse calls them.
_ALIASES = {
    "first_name": "firstname",
    "last_name": "lastname",
    "display_name": "displayname",
    "job_title": "jobTitle",
    "manager_id": "manager",
}

_USERNAME = re.compile(r"[A-Za-z][A-Za-z0-9._-]*")

# As mail servers take them, without quoted parts: JumpCloud sends its mails there.
_EMAIL = re.compile(
    r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)*"
    r"@([A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?\.)+[A-Za-z0-9][A-Za-z0-9-]{0,61}[A-Za-z0-9]"
)

_LOCAL_PART = 64


def shown(value: Any) -> str:
    """What was given, for a message that is kept: of an object, which may hold secrets by name, only that it is one."""
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(shown, value[:10]))}{', …' if len(value) > 10 else ''}]"
    return "an object" if isinstance(value, Mapping) else repr(value)


def read_profile(
    action: str, given: Mapping[str, Any], problems: list[str], hidden: frozenset[str] = frozenset()
) -> dict[str, str | None]:
    """The fields of a new user (`action` ``create``) or of a change (``update``), under JumpCloud's names.

    Adds to `problems` one line for everything that is missing or wrong, without the values of fields that are
    `hidden` (in lower case). Spaces in a user name become dots.
    """
    allowed = CREATE_FIELDS if action == "create" else UPDATE_FIELDS
    fields: dict[str, str | None] = {}
    for given_name, value in given.items():
        name = _ALIASES.get(given_name, given_name)
        if name not in allowed:
            problems.append(_unknown_field(action, given_name, allowed))
        elif name in fields:
            problems.append(f"fields.{given_name}: given twice, as {name} too; allowed: one of them")
        else:
            fields[name] = _read_value(action, name, value, problems, is_hidden=name.lower() in hidden)
    if action == "create":
        problems += [f"fields.{name}: missing; allowed: {_rule(name)}" for name in _missing(fields)]
    elif not given:
        problems.append(f"fields: nothing given; allowed: at least one of {', '.join(allowed)}")
    return fields


def _missing(fields: Mapping[str, Any]) -> list[str]:
    return [name for name in ("username", "email") if name not in fields]


def _unknown_field(action: str, name: str, allowed: tuple[str, ...]) -> str:
    if not remove_secrets({name: "x"}, SECRET_NAMES):
        return (
            f"fields.{name}: may not be given: Airflow keeps the params of every run, so delete this one. The user "
            "sets it from JumpCloud's e-mail"
        )
    if name == "username" and action == "update":
        return "fields.username: cannot be changed: accounts on devices bear it"
    return f"fields.{name}: unknown; allowed: {', '.join(allowed)}"


def _read_value(action: str, name: str, value: Any, problems: list[str], *, is_hidden: bool) -> str | None:
    """One field's value, checked. Null and empty clear a field of `update`; e-mails cannot be cleared."""
    if value is None or value == "":
        if action == "create" or name == "email":
            problems.append(f"fields.{name}: {shown(value)} given; allowed: {_rule(name)}")
        # Unique where it is there: JumpCloud has null in its place.
        return None if name == "employeeIdentifier" else ""
    if not isinstance(value, str):
        what = "no text" if is_hidden else shown(value)
        problems.append(f"fields.{name}: {what} given; allowed: {_rule(name)}")
        return None
    text = " ".join(value.split()) if name != "description" else value.strip()
    if name == "username":
        text = text.replace(" ", ".")
        is_right = _USERNAME.fullmatch(text) is not None
    elif name in _EMAILS:
        is_right = _EMAIL.fullmatch(text) is not None and len(text.partition("@")[0]) <= _LOCAL_PART
    elif name == "state":
        return _read_state(text, problems)
    else:
        is_right = text != "" and (text.isprintable() or name == "description")
    if not is_right or len(text) > _LENGTHS[name]:
        what = "a text" if is_hidden else repr(value if len(value) <= 60 else f"{value[:60]}…")
        problems.append(f"fields.{name}: {what} given ({len(text)} characters); allowed: {_rule(name)}")
    return text


def _read_state(text: str, problems: list[str]) -> str:
    if text.upper() not in _STATES:
        problems.append(f"fields.state: {text!r} given; allowed: {', '.join(_STATES)}")
    return text.upper()


def _rule(name: str) -> str:
    longest = _LENGTHS.get(name)
    if name == "username":
        return (
            f"at most {longest} characters (Windows devices take 20): letters a-z, digits, dots, underscores and "
            "hyphens, the first a letter, no @"
        )
    if name in _EMAILS:
        return f"an e-mail address such as ada@example.com, at most {longest} characters"
    if name == "manager":
        return "the manager's user id, user name or e-mail"
    if name == "state":
        return ", ".join(_STATES)
    return f"a text of at most {longest} characters"
