"""Does what a plan says, user by user: looks again, records that it is about to call, calls, records how it ended.

One who is not done does not keep the others from being done. Does not resolve anybody: whom the plan names, and
nobody else, is acted on.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from jumpcloud_elt.actions.filters import find_users
from jumpcloud_elt.actions.models import NO_USER, Look, Plan
from jumpcloud_elt.actions.operations import Action
from jumpcloud_elt.actions.recheck import Recheck
from jumpcloud_elt.actions.targets import People
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import ConfigurationError, CredentialError, JumpCloudError, ResponseError, TransientError
from jumpcloud_elt.landing.action_log import ActionOutcome, Attempt, Entry, record

# What a killed task may leave as `unknown`, against two files for every user.
CHUNK = 25
# JumpCloud is away rather than at odds with one user.
GIVE_UP_AFTER = 3


def run_plan(settings: Settings, plan: Plan, attempt: Attempt, asked: Sequence[Mapping[str, Any]]) -> list[Entry]:
    """Act on the users of the rows `asked`; record and return how each ended.

    `attempt` is this try's: its rows are its own. Raises what is not expected, when everything is recorded.
    """
    entries: list[Entry] = []
    with open_client(plan.attempt.connection_id, settings) as client:
        # Again: the connection may have been changed while somebody was asked.
        client.refuse_to_act(attempt.organization_id)
        people = People(client, attempt.organization_id)
        action = Action(attempt.action, client, people, plan.fields, plan.group_id)
        still = None
        if plan.filters is not None:
            found = find_users(attempt.organization_id, plan.filters)
            still = Recheck(client, attempt.organization_id, plan.filters, found, settings)
        outage: list[str] = []
        for chunk in _chunks(asked):
            started = [_entry(row, ActionOutcome.STARTED, "the call is about to be made") for row in chunk]
            record(settings, attempt, started)
            ended: list[Entry] = []
            try:
                for row in chunk:
                    reason = _why_stop(outage)
                    if reason:
                        ended.append(_entry(row, ActionOutcome.SKIPPED, reason))
                        continue
                    entry, is_away = _act_on(action, row, still)
                    outage = [*outage, entry.message] if is_away else []
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
        _entry(row, ActionOutcome.SKIPPED, f"not tried: {why}")
        if number
        else _entry(row, ActionOutcome.UNKNOWN, f"{why}: look, or run it again")
        for number, row in enumerate(rows)
    ]


def _act_on(action: Action, row: Mapping[str, Any], still: Recheck | None) -> tuple[Entry, bool]:
    """How one user ended, and whether that is about JumpCloud or the key rather than about the user."""
    user: Row | None = None
    request: Mapping[str, Any] | None = None
    try:
        if action.name == "create":
            look = action.look_at_new()
        else:
            user = action.people.by_id(str(row["target"]))
            look = _look_again(action, user, still)
        if look.call is None or look.outcome != ActionOutcome.ASKED:
            return _entry(row, look.outcome, look.message, is_unfinished=look.is_unfinished), False
        request = look.call.describe()
        outcome, message = action.create() if user is None else action.do(user)
    except JumpCloudError as error:
        outcome, message = _failure(error, has_called=request is not None)
        is_away = isinstance(error, TransientError | CredentialError | ConfigurationError)
        return _entry(row, outcome, message, request), is_away or outcome == ActionOutcome.UNKNOWN
    return _entry(row, outcome, message, request), False


def _failure(error: JumpCloudError, *, has_called: bool) -> tuple[ActionOutcome, str]:
    """Outcome and message of an error, before the call or of the call itself."""
    is_lost = isinstance(error, TransientError) and error.status != HTTPStatus.TOO_MANY_REQUESTS
    if has_called and (is_lost or error.may_have_happened or isinstance(error, ResponseError)):
        return ActionOutcome.UNKNOWN, f"{error}. It may have happened: run it again, which looks first"
    # The client refuses a call that the connection does not allow before it makes it.
    if has_called and not isinstance(error, ConfigurationError):
        return ActionOutcome.FAILED, str(error)
    outcome = ActionOutcome.SKIPPED if isinstance(error, TransientError) else ActionOutcome.REFUSED
    return outcome, f"not called: {error}"


def _look_again(action: Action, user: Row | None, still: Recheck | None) -> Look:
    if user is None:
        if action.name == "delete":
            return Look(ActionOutcome.UNCHANGED, "is gone")
        return Look(ActionOutcome.REFUSED, NO_USER)
    look = action.look_at(user)
    return still.narrow(look, user) if still else look


def _entry(
    row: Mapping[str, Any],
    outcome: ActionOutcome,
    message: str,
    request: Mapping[str, Any] | None = None,
    *,
    is_unfinished: bool | None = None,
) -> Entry:
    return Entry(
        target=row["target"],
        outcome=outcome,
        message=message,
        username=row["username"],
        email=row["email"],
        request=request,
        is_unfinished=is_unfinished,
    )
