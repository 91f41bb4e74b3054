"""How an organization's card is coloured, and what it says to do next."""

from __future__ import annotations

from datetime import date, datetime
from typing import Any

import pytest

from jumpcloud_elt.dashboard.verdicts import is_overdue, judge

NOW = datetime(2026, 11, 24, 12)
DAILY = "0 0 * * *"
GOOD: dict[str, Any] = {
    "sync_status": "ok",
    "sync_message": None,
    "directory_synced_at": datetime(2026, 11, 24),
    "usage_state": "available",
    "usage_state_reason": None,
    "usage_until": datetime(2026, 11, 24),
    "has_only_usage_failed": False,
    "gaps": 0,
    "gap_start": None,
    "gap_end": None,
    "is_usage_known": True,
    "incomplete_in_gap": [],
    "incomplete_at_end": [],
}
GAP = {"gaps": 2, "gap_start": datetime(2026, 11, 20), "gap_end": datetime(2026, 11, 21)}
NOTHING = {"is_usage_known": False, "usage_until": None}


@pytest.mark.parametrize(
    ("facts", "colour", "headline", "next_step"),
    [
        ({}, "green", "Connected and synced", None),
        ({"sync_status": "failed", "sync_message": "401"}, "red", "last sync failed", "run jumpcloud_directory again"),
        (
            {"sync_status": "failed", "has_only_usage_failed": True, "sync_message": "Usage: 500"},
            "red",
            "reading its usage failed",
            "clear the failed task",
        ),
        ({"sync_status": "held", "sync_message": "down by 9"}, "amber", "Held", "Look into JumpCloud"),
        ({"sync_status": "stale", "sync_message": "unseen"}, "amber", "Stale", "exclude"),
        ({"usage_state": "unavailable", "usage_state_reason": "402"}, "amber", "without usage", "Directory Insights"),
        ({"usage_state": "unknown", "usage_state_reason": "unread"}, "amber", "not known yet", "jumpcloud_usage"),
        ({"directory_synced_at": datetime(2026, 11, 20)}, "amber", "Not synced for longer", "paused"),
        ({"usage_until": datetime(2026, 11, 20)}, "amber", "Usage not read for longer", "backfill"),
        (
            GAP,
            "amber",
            "some usage was never read",
            "start and end",
        ),
        (GAP | {"incomplete_in_gap": [date(2026, 11, 20)]}, "amber", "is incomplete", "usage_count_tolerance"),
        (NOTHING, "amber", "no usage is known", "start and end"),
        (NOTHING | {"incomplete_at_end": [date(2026, 11, 20)]}, "amber", "no usage is known", "usage_count_tolerance"),
        (
            {"usage_until": datetime(2026, 11, 20), "incomplete_at_end": [date(2026, 11, 20)]},
            "amber",
            "the latest usage is incomplete",
            "usage_count_tolerance",
        ),
        # The more pressing one is said.
        ({"sync_status": "failed", "sync_message": "401", "usage_state": "unknown"}, "red", "last sync failed", "run"),
    ],
)
def test_a_card_says_what_is_most_pressing(
    facts: dict[str, Any], colour: str, headline: str, next_step: str | None
) -> None:
    verdict = judge(GOOD | facts, NOW, DAILY, DAILY)
    assert verdict.colour == colour
    assert headline in verdict.headline
    assert verdict.next_step is next_step or next_step in (verdict.next_step or "")
    reasons = {facts.get(name) for name in ("sync_message", "usage_state_reason")} - {None}
    assert not reasons or verdict.cause in reasons


@pytest.mark.parametrize(
    ("last", "cron", "expected"),
    [
        (datetime(2026, 11, 24), DAILY, False),
        (datetime(2026, 11, 23), DAILY, False),
        # The run of midnight may still be at it.
        (datetime(2026, 11, 22, 10), DAILY, True),
        (datetime(2026, 11, 24, 9), "0 * * * *", False),
        (datetime(2026, 11, 24, 7), "0 * * * *", True),
        (datetime(2020, 1, 1), None, False),
        (None, DAILY, False),
    ],
)
def test_two_runs_must_have_been_missed(last: datetime | None, cron: str | None, expected: bool) -> None:
    assert is_overdue(last, cron, NOW) is expected
