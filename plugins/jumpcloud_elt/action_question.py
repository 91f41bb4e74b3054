"""What whoever approves is asked, in words: everything that is about to be done, and to whom.

An approval is of this text, so what its digest is not of has not been approved. Asks nobody: `approval` does.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from jumpcloud_elt.action_plan import Plan


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
