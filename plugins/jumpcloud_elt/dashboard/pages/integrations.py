"""The first page: every connection and organization, how it stands, and what can be done with it."""

from __future__ import annotations

from collections import Counter
from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse

from jumpcloud_elt.core.intervals import read_cron
from jumpcloud_elt.core.settings import read_settings
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.dashboard.coverage import known_since
from jumpcloud_elt.dashboard.lists import ListPage, clamp, parse_list_query
from jumpcloud_elt.dashboard.queries import open_for_request
from jumpcloud_elt.dashboard.rendering import render
from jumpcloud_elt.dashboard.verdicts import Verdict, judge
from jumpcloud_elt.errors import NotPublishedError
from jumpcloud_elt.landing.capabilities import ACTION, SYNC

router = APIRouter()
# What needs somebody comes first.
ORDER = {"red": 0, "amber": 1, "green": 2}
TOP_APPLICATIONS = 5
# On one page.
CARDS = 24
# Of more organizations than these the capabilities are folded up.
SHOWN_IN_FULL = 6
# A gap that is older cannot be mended: JumpCloud keeps events for 90 days at most.
GAP_DAYS = 90
# The kinds of the mart `capabilities`.


EVERYTHING = {SYNC: "what_is_synced", ACTION: "what_may_be_done"}


@router.api_route("/", methods=["GET", "HEAD"])
def integrations(request: Request) -> HTMLResponse:
    """Cards, capabilities, and the applications that most people have and never used."""
    settings = read_settings()
    listing = parse_list_query(request, "./", (), filters=("search",), sort="", tie_break="")
    crons = (
        read_cron(settings.directory_schedule, "directory_schedule"),
        read_cron(settings.usage_schedule, "usage_schedule"),
    )
    try:
        with open_for_request() as warehouse:
            warehouse.find_ranges(days=GAP_DAYS)
            organizations = warehouse.rows("integrations")
            failed = {row["connection_id"]: row for row in warehouse.rows("connections")}
            has_capabilities = "capabilities" in warehouse.tables
            acting = (
                {row["connection_id"] for row in warehouse.rows("acting_connections")} if has_capabilities else set()
            )
            now = utc_now()
            cards = sorted(
                ((row, judge(row, now, *crons)) for row in organizations),
                key=lambda card: (
                    ORDER[card[1].colour],
                    card[0]["organization_name"].lower(),
                    card[0]["organization_id"],
                ),
            )
            search = (listing.get("search") or "").lower()
            found = [card for card in cards if search in card[0]["organization_name"].lower()]
            number = clamp(listing.page, len(found), CARDS)
            shown = found[(number - 1) * CARDS : number * CARDS]
            asked = {"organization_ids": [row["organization_id"] for row, _ in shown]}
            capabilities = warehouse.rows("capabilities", asked) if has_capabilities else []
            no_filter = dict.fromkeys(("organization_id", "usage_state", "idle_days", "search"))
            idle = warehouse.slice(
                "applications",
                no_filter | {"is_listed": True},
                "users_never_used desc nulls last, organization_id, application_id",
                limit=TOP_APPLICATIONS,
                offset=0,
            )
            built_at = warehouse.built_at
    except NotPublishedError:
        return render(request, "welcome.html", page="integrations", connections=settings.connections)
    unseen = _unseen(settings.connections, organizations, failed, acting)
    return render(
        request,
        "integrations.html",
        page="integrations",
        built_at=built_at,
        list=ListPage(listing, [row for row, _ in shown], len(found), number, CARDS),
        is_searchable=len(cards) > CARDS,
        cards=shown,
        colours=Counter([verdict.colour for _, verdict in cards] + [card["verdict"].colour for card in unseen]),
        unseen=unseen if number == 1 and not search else [],
        has_capabilities=has_capabilities,
        is_unfolded=len(cards) <= SHOWN_IN_FULL,
        idle=[row for row in idle if row["users_never_used"]],
        is_usage_known=any(row["is_usage_known"] for row in organizations),
        sums=organizations[0] if organizations else None,
        known_since=known_since(organizations, None),
        **_capabilities(capabilities),
    )


def _unseen(
    connections: tuple[str, ...], organizations: list[Row], failed: dict[str, Row], acting: set[str]
) -> list[dict[str, Any]]:
    """The connections without an organization, which no card would show otherwise.

    One of `acting` is well: it sees organizations that are synced with another.
    """
    seen = {row["connection_id"] for row in organizations}
    cards: list[dict[str, Any]] = []
    for connection_id in connections:
        if connection_id in seen or (connection_id in acting and connection_id not in failed):
            continue
        failure = failed.get(connection_id)
        if failure is not None:
            verdict = Verdict(
                "red",
                "The connection failed",
                failure["reason"],
                "Mend the cause in Admin, Connections, then run jumpcloud_directory again.",
            )
        else:
            verdict = Verdict(
                "amber",
                "No organization synced yet",
                "This connection is configured, and no run has synced an organization through it.",
                "Unpause jumpcloud_directory, or trigger it once.",
            )
        cards.append({"connection_id": connection_id, "verdict": verdict, "failure": failure})
    return cards


def _capabilities(rows: list[Row]) -> dict[str, Any]:
    """Capabilities as rows of a table: by organization, one per connection; a reason that several have is said once."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        found.setdefault((row["organization_id"], row["connection_id"]), []).append(row)
    reasons = {key: _reasons(own) for key, own in found.items()}
    times = Counter(reason for own in reasons.values() for reason in own)
    shared = [reason for reason, number in times.items() if number > 1]
    capabilities: dict[str, list[dict[str, Any]]] = {}
    for (organization_id, connection_id), own in sorted(found.items()):
        actions = [row for row in own if row["kind"] == ACTION]
        capabilities.setdefault(organization_id, []).append(
            {
                "connection_id": connection_id,
                "sync": {row["capability"]: row["state"] for row in own if row["kind"] == SYNC},
                "allowed": sorted(row["capability"] for row in actions if row["state"] == "yes"),
                "is_read_only": {row["state"] for row in actions} == {"no"},
                "reasons": [one for one in reasons[organization_id, connection_id] if one not in shared],
            }
        )
    names = sorted({row["capability"] for row in rows if row["kind"] == SYNC})
    return {"capabilities": capabilities, "shared_reasons": shared, "sync_names": names}


def _reasons(rows: list[Row]) -> list[tuple[tuple[str, ...], str]]:
    """Each reason with what it is the reason for."""
    found: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        if row["reason"] and row["state"] != "yes":
            found.setdefault((row["kind"], row["reason"]), []).append(row)
    return [
        (
            (EVERYTHING[kind],)
            if len(own) == sum(row["kind"] == kind for row in rows)
            else tuple(sorted(row["capability"] for row in own)),
            reason,
        )
        for (kind, reason), own in sorted(found.items(), reverse=True)
    ]
