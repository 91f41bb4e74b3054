"""The actions that there are, by the names that the Dag's form, the hook and the warehouse use.

Names only, in the order in which they are shown. What an action does is elsewhere.
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
