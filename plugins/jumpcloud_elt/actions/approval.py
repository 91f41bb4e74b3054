"""Whether somebody has approved what is about to be done: reads the answer that `approval` left. Asks nobody."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from jumpcloud_elt.actions.models import Plan
    from jumpcloud_elt.core.settings import Settings

APPROVE = "Approve"
ApprovalAnswer = Mapping[str, Any]


def why_not_approved(
    plan: Plan, asked: Sequence[Mapping[str, Any]], answer: ApprovalAnswer | None, settings: Settings
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


def is_rejected(answer: ApprovalAnswer | None) -> bool:
    """Whether somebody has answered, and not with a yes."""
    return bool(answer) and list((answer or {}).get("chosen_options") or []) != [APPROVE]


def answered_by(answer: ApprovalAnswer | None) -> str:
    user = (answer or {}).get("responded_by_user")
    name = user.get("name") or user.get("id") if isinstance(user, Mapping) else None
    return str(name or "somebody without a name")


def ask(plan: Plan, asked: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The question of a plan: a subject, and every target by name, in Markdown. `asked` are rows of the record."""
    attempt = plan.attempt
    what = attempt.action.replace("_", " ") + (f" {plan.group_name}" if plan.group_name else "")
    users = "1 user" if len(asked) == 1 else f"{len(asked)} users"
    lines = [
        f"**{_plain(what)}**, organization `{attempt.organization_id}`, asked for by {_plain(attempt.requested_by)}.",
        "",
        *([f"- group: `{plan.group_id}`"] if plan.group_id else []),
        *(f"- {name}: `{_plain(value)}`" for name, value in plan.fields.items()),
    ]
    if plan.filters is not None:
        lines.append(f"- filters: `{_plain(msgspec.json.encode(plan.filters).decode())}`")
        if plan.filters.unused_days is not None:
            lines.append(
                "- *unused* means: no log-in to the user or administrator portal and no SSO. Log-ins to devices, "
                "RADIUS and LDAP are not counted."
            )
    lines += ["", f"{users}:", ""]
    lines += [" ".join(["-", *(f"`{_plain(one[name])}`" for name in ("target", "username", "email"))]) for one in asked]
    return f"JumpCloud: {_plain(what)}, {users}?", "\n".join(lines)


def digest(subject: str, body: str) -> str:
    """By which an answer names the question that it is an answer to."""
    return hashlib.sha256(f"{subject}\n{body}".encode()).hexdigest()


def _plain(value: Any) -> str:
    """A text that cannot end the code span it stands in, nor be taken for markup."""
    return " ".join(str(value).replace("`", "'").replace("<", "(").replace("*", "").split())
