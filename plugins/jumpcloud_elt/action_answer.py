"""Whether somebody has approved what is about to be done: reads the answer that `approval` left. Asks nobody."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from jumpcloud_elt.action_plan import Plan
from jumpcloud_elt.action_question import ask, digest
from jumpcloud_elt.settings import Settings

APPROVE = "Approve"
Answer = Mapping[str, Any]


def why_not_approved(
    plan: Plan, asked: Sequence[Mapping[str, Any]], answer: Answer | None, settings: Settings
) -> str | None:
    """Why an answer does not allow what is about to be done: it has to be a yes, to this very plan, and of late."""
    if not answer or is_rejected(answer):
        return "this needs an approval, and none has been given."
    if answer.get("question") != digest(*ask(plan, asked)):
        return "what was approved is another plan. Start a new run."
    hours = settings.actions_approval_timeout_hours
    if datetime.now(UTC) - datetime.fromisoformat(str(answer["responded_at"])) > timedelta(hours=hours):
        return f"the approval is older than {hours:g} hours. Start a new run."
    return None


def is_rejected(answer: Answer | None) -> bool:
    """Whether somebody has answered, and not with a yes."""
    return bool(answer) and list((answer or {}).get("chosen_options") or []) != [APPROVE]


def answered_by(answer: Answer | None) -> str:
    user = (answer or {}).get("responded_by_user")
    name = user.get("name") or user.get("id") if isinstance(user, Mapping) else None
    return str(name or "somebody without a name")
