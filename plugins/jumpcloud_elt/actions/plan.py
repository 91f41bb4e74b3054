"""What one run is going to do, and to whom: resolved to ids, looked at one by one, and shown before anybody approves.

Everything that is wrong is named at once, before anything has been called. Changes nothing at JumpCloud.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import msgspec

from jumpcloud_elt.actions.approval import ask
from jumpcloud_elt.actions.filters import find_users
from jumpcloud_elt.actions.models import NO_USER, Filters, FoundUsers, Look, Plan
from jumpcloud_elt.actions.operations import Action
from jumpcloud_elt.actions.recheck import Recheck
from jumpcloud_elt.actions.request import ActionRequest
from jumpcloud_elt.actions.targets import People, match, refuse_unseen_organization, resolve_group, single
from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.listings import row_id
from jumpcloud_elt.api.user_calls import NO_MANAGER
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.core.action_names import ALWAYS_APPROVED
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.landing.action_log import ActionOutcome, Attempt, Entry, known_users


@dataclass
class _Resolved:
    """A request in ids."""

    users: list[Row]
    gone: list[str]
    fields: dict[str, Any]
    group: Row | None
    found: FoundUsers | None = None
    reason: str | None = None


def make_plan(settings: Settings, request: ActionRequest, attempt: Attempt) -> tuple[Plan, list[Entry]]:
    """Resolve a request and look at everybody it is about; return the plan, and one entry for each target.

    Raises ConfigurationError naming every target that is not one, and everybody to whom it cannot be done; of users
    found by filters these are left out instead.
    """
    with open_client(request.connection_id, settings) as client:
        problems: list[str] = []
        refuse_unseen_organization(client, request.organization_id, problems)
        _raise(problems)
        people = People(client, request.organization_id)
        resolved = _resolve(settings, client, people, request, problems)
        _raise(problems)
        group_id = row_id(resolved.group) if resolved.group else None
        action = Action(request.action, client, people, resolved.fields, group_id)
        if request.action == "create":
            entries = [_entry_of_new(action, problems)]
        else:
            entries = _look_at_all(action, resolved, settings, request.filters, problems)
        _raise(problems)
    plan = Plan(
        attempt=attempt,
        fields=resolved.fields,
        group_id=group_id,
        group_name=str(resolved.group.get("name")) if resolved.group else None,
        filters=request.filters,
        calls=sum(entry.outcome == ActionOutcome.ASKED for entry in entries),
        reason=resolved.reason,
    )
    plan.needs_approval = needs_approval(request.action, plan.calls, settings)
    if plan.needs_approval:
        asked = [msgspec.structs.asdict(entry) for entry in entries if entry.outcome == ActionOutcome.ASKED]
        plan.subject, plan.body = ask(plan, asked)
    return plan, entries


def needs_approval(action: str, calls: int, settings: Settings) -> bool:
    """Whether somebody has to approve: any deletion, and more users than configured."""
    return calls > 0 and (action in ALWAYS_APPROVED or calls > settings.actions_approval_batch_size)


def _resolve(
    settings: Settings, client: JumpCloudClient, people: People, request: ActionRequest, problems: list[str]
) -> _Resolved:
    resolved = _Resolved([], [], dict(request.fields), None)
    if request.group is not None:
        resolved.group = resolve_group(client, request.organization_id, request.group, problems)
    for name in ("manager", "cascade_manager"):
        named = resolved.fields.get(name)
        if name == "cascade_manager" and name in resolved.fields and named in (None, NO_MANAGER):
            resolved.fields[name] = NO_MANAGER
        elif named:
            found = single(people, match(people, [str(named)], 1), f"fields.{name}", problems)
            resolved.fields[name] = row_id(found[0]) if found else None
    if request.filters is not None:
        resolved.found = find_users(request.organization_id, request.filters)
        nobody = None if resolved.found.user_ids else "nobody is as the filters ask"
        resolved.reason = resolved.found.reason or nobody
        with ThreadPoolExecutor(settings.request_threads) as pool:
            users = list(pool.map(people.by_id, resolved.found.user_ids))
        resolved.users = [user for user in users if user is not None]
    else:
        matches = match(people, request.targets, settings.request_threads)
        resolved.gone = _gone(settings, people, [name for name, users in matches.items() if not users])
        there = {name: users for name, users in matches.items() if name not in resolved.gone}
        resolved.users = single(people, there, "targets", problems)
    heir = resolved.fields.get("cascade_manager")
    if heir in {row_id(user) for user in resolved.users}:
        problems.append(f"fields.cascade_manager: {heir!r} given, who is to be deleted; allowed: somebody who stays")
    return resolved


def _gone(settings: Settings, people: People, names: Sequence[str]) -> list[str]:
    """Those of `names` that were users when an action was about them: run again, that is no mistake of the caller's."""
    known = known_users(settings.landing, people.organization_id) if names else {}
    return [
        name
        for name in names
        if name.lower() in known and all(people.by_id(user_id) is None for user_id in known[name.lower()])
    ]


def _look_at_all(
    action: Action, resolved: _Resolved, settings: Settings, filters: Filters | None, problems: list[str]
) -> list[Entry]:
    still = None
    if filters is not None and resolved.found is not None and resolved.users:
        still = Recheck(action.client, action.people.organization_id, filters, resolved.found, settings)

    def look_at(user: Row) -> Look:
        look = action.look_at(user)
        return still.narrow(look, user) if still else look

    with ThreadPoolExecutor(settings.request_threads) as pool:
        looks = list(pool.map(look_at, resolved.users))
    gone = Look(ActionOutcome.REFUSED, NO_USER)
    if action.name == "delete":
        gone = Look(ActionOutcome.UNCHANGED, "has been deleted")
    entries = [Entry(target=name.lower(), outcome=gone.outcome, message=gone.message) for name in resolved.gone]
    for user, look in zip(resolved.users, looks, strict=True):
        if look.outcome == ActionOutcome.REFUSED:
            problems.append(f"targets: {label(user)} {look.message}")
        entries.append(entry_of(user, look))
    return entries


def entry_of(user: Row, look: Look) -> Entry:
    """What a look says of a user, for the record."""
    return Entry(
        target=row_id(user),
        outcome=look.outcome,
        message=look.message,
        username=_text(user.get("username")),
        email=_text(user.get("email")),
        request=look.call.describe() if look.call else None,
        is_unfinished=look.is_unfinished,
    )


def _entry_of_new(action: Action, problems: list[str]) -> Entry:
    look = action.look_at_new()
    username, email = str(action.fields["username"]), str(action.fields["email"])
    if look.outcome == ActionOutcome.REFUSED:
        problems.append(f"fields: {username!r} cannot be created: {look.message}")
    return Entry(
        target=username,
        outcome=look.outcome,
        message=look.message,
        username=username,
        email=email,
        request=look.call.describe() if look.call else None,
    )


def label(user: Row | Mapping[str, Any]) -> str:
    """A user in a message: id and user name."""
    return f"{user.get('_id') or user.get('id')} ({user.get('username') or 'no user name'})"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigurationError("Nothing was called. What was asked for cannot be done:\n- " + "\n- ".join(problems))
