"""How a landed row loses one person, by the folder of its file.

    systemusers, administrators   the person's rows keep what the marts need and is not personal
    directory_insights_events     the person's events likewise; of events about the person, what names the person goes
    user_actions                  what was done to the person loses every value that was sent
    _checkpoints                  the person's names become pseudonyms
    everything else               ids and e-mails become pseudonyms, in what is about the person user names too

Works on single rows; does not read or write files.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec

from jumpcloud_elt.core.streams import ADMINISTRATORS, DIRECTORY_STREAMS, ORGANIZATIONS, SYSTEMUSERS, Row
from jumpcloud_elt.landing.action_log import USER_ACTIONS
from jumpcloud_elt.landing.layout import CHECKPOINTS, EVENTS, RUNS
from jumpcloud_elt.privacy.pseudonyms import Pseudonyms

# Of a user's or administrator's row: what the marts read and is not personal.
_KEPT = (
    "_id", "id", "organization", "created", "manager", "state", "activated", "suspended", "account_locked",
    "password_expired", "totp_enabled", "totpEnrolled", "role", "roles", "roleName", "roleNames",
)  # fmt: skip

_KEPT_OF_OBJECTS = {
    "mfa": ("configured",),
    "mfaEnrollment": ("overallStatus",),
    "admin": ("id", "roleName", "roleNames"),
}

# What the marts read and is personal: a pseudonym stands for each value, so that histories keep their versions.
_NAMING = (
    "email", "username", "firstname", "lastname", "displayname", "department", "jobTitle", "employeeIdentifier",
    "costCenter", "company", "location",
)  # fmt: skip
_NAMING_COLUMNS = (
    "email", "username", "first_name", "last_name", "display_name", "department", "job_title", "employee_id",
    "cost_center", "company", "location",
)  # fmt: skip
_ID_COLUMNS = ("user_id", "administrator_id")
_KEPT_OF_EVENTS = ("id", "event_type", "service", "timestamp", "organization", "success", "sso_token_success")
_KEPT_OF_APPLICATIONS = ("id", "name", "display_label", "sso_type")
_ACTORS = ("initiated_by", "resource")
_ACTOR_FIELDS = ("id", "type", "username", "email")
_OBJECT_IDS = ("id", "_id", "object_id", "user_id")
_OBJECT_NAMES = ("username", "email", "name")
# Where an audit names whom something was done to.
_TARGET_COLUMNS = ("target", "username", "user_name")
# And what it says in words of its own, which may be somebody's user name.
_WORD_COLUMNS = ("action", "outcome")
# Of what was sent about the person: what is not personal.
_KEPT_OF_REQUESTS = ("state", "op", "type", "id", "manager")
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode


def rule_for(name: Path, pseudonyms: Pseudonyms) -> Callable[[Row], Row]:
    """How a row of the file `name` (relative to landing) is rewritten."""
    stream = name.parts[0]
    organization_id = pseudonyms.person.organization_id
    if stream in (SYSTEMUSERS.name, ADMINISTRATORS.name):
        rule = _erase_account
    elif stream == EVENTS:
        rule = _erase_event
    elif stream == USER_ACTIONS:
        rule = _erase_action
    elif stream == CHECKPOINTS:
        rule = _erase_state
    elif stream in (RUNS, ORGANIZATIONS.name, *(one.name for one in DIRECTORY_STREAMS)):
        rule = _erase_mentions
    else:
        rule = _erase_audit

    def erase_row(row: Row) -> Row:
        # A file that is not one organization's says of each row whose it is.
        return rule(row, pseudonyms) if row.get("organization_id", organization_id) == organization_id else row

    return erase_row


def _erase_account(row: Row, pseudonyms: Pseudonyms) -> Row:
    [key] = [name for name in _ID_COLUMNS if name in row]
    if row[key] not in pseudonyms.ids:
        return _erase_mentions(row, pseudonyms)
    payload = _decode(row["payload"])
    kept = {name: payload[name] for name in _KEPT if name in payload}
    for name, parts in _KEPT_OF_OBJECTS.items():
        value = payload.get(name)
        if isinstance(value, dict):
            kept[name] = {part: value[part] for part in parts if part in value}
    named = {name: _pseudonym(payload[name], pseudonyms) for name in _NAMING if name in payload}
    kept = _replace(kept, pseudonyms.anywhere) | named
    return {**row, key: pseudonyms.ids[row[key]], "payload": _encode(kept).decode()}


def _pseudonym(value: Any, pseudonyms: Pseudonyms) -> Any:
    if value is None:
        return None
    # The warehouse reads whatever stands there as text.
    return pseudonyms.of(value if isinstance(value, str) else _encode(value).decode())


def _erase_state(row: Row, pseudonyms: Pseudonyms) -> Row:
    if any(row.get(name) in pseudonyms.ids for name in _ID_COLUMNS):
        row = row | {name: _pseudonym(row[name], pseudonyms) for name in _NAMING_COLUMNS if name in row}
    return _erase_mentions(row, pseudonyms)


def _erase_mentions(row: Row, pseudonyms: Pseudonyms) -> Row:
    return {name: _replace_in_cell(value, pseudonyms.anywhere) for name, value in row.items()}


def _erase_audit(row: Row, pseudonyms: Pseudonyms) -> Row:
    erased = _erase_mentions(row, pseudonyms)
    if erased == row and not any(row.get(name) in pseudonyms.person.usernames for name in _TARGET_COLUMNS):
        return row
    return {
        name: erased[name]
        if name.endswith("_id") or name in _WORD_COLUMNS
        else _replace_in_cell(value, pseudonyms.about_the_person)
        for name, value in row.items()
    }


def _erase_action(row: Row, pseudonyms: Pseudonyms) -> Row:
    """A recorded action: on the person, or on somebody else."""
    target = row["target"]
    is_own = pseudonyms.names(target, None, None) or any(
        pseudonyms.names(None, name, email)
        for name, email in ((target, target), (row.get("username"), row.get("email")))
    )
    if not is_own:
        # Somebody else's row may name the person in what was said of it, or as who asked for it.
        kept = ("target", "username", "email", *_WORD_COLUMNS)
        return {
            name: value if name in kept else _replace_in_cell(value, pseudonyms.in_events)
            for name, value in row.items()
        }
    erased = {
        name: value
        if name.endswith("_id") or name in _WORD_COLUMNS
        else _replace_in_cell(value, pseudonyms.about_the_person)
        for name, value in row.items()
    }
    request = _decode(row["request"]) if row.get("request") else None
    if isinstance(request, dict) and isinstance(request.get("body"), dict):
        body = {
            name: value if name in _KEPT_OF_REQUESTS or not isinstance(value, str) else _pseudonym(value, pseudonyms)
            for name, value in request["body"].items()
        }
        request = _replace({**request, "body": body}, pseudonyms.about_the_person)
        erased["request"] = _encode(request).decode()
    return erased


def _erase_event(row: Row, pseudonyms: Pseudonyms) -> Row:
    erased = {
        name: value if name == "payload" else _replace_in_cell(value, pseudonyms.anywhere)
        for name, value in row.items()
    }
    actors = {role: tuple(row[f"{role}_{name}"] for name in ("id", "username", "email")) for role in _ACTORS}
    persons = [role for role in _ACTORS if pseudonyms.names(*actors[role])]
    for role in persons:
        names = {f"{role}_{name}" for name in ("id", "username", "email")}
        erased |= {name: _pseudonym(row[name], pseudonyms) for name in names}
    actor = "initiated_by" if any(actors["initiated_by"]) else "resource"
    payload = _decode(row["payload"])
    if actor in persons:
        rewritten = _reduce_event(payload, pseudonyms)
    else:
        rewritten = _erase_event_about(payload, pseudonyms, is_about_resource="resource" in persons)
    if rewritten != payload:
        erased["payload"] = _encode(rewritten).decode()
    return erased


def _reduce_event(event: Row, pseudonyms: Pseudonyms) -> Row:
    """The person's own event: what the marts and the view `events` read."""
    kept = {name: event[name] for name in _KEPT_OF_EVENTS if name in event}
    parts = {**dict.fromkeys(_ACTORS, _ACTOR_FIELDS), "application": _KEPT_OF_APPLICATIONS}
    for name, fields in parts.items():
        value = event.get(name)
        if isinstance(value, dict):
            kept[name] = _erase_object({field: value[field] for field in fields if field in value}, pseudonyms)
        elif name in event:
            kept[name] = None
    if event.get("error_message"):
        # Its words may name the person; that there is one tells a failure from a step of a sign-on.
        kept["error_message"] = "forgotten"
    return kept


def _erase_event_about(event: Row, pseudonyms: Pseudonyms, *, is_about_resource: bool) -> Row:
    """An event of somebody else: what names the person goes, and what was changed about them."""
    mentioned = _replace(event, pseudonyms.in_events)
    is_about = is_about_resource or mentioned != event
    erased = {
        pseudonyms.anywhere(name): value
        if name in _KEPT_OF_EVENTS
        else _erase_object(value, pseudonyms, is_about=is_about)
        for name, value in event.items()
    }
    changes = event.get("changes")
    if is_about_resource and isinstance(changes, list):
        erased["changes"] = [
            {name: change[name] for name in change if name not in ("from", "to")}
            for change in changes
            if isinstance(change, dict)
        ]
    return erased


def _erase_object(value: Any, pseudonyms: Pseudonyms, *, is_about: bool = False) -> Any:
    """A part of an event: an object that is the person keeps nothing but pseudonyms."""
    if isinstance(value, list):
        return [_erase_object(item, pseudonyms, is_about=is_about) for item in value]
    if isinstance(value, str):
        return pseudonyms.about_the_person(value) if is_about else pseudonyms.in_events(value)
    if not isinstance(value, dict):
        return value
    ids = [value[name] for name in _OBJECT_IDS if isinstance(value.get(name), str)]
    username, email = (value[name] if isinstance(value.get(name), str) else None for name in ("username", "email"))
    if any(one in pseudonyms.ids for one in ids) or (not any(ids) and pseudonyms.names(None, username, email)):
        kept = {name: value[name] for name in (*_OBJECT_IDS, "type") if name in value}
        named = {name: _pseudonym(value[name], pseudonyms) for name in _OBJECT_NAMES if name in value}
        return _replace(kept, pseudonyms.anywhere) | named
    return {
        # Another's own names are not about the person, whatever the event is.
        pseudonyms.anywhere(name): _replace(item, pseudonyms.anywhere)
        if name in ("id", "type", "username", "email")
        else _erase_object(item, pseudonyms, is_about=is_about)
        for name, item in value.items()
    }


def _replace_in_cell(value: Any, replace: Callable[[str], str]) -> Any:
    """One cell of a table; JSON text is taken apart, and stays as it was where nothing is replaced."""
    if isinstance(value, str) and value[:1] in ("{", "["):
        try:
            decoded = _decode(value)
        except msgspec.DecodeError:
            return replace(value)
        replaced = _replace(decoded, replace)
        return value if replaced == decoded else _encode(replaced).decode()
    return _replace(value, replace)


def _replace(value: Any, replace: Callable[[str], str]) -> Any:
    """Replace in every text of decoded JSON, at any depth."""
    if isinstance(value, str):
        return replace(value)
    if isinstance(value, list):
        return [_replace(item, replace) for item in value]
    if isinstance(value, Mapping):
        return {replace(key): _replace(item, replace) for key, item in value.items()}
    return value
