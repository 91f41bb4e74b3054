"""What is said of a run of jumpcloud_user_action: who was refused, who was left, and how everybody ended.

Words and rows only: records nothing, and raises nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping, Sequence
from typing import Any

import msgspec

from jumpcloud_elt.actions.approval import ApprovalAnswer, answered_by, is_rejected
from jumpcloud_elt.actions.models import Plan
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.action_log import (
    ActionOutcome,
    Attempt,
    Entry,
    attempt_of,
    is_unfinished,
    latest,
    tries_of,
)


def refusals(params: Mapping[str, Any], message: str) -> list[Entry]:
    """One row for each target as given, with what is wrong about it or about everything; one without any target."""
    given = params.get("targets")
    targets = [one for one in given if isinstance(one, str) and one.strip()] if isinstance(given, list) else []
    fields = params.get("fields")
    new = fields.get("username") if isinstance(fields, Mapping) else None
    if not targets:
        target = new if isinstance(new, str) and params.get("action") == "create" else None
        return [Entry(target=target, outcome=ActionOutcome.REFUSED, message=message)]
    names = {target: repr(target.strip()) for target in dict.fromkeys(targets)}
    lines = message.splitlines()
    return [
        Entry(
            target=target.strip(),
            outcome=ActionOutcome.REFUSED,
            # What is wrong with others is theirs.
            message="\n".join(
                line
                for line in lines
                if own in line or not any(other in line for other in names.values() if other != own)
            ),
        )
        for target, own in names.items()
    ]


def left_open(
    rows: Sequence[Mapping[str, Any]],
    plan: Plan | None,
    answer: ApprovalAnswer | None,
    organization_id: str,
    settings: Settings,
) -> list[tuple[Attempt, list[Entry]]]:
    """An end for everything that was asked for and not begun, by attempt: also of a plan that was made again since."""
    later = {row["target"] for number, row in tries_of(rows, plan.attempt.action_id) if number > 1} if plan else set()
    ends: dict[str, tuple[Attempt, list[Entry]]] = {}
    for row in latest(rows, of_each_attempt=True).values():
        if row["outcome"] != ActionOutcome.ASKED:
            continue
        outcome, message = _end_of(row, plan, answer, later, settings)
        _, entries = ends.setdefault(row["action_id"], (attempt_of(row, organization_id), []))
        entries.append(_not_called(row, outcome, message, answer))
    return list(ends.values())


def turned_down(asked: Sequence[Mapping[str, Any]], reason: str, answer: ApprovalAnswer | None) -> list[Entry]:
    """An end for what was asked for and may not be done: `reason` says what the approval lacks."""
    return [_not_called(row, ActionOutcome.REFUSED, reason, answer) for row in asked]


def told(action: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """How many users ended how; everybody to whom it was not done by name, and whom it was done to."""
    counts = Counter(str(row["outcome"]) for row in rows)
    lines = [f"{action}: " + ", ".join(f"{number} {outcome}" for outcome, number in sorted(counts.items()))]
    order = list(ActionOutcome)
    for row in sorted(rows, key=lambda row: (not is_unfinished(row), order.index(row["outcome"]))):
        who = f"{row['target']}" + (f" ({row['username']})" if row["username"] else "")
        lines.append(f"- {row['outcome']}: {who}: {row['message']}")
    if any(map(is_unfinished, rows)):
        lines.append("Running it again with the same params does what is left, and nothing twice.")
    return "\n".join(lines)


def as_row(entry: Entry) -> dict[str, Any]:
    row: dict[str, Any] = msgspec.to_builtins(entry)
    return row


def _not_called(row: Mapping[str, Any], outcome: ActionOutcome, message: str, answer: ApprovalAnswer | None) -> Entry:
    return Entry(
        target=row["target"],
        outcome=outcome,
        message=message,
        username=row["username"],
        email=row["email"],
        # What somebody has rejected is as they want it.
        is_unfinished=outcome != ActionOutcome.REFUSED or not is_rejected(answer),
    )


def _end_of(
    row: Mapping[str, Any], plan: Plan | None, answer: ApprovalAnswer | None, later: Container[Any], settings: Settings
) -> tuple[ActionOutcome, str]:
    """Outcome and message of what was asked for and not begun; `later` are the targets of later tries."""
    if plan is not None and row["action_id"] != plan.attempt.action_id:
        return ActionOutcome.SKIPPED, "planned again since; nothing was called"
    if row["target"] in later:
        return ActionOutcome.SKIPPED, "not tried: the task ended before, and was tried again"
    if plan is not None and is_rejected(answer):
        return ActionOutcome.REFUSED, f"rejected by {answered_by(answer)}"
    if plan is not None and plan.needs_approval and not answer:
        hours = settings.actions_approval_timeout_hours
        return ActionOutcome.REFUSED, f"nobody approved within {hours:g} hours"
    return ActionOutcome.SKIPPED, "the run ended before; nothing was called"
