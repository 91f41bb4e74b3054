"""How an organization stands, in plain words: a colour, what it means, the cause, and what to do next.

Reads rows of the query `integrations` and judges; reads nothing else. The wall clock comes in only here: whether what
was read is as young as the schedule promises.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta

from croniter import croniter

from jumpcloud_elt.core.streams import Row

# A run that is at it is not late yet.
GRACE = timedelta(hours=2)
# That a cause names one by one.
MOST_DAYS = 3


@dataclass(frozen=True)
class Verdict:
    """`colour` is green, amber or red; the icon and `headline` say the same without it."""

    colour: str
    headline: str
    cause: str | None = None
    next_step: str | None = None


def judge(row: Row, now: datetime, directory_cron: str | None, usage_cron: str | None) -> Verdict:  # noqa: PLR0911
    """The most pressing thing that is to be said of an organization. `now` is naive UTC; no cron, no schedule."""
    if row["has_only_usage_failed"]:
        return Verdict(
            "red",
            "Synced, but reading its usage failed",
            row["sync_message"],
            "Mend the cause, then clear the failed task of the run: the same interval is read again.",
        )
    if row["sync_status"] == "failed":
        return Verdict(
            "red",
            "The last sync failed",
            row["sync_message"],
            "Mend the cause, then run jumpcloud_directory again. Until then the last good data are shown.",
        )
    if row["sync_status"] == "held":
        return Verdict(
            "amber",
            "Held: the last snapshot lacks too much",
            row["sync_message"],
            "Look into JumpCloud for what became of it.",
        )
    if row["sync_status"] == "stale":
        return Verdict(
            "amber",
            "Stale: no longer seen",
            row["sync_message"],
            "Give a connection access to it again, or name it in the option exclude to let it leave the warehouse.",
        )
    if is_overdue(row["directory_synced_at"], directory_cron, now):
        return Verdict(
            "amber",
            "Not synced for longer than scheduled",
            f"The schedule of jumpcloud_directory is {directory_cron}; its last sync was "
            f"{row['directory_synced_at']:%Y-%m-%d %H:%M} UTC.",
            "See whether jumpcloud_directory is paused, and whether Airflow's scheduler runs.",
        )
    if row["usage_state"] == "unavailable":
        return Verdict(
            "amber",
            "Synced, without usage",
            row["usage_state_reason"],
            "Users, applications and access are complete. For usage the organization's plan must include Directory "
            "Insights, and the key's administrator must be allowed to read it.",
        )
    if row["usage_state"] == "unknown":
        return Verdict(
            "amber",
            "Synced, usage not known yet",
            row["usage_state_reason"],
            "Unpause jumpcloud_usage; for the past, trigger it with start and end.",
        )
    if not row["is_usage_known"]:
        return Verdict(
            "amber",
            "Synced, but no usage is known",
            *_explain(
                "Nothing that was read covers a day: usage_coverage says why.",
                row["incomplete_at_end"],
                "Trigger jumpcloud_usage with start and end, while JumpCloud still keeps it.",
            ),
        )
    if is_overdue(row["usage_until"], usage_cron, now):
        return Verdict(
            "amber",
            "Synced, but the latest usage is incomplete"
            if row["incomplete_at_end"]
            else "Usage not read for longer than scheduled",
            *_explain(
                f"The schedule of jumpcloud_usage is {usage_cron}; usage is known until "
                f"{row['usage_until']:%Y-%m-%d %H:%M} UTC.",
                row["incomplete_at_end"],
                "See whether jumpcloud_usage is paused; a backfill reads the days that are missing.",
            ),
        )
    if row["gaps"]:
        more = f", and {row['gaps'] - 1} more" if row["gaps"] > 1 else ""
        return Verdict(
            "amber",
            "Synced, but some usage is incomplete"
            if row["incomplete_in_gap"]
            else "Synced, but some usage was never read",
            *_explain(
                f"{row['gap_start']:%Y-%m-%d %H:%M} to {row['gap_end']:%Y-%m-%d %H:%M} UTC was not fully read{more}.",
                row["incomplete_in_gap"],
                "Clear the failed run of that time, or trigger jumpcloud_usage with start and end, while JumpCloud "
                "still keeps it.",
            ),
        )
    return Verdict("green", "Connected and synced")


def _explain(cause: str, incomplete: Sequence[date], next_step: str) -> tuple[str, str]:
    """The cause and the next step: others where days were read incompletely, for there no run failed."""
    if not incomplete:
        return cause, next_step
    days = ", ".join(f"{day:%Y-%m-%d}" for day in incomplete[:MOST_DAYS])
    if (more := len(incomplete) - MOST_DAYS) > 0:
        days += f" and {more} more day{'' if more == 1 else 's'}"
    return (
        f"{cause} No reading of {days} was complete: JumpCloud's own count, or an earlier reading, has more or less.",
        "The next scheduled run of jumpcloud_usage reads incomplete days again. If JumpCloud's counts are never exact, "
        "set the option usage_count_tolerance to the share by which they may differ.",
    )


def is_overdue(last: datetime | None, cron: str | None, now: datetime) -> bool:
    """Whether two runs should have ended since `last`; never so without a schedule."""
    return last is not None and cron is not None and last < _last_but_one(cron, now - GRACE)


@functools.lru_cache(maxsize=2)
def _last_but_one(cron: str, before: datetime) -> datetime:
    """When the last run but one was due: the same for every organization of a page, and dear to find out."""
    ticks = croniter(cron, before)
    ticks.get_prev(datetime)
    tick: datetime = ticks.get_prev(datetime)
    return tick
