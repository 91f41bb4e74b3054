"""The names of what can be done to users, as forms, records and tables spell them. Imports nothing.

What each of them does is in `actions`.
"""

from __future__ import annotations

ACTIONS = (
    "create",
    "activate",
    "suspend",
    "unsuspend",
    "update",
    "unlock",
    "force_password_reset",
    "reset_mfa",
    "add_to_group",
    "remove_from_group",
    "delete",
)

# Wait for an approval whatever their number.
ALWAYS_APPROVED = ("delete",)
GROUP_ACTIONS = ("add_to_group", "remove_from_group")
