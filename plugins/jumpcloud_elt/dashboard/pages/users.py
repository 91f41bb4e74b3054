"""Users: the list, its files, and one user with everything that is known of them."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.dashboard.charts import heat_map
from jumpcloud_elt.dashboard.coverage import known_days, known_since, last_day
from jumpcloud_elt.dashboard.downloads import download
from jumpcloud_elt.dashboard.lists import (
    Column,
    ListQuery,
    choice,
    parse_list_query,
    read_moment,
    read_page,
    usage_parameters,
)
from jumpcloud_elt.dashboard.queries import Warehouse, open_for_request
from jumpcloud_elt.dashboard.rendering import STATUS_ORDER, render, words
from jumpcloud_elt.export import SAAS_IMPORT, no_filters

router = APIRouter()
USER_FILTERS = ("search", "organization", "status", "lifecycle", "role", "usage", "last_used_before")
LIFECYCLES = {"current": "Current", "past": "Suspended or deleted"}

USER_COLUMNS = (
    Column("name", "Name", "lower(display_name)"),
    Column("organization", "Organization", "lower(organization_name)"),
    Column("status", "Status", "status"),
    Column("roles", "Roles", "lower(array_to_string(roles, ', '))"),
    Column("applications", "Applications", "application_count", is_number=True),
    Column("days", "Active days (30 d)", "usage_days_30d", is_number=True),
    Column("last_used", "Last used", "last_used_at", is_number=True),
)

DAYS_OF_ACTIVITY = 182
MOST_ACCESSES = 1000

TRACKED = {
    "status": "Status",
    "display_name": "Name",
    "email": "E-mail",
    "username": "User name",
    "roles": "Roles",
    "is_admin": "Administrator",
    "is_mfa_enabled": "Second factor",
    "department": "Department",
    "job_title": "Job title",
    "manager_id": "Manager",
    "groups": "Groups",
}


@router.api_route("/users", methods=["GET", "HEAD"])
def users(request: Request) -> HTMLResponse:
    """The list."""
    listing = _listing(request)
    with open_for_request() as warehouse:
        page = read_page(warehouse, "users", listing, _parameters(listing))
        organizations = warehouse.rows("organizations")
        return render(
            request,
            "users.html",
            page="users",
            built_at=warehouse.built_at,
            list=page,
            organizations=organizations,
            known_since=known_since(organizations, listing.get("organization")),
            lifecycles=LIFECYCLES,
            roles=[row["role"] for row in warehouse.rows("roles")],
        )


@router.api_route("/users.csv", methods=["GET", "HEAD"])
def users_csv(request: Request) -> StreamingResponse:
    """The list for a spreadsheet."""
    return _file(request, "csv")


@router.api_route("/users.parquet", methods=["GET", "HEAD"])
def users_parquet(request: Request) -> StreamingResponse:
    """The list with its types."""
    return _file(request, "parquet")


@router.api_route("/users.json", methods=["GET", "HEAD"])
def users_json(request: Request) -> StreamingResponse:
    """The list as SaaS-management products import it."""
    return _file(request, SAAS_IMPORT)


@router.api_route("/user", methods=["GET", "HEAD"])
def user(request: Request, organization_id: str, user_id: str) -> HTMLResponse:
    """One user."""
    key = {"organization_id": organization_id, "user_id": user_id}
    with open_for_request() as warehouse:
        found = warehouse.row("user", key)
        if found is None:
            raise HTTPException(404, "There is no such account in this warehouse.")
        access = warehouse.slice(
            "access",
            no_filters("access") | key,
            "access = 'none', last_used_at desc nulls last, application, application_id",
            limit=MOST_ACCESSES,
            offset=0,
        )
        accesses = len(access) if len(access) < MOST_ACCESSES else warehouse.count("access", no_filters("access") | key)
        versions = warehouse.rows("user_history", key)
        access_versions = warehouse.rows("user_access_history", key)
        return render(
            request,
            "user.html",
            page="users",
            built_at=warehouse.built_at,
            user=found,
            access=access,
            accesses=accesses,
            group_names=warehouse.group_names(organization_id),
            activity=_activity(warehouse, found, key),
            timeline=_timeline(versions, access_versions),
            left_out=sum(rows[0]["versions"] - len(rows) for rows in (versions, access_versions) if rows),
        )


def _listing(request: Request) -> ListQuery:
    return parse_list_query(
        request, "users", USER_COLUMNS, filters=USER_FILTERS, sort="name", tie_break="organization_id, user_id"
    )


def _parameters(listing: ListQuery) -> dict[str, Any]:
    return {
        "organization_id": listing.get("organization"),
        "status": choice(listing, "status", dict.fromkeys(STATUS_ORDER, "")),
        "lifecycle": choice(listing, "lifecycle", LIFECYCLES),
        "role": listing.get("role"),
        "last_used_before": read_moment(listing, "last_used_before"),
        "search": listing.get("search"),
        **usage_parameters(listing),
    }


def _file(request: Request, form: str) -> StreamingResponse:
    listing = _listing(request)
    return download("users", form, listing, _parameters(listing))


def _activity(warehouse: Warehouse, found: Row, key: dict[str, str]) -> dict[str, Any] | None:
    """The days of the last half year that are known, as a heat map; None where nothing is known."""
    if found["covered_from"] is None or found["usage_until"] is None:
        return None
    last = last_day(found["usage_until"])
    first = max(found["covered_from"], last - timedelta(days=DAYS_OF_ACTIVITY - 1))
    days: dict[date, int] = {
        row["date"]: row["successes"] for row in warehouse.rows("user_days", {**key, "first_day": first})
    }
    return heat_map(first, last, days, known_days(warehouse, key["organization_id"], first, last))


def _timeline(versions: list[Row], accesses: list[Row]) -> list[dict[str, Any]]:
    """What changed when, the newest first: each version against the one before it, access given and taken."""
    entries: list[dict[str, Any]] = []
    for newer, older in zip(versions, [*versions[1:], None], strict=True):
        if older is None and newer["versions"] > len(versions):
            # An older one is left out: what changed is not known here.
            continue
        if older is None:
            entries.append({"at": newer["valid_from"], "title": "First seen", "changes": [], "kind": "first"})
            continue
        changes = [
            {"label": label, "before": _said(older[name]), "after": _said(newer[name])}
            for name, label in TRACKED.items()
            if older[name] != newer[name]
        ]
        entries.append({"at": newer["valid_from"], "title": "Changed", "changes": changes, "kind": "changed"})
    entries += _access_entries(accesses)
    return _gathered(sorted(entries, key=lambda entry: (entry["at"], entry["kind"] == "first"), reverse=True))


def _access_entries(accesses: list[Row]) -> list[dict[str, Any]]:
    """Access that was there before the first snapshot, was given, changed or ended; one entry per snapshot and kind."""
    found: dict[tuple[datetime, str], list[dict[str, Any]]] = {}
    for one in accesses:
        kind = "changed" if one["is_change"] else "had" if one["is_from_before"] else "given"
        line = {"label": one["application"], "before": None, "after": words(one["access"])}
        found.setdefault((one["valid_from"], kind), []).append(line)
        if one["valid_to"] is not None and not one["is_changed"]:
            line = {"label": one["application"], "before": words(one["access"]), "after": None}
            found.setdefault((one["valid_to"], "ended"), []).append(line)
    return [
        {"at": at, "title": "Already had access" if kind == "had" else f"Access {kind}", "changes": lines, "kind": kind}
        for (at, kind), lines in found.items()
    ]


def _gathered(entries: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Entries by the snapshot that showed them."""
    moments: list[dict[str, Any]] = []
    for entry in entries:
        if not moments or moments[-1]["at"] != entry["at"]:
            moments.append({"at": entry["at"], "entries": []})
        moments[-1]["entries"].append(entry)
    return moments


def _said(value: Any) -> str:
    if value is None:
        return "none"
    if isinstance(value, list):
        return ", ".join(value) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)
