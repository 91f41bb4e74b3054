"""Does what a plan says, user by user: looks again, records that it is about to call, calls, records how it ended.

One who is not done does not keep the others from being done. Does not resolve anybody: whom the plan names, and
nobody else, is acted on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from jumpcloud_elt.action_log import (
    ALREADY_SO,
    ASKED,
    FAILED,
    LEFT_OUT,
    NOT_DONE,
    REFUSED,
    STARTED,
    UNKNOWN,
    Attempt,
    Entry,
    record,
)
from jumpcloud_elt.action_plan import Plan
from jumpcloud_elt.actions import Action, Look
from jumpcloud_elt.errors import ConfigurationError, CredentialError, JumpCloudError, ResponseError, TransientError
from jumpcloud_elt.filters import Filters, FoundUsers, find_users
from jumpcloud_elt.hook import JumpCloudHook, events_body
from jumpcloud_elt.pagination import Row
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.streams import row_id
from jumpcloud_elt.targets import People
from jumpcloud_elt.user_state import SUSPENDED, state_of, status_of

# What a killed task may leave as `unknown`, against two files for every user.
CHUNK = 25
# JumpCloud is away rather than at odds with one user.
GIVE_UP_AFTER = 3
TOO_MANY_REQUESTS = 429
USAGE_EVENTS = ("user_login_attempt", "admin_login_attempt", "sso_auth")


def run_plan(settings: Settings, plan: Plan, attempt: Attempt, asked: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Act on the users of the rows `asked`; record and return how each ended.

    `attempt` is this try's: its rows are its own. Raises what is not expected, when everything is recorded.
    """
    entries: list[Entry] = []
    with JumpCloudHook(plan.attempt.connection_id, settings) as hook:
        # Again: the connection may have been changed while somebody was asked.
        hook.refuse_to_act(attempt.organization_id)
        people = People(hook, attempt.organization_id)
        action = Action(attempt.action, hook, people, plan.fields, plan.group_id)
        still = find_users(attempt.organization_id, plan.filters) if plan.filters else None
        outage: list[str] = []
        for chunk in _chunks(asked):
            started = [_entry(row, STARTED, "the call is about to be made") for row in chunk]
            record(settings, attempt, started)
            ended: list[Entry] = []
            try:
                for row in chunk:
                    reason = _why_stop(outage)
                    if reason:
                        ended.append(_entry(row, NOT_DONE, reason))
                        continue
                    entry = _act_on(action, row, plan.filters, still, settings)
                    outage = [*outage, entry.message] if entry.outcome in (UNKNOWN, NOT_DONE) else []
                    ended.append(entry)
            except BaseException as error:
                ended += _interrupted(chunk[len(ended) :], error)
                raise
            finally:
                record(settings, attempt, ended)
                entries += ended
    return entries


def _chunks(rows: Sequence[Mapping[str, Any]]) -> Iterator[tuple[Mapping[str, Any], ...]]:
    iterator = iter(rows)
    while chunk := tuple(itertools.islice(iterator, CHUNK)):
        yield chunk


def _why_stop(outage: Sequence[str]) -> str | None:
    return f"not tried: JumpCloud did not answer before: {outage[-1]}" if len(outage) >= GIVE_UP_AFTER else None


def _interrupted(rows: Sequence[Mapping[str, Any]], error: BaseException) -> list[Entry]:
    """The one that was at it may have been called; those after it were not."""
    why = f"interrupted ({type(error).__name__})"
    return [
        _entry(row, NOT_DONE, f"not tried: {why}") if number else _entry(row, UNKNOWN, f"{why}: look, or run it again")
        for number, row in enumerate(rows)
    ]


def _act_on(
    action: Action, row: Mapping[str, Any], filters: Filters | None, still: FoundUsers | None, settings: Settings
) -> Entry:
    user: Row | None = None
    request: Mapping[str, Any] | None = None
    try:
        if action.name == "create":
            look = action.look_at_new()
        else:
            user = action.people.by_id(str(row["target"]))
            look = _look_again(action, user, filters, still, settings)
        if look.call is None or look.outcome != ASKED:
            return _entry(row, look.outcome, look.message)
        request = look.call.describe()
        outcome, message = action.create() if user is None else action.do(user)
    except JumpCloudError as error:
        outcome, message = _failure(error, has_called=request is not None)
    return _entry(row, outcome, message, request)


def _failure(error: JumpCloudError, *, has_called: bool) -> tuple[str, str]:
    """Outcome and message of an error, before the call or of the call itself."""
    is_lost = isinstance(error, TransientError) and error.status != TOO_MANY_REQUESTS
    if has_called and (is_lost or error.may_have_happened or isinstance(error, ResponseError)):
        return UNKNOWN, f"{error}. It may have happened: run it again, which looks first"
    if isinstance(error, CredentialError | ConfigurationError | TransientError):
        return NOT_DONE, f"not done: {error}"
    return (FAILED, str(error)) if has_called else (REFUSED, f"not called: {error}")


def _look_again(
    action: Action, user: Row | None, filters: Filters | None, still: FoundUsers | None, settings: Settings
) -> Look:
    if user is None:
        if action.name == "delete":
            return Look(ALREADY_SO, "is gone")
        return Look(REFUSED, "is no longer a user of the organization")
    look = action.look_at(user)
    if look.outcome == ASKED and filters is not None and still is not None:
        reason = _why_left_out(action, user, filters, still, settings)
        return Look(LEFT_OUT, reason) if reason else look
    if look.outcome == REFUSED and filters is not None:
        return Look(LEFT_OUT, look.message)
    return look


def _why_left_out(action: Action, user: Row, filters: Filters, still: FoundUsers, settings: Settings) -> str | None:
    """Why a user whom the filters found is no longer as they ask: by the warehouse of now, and by JumpCloud."""
    if row_id(user) not in still.user_ids:
        return f"no longer as the filters ask: {still.reason or 'the warehouse has changed'}"
    if filters.status and status_of(user) not in filters.status:
        return f"no longer as the filters ask: the status is {status_of(user)}"
    lifecycle = "past" if state_of(user) == SUSPENDED else "current"
    if filters.lifecycle and lifecycle not in filters.lifecycle:
        return f"no longer as the filters ask: the lifecycle is {lifecycle}"
    if filters.department and (user.get("department") or "") not in filters.department:
        return "no longer as the filters ask: the department is another"
    if filters.unused_days is not None and still.usage_until is not None:
        attempts = _attempts_since(action, user, still.usage_until, settings)
        if attempts:
            return f"has tried to log in {attempts} times since {still.usage_until:%Y-%m-%d %H:%M} UTC"
    return None


def _attempts_since(action: Action, user: Row, since: datetime, settings: Settings) -> int:
    """How often a user has tried to log in since usage was last read, as Directory Insights counts it now."""
    names = {
        "id": row_id(user),
        "username": str(user.get("username") or "").lower(),
        "email": str(user.get("email") or "").lower(),
    }
    actor = [{f"{role}.{name}": text} for role in ("initiated_by", "resource") for name, text in names.items() if text]
    body = {
        **events_body(settings.usage_services, since.replace(tzinfo=UTC), datetime.now(UTC)),
        "search_term": {"and": [{"event_type": list(USAGE_EVENTS)}, {"or": actor}]},
    }
    return action.hook.count_matching_events(body, organization_id=action.people.organization_id)


def _entry(row: Mapping[str, Any], outcome: str, message: str, request: Mapping[str, Any] | None = None) -> Entry:
    return Entry(
        target=row["target"],
        outcome=outcome,
        message=message,
        username=row["username"],
        email=row["email"],
        request=request,
    )
