"""What somebody asked for, read from the params of a run and checked: every problem is named at once.

Asks nobody but Airflow for the connection. Whom the targets name, `targets` finds out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from jumpcloud_elt.actions.models import FILTERED_STATUSES, Filters
from jumpcloud_elt.actions.profile import UNIQUE_FIELDS, read_profile, shown
from jumpcloud_elt.connections.client import open_account
from jumpcloud_elt.core.account import ORGANIZATION_ID, Account
from jumpcloud_elt.core.action_names import ACTIONS, GROUP_ACTIONS
from jumpcloud_elt.core.redaction import PERSONAL_NAMES
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import ConfigurationError

DAYS = 3650

# What `fields` may hold for the actions that take no profile.
_OPTIONS = {
    "activate": {
        "email": "true or false (whether JumpCloud sends its activation e-mail), or the address to send it to",
    },
    "reset_mfa": {"exclusionDays": "a whole number of days from 1 to 365 in which no second factor is needed"},
    "delete": {
        "cascade_manager": "null (reports of a deleted manager have none afterwards), or the next manager's user id, "
        "user name or e-mail",
    },
}


@dataclass(frozen=True)
class ActionRequest:
    """One action on one or more users, as asked for.

    `fields` is the profile of `create` and `update`, or the action's options; `targets` are as given.
    """

    connection_id: str
    organization_id: str
    action: str
    targets: tuple[str, ...] = ()
    filters: Filters | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    group: str | None = None
    is_dry_run: bool = True


def read_request(params: Mapping[str, Any], settings: Settings) -> ActionRequest:
    """Return what the params ask for; raise one ConfigurationError that names everything that is wrong with them."""
    problems: list[str] = []
    action = params.get("action")
    if action not in ACTIONS:
        problems.append(f"action: {shown(action)} given; allowed: {', '.join(ACTIONS)}")
    organization_id = _organization_id(params.get("organization_id"), problems)
    connection_id = _connection_id(params.get("connection_id"), settings, problems)
    account = _account(connection_id, settings, problems) if connection_id else None
    if account and account.organization_ids and organization_id and organization_id not in account.organization_ids:
        problems.append(
            f"organization_id: {organization_id!r} given; allowed by Organization ids of connection "
            f"{connection_id!r}: {', '.join(account.organization_ids)}"
        )
    targets = _targets(params.get("targets"), problems)
    filters = _filters(params.get("filters"), settings, problems)
    _check_whom(action, targets, filters, problems)
    hidden = frozenset() if settings.land_personal_fields else PERSONAL_NAMES
    fields = _fields(action, params.get("fields"), targets, filters, problems, hidden)
    group = _group(action, params.get("group"), problems)
    is_dry_run = params.get("dry_run", True)
    if not isinstance(is_dry_run, bool):
        problems.append(f"dry_run: {shown(is_dry_run)} given; allowed: true or false")
    if problems:
        raise ConfigurationError("Nothing was called. What was asked for cannot be done:\n- " + "\n- ".join(problems))
    return ActionRequest(
        connection_id=connection_id,
        organization_id=organization_id,
        action=str(action),
        targets=targets,
        filters=filters,
        fields=fields,
        group=group,
        is_dry_run=bool(is_dry_run),
    )


def _organization_id(given: Any, problems: list[str]) -> str:
    text = given.strip() if isinstance(given, str) else ""
    if not ORGANIZATION_ID.fullmatch(text):
        problems.append(f"organization_id: {shown(given)} given; allowed: one id of 24 hexadecimal digits")
    return text.lower()


def _connection_id(given: Any, settings: Settings, problems: list[str]) -> str:
    if given is None or given == "":
        if len(settings.connections) == 1:
            return settings.connections[0]
        problems.append(f"connection_id: nothing given; allowed: one of {', '.join(settings.connections)}")
        return ""
    if not isinstance(given, str):
        problems.append(
            f"connection_id: {shown(given)} given; allowed: the id of an Airflow connection of type JumpCloud"
        )
        return ""
    return given.strip()


def _account(connection_id: str, settings: Settings, problems: list[str]) -> Account | None:
    """The connection, which must allow actions."""
    try:
        account = open_account(connection_id)
    except ConfigurationError as error:
        problems.append(f"connection_id: {error}")
        return None
    if not account.may_act:
        problems.append(
            f"connection_id: {connection_id!r} given, whose Permission is {account.permission}; allowed: a connection "
            "with Permission read_and_act (Admin > Connections)"
        )
    return account


def _targets(given: Any, problems: list[str]) -> tuple[str, ...]:
    if given is None:
        return ()
    if not isinstance(given, list):
        problems.append(f"targets: {shown(given)} given; allowed: a list of user ids, user names or e-mails")
        return ()
    texts = [one.strip() for one in given if isinstance(one, str)]
    wrong = [one for one in given if not isinstance(one, str) or not one.strip() or len(one) > 1024]
    if wrong:
        problems.append(f"targets: {', '.join(map(shown, wrong))} given; allowed: user ids, user names or e-mails")
    return tuple(dict.fromkeys(filter(None, texts)))


def _filters(given: Any, settings: Settings, problems: list[str]) -> Filters | None:
    if given is None or given == {}:
        return None
    if not isinstance(given, Mapping):
        problems.append(
            f"filters: {shown(given)} given; allowed: an object with {', '.join(Filters.__struct_fields__)}"
        )
        return None
    values: dict[str, Any] = {}
    for name, value in given.items():
        if name not in Filters.__struct_fields__:
            problems.append(f"filters.{name}: unknown; allowed: {', '.join(Filters.__struct_fields__)}")
        elif name == "unused_days":
            if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= DAYS:
                problems.append(f"filters.unused_days: {shown(value)} given; allowed: a whole number from 1 to {DAYS}")
            values[name] = value
        else:
            values[name] = _texts(f"filters.{name}", value, problems)
    for name, allowed in (("status", FILTERED_STATUSES), ("lifecycle", ("current", "past"))):
        wrong = [one for one in values.get(name, ()) if one not in allowed]
        if wrong:
            problems.append(f"filters.{name}: {', '.join(map(repr, wrong))} given; allowed: {', '.join(allowed)}")
    return Filters(**values)


def _texts(name: str, given: Any, problems: list[str]) -> tuple[str, ...]:
    """One text, or a list of them of which any will do."""
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not texts or not all(isinstance(one, str) and one.strip() for one in texts):
        problems.append(f"{name}: {shown(given)} given; allowed: a text, or a list of texts of which any will do")
        return ()
    return tuple(one.strip() for one in texts)


def _check_whom(action: Any, targets: Sequence[str], filters: Filters | None, problems: list[str]) -> None:
    if action == "create":
        if targets or filters:
            problems.append("targets, filters: given; allowed: neither: fields says who is created")
    elif targets and filters:
        problems.append("targets, filters: both given; allowed: one of them")
    elif not targets and not filters:
        problems.append(
            "targets: nothing given; allowed: a list of user ids, user names or e-mails, or filters instead"
        )


def _fields(
    action: Any,
    given: Any,
    targets: Sequence[str],
    filters: Filters | None,
    problems: list[str],
    hidden: frozenset[str],
) -> dict[str, Any]:
    if given is None:
        given = {}
    if not isinstance(given, Mapping):
        problems.append('fields: no object given; allowed: an object such as {"department": "Sales"}')
        return {}
    if action in ("create", "update"):
        fields = read_profile(action, given, problems, hidden)
        shared = [name for name in UNIQUE_FIELDS if fields.get(name)]
        if action == "update" and shared and (filters or len(targets) > 1):
            problems.append(
                f"fields.{', fields.'.join(shared)}: given for more than one user; allowed: with one target only"
            )
        return dict(fields)
    options = _OPTIONS.get(str(action), {})
    problems += [
        f"fields.{name}: not taken by {action}; allowed: {', '.join(options) or 'nothing'}"
        for name in given
        if name not in options
    ]
    known = {name: given[name] for name in given if name in options}
    for name, value in known.items():
        is_right = {
            "email": isinstance(value, bool) or (isinstance(value, str) and "@" in value),
            "exclusionDays": isinstance(value, int) and not isinstance(value, bool) and 1 <= value <= 365,
            "cascade_manager": value is None or (isinstance(value, str) and bool(value.strip())),
        }[name]
        if not is_right:
            problems.append(f"fields.{name}: {shown(value)} given; allowed: {options[name]}")
    return known


def _group(action: Any, given: Any, problems: list[str]) -> str | None:
    if given is not None and not isinstance(given, str):
        problems.append(f"group: {shown(given)} given; allowed: the id or the name of a user group")
        return None
    text = (given or "").strip()
    if action in GROUP_ACTIONS and not text:
        problems.append(f"group: nothing given; allowed with {action}: the id or the name of a user group")
    if action in ACTIONS and action not in GROUP_ACTIONS and text:
        problems.append(f"group: {text!r} given; allowed with {', '.join(GROUP_ACTIONS)} only")
    return text or None
