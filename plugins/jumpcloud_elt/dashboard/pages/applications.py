"""Applications: the list, its files, and one application with who can reach it and who uses it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from fastapi import APIRouter, HTTPException, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.dashboard.coverage import daily_series, known_days, known_since, last_day
from jumpcloud_elt.dashboard.downloads import download
from jumpcloud_elt.dashboard.lists import (
    ACCESS_CHOICES,
    ROW,
    Column,
    ListQuery,
    access_parameters,
    choice,
    parse_list_query,
    read_page,
    usage_parameters,
)
from jumpcloud_elt.dashboard.queries import Warehouse, open_for_request
from jumpcloud_elt.dashboard.rendering import render
from jumpcloud_elt.export import no_filters

router = APIRouter()
APPLICATION_FILTERS = ("search", "organization", "usage", "listed")
LISTED = {"yes": "Listed in JumpCloud", "no": "Removed from JumpCloud"}

APPLICATION_COLUMNS = (
    Column("name", "Application", "lower(name)"),
    Column("organization", "Organization", "lower(organization_name)"),
    Column("access", "With access", "users_with_access", is_number=True),
    Column("active", "Active (30 d)", "users_active_30d", is_number=True),
    Column("never", "Never used it", "users_never_used", is_number=True),
    Column("trend", "12 weeks"),
    Column("last_used", "Last used", "last_used_at", is_number=True),
)

PEOPLE_FILTERS = ("organization_id", "application_id", "search", "usage", "access")

PEOPLE_COLUMNS = (
    Column("name", "Name", "_by_name"),
    Column("status", "Status", "status"),
    Column("access", "Access", "access"),
    Column("uses", "Uses (30 d)", "uses_30d", is_number=True),
    Column("first_used", "First used", "first_used_at", is_number=True),
    Column("last_used", "Last used", "last_used_at", is_number=True),
)

CHART_DAYS = 365


@router.api_route("/applications", methods=["GET", "HEAD"])
def applications(request: Request) -> HTMLResponse:
    """The list."""
    listing = _listing(request)
    with open_for_request() as warehouse:
        warehouse.require("usage_by_day")
        page = read_page(warehouse, "applications", listing, _parameters(listing))
        organizations = warehouse.rows("organizations")
        return render(
            request,
            "applications.html",
            page="applications",
            built_at=warehouse.built_at,
            list=page,
            organizations=organizations,
            known_since=known_since(organizations, listing.get("organization")),
            listed=LISTED,
            trends=_trends(warehouse, page.rows),
        )


@router.api_route("/applications.csv", methods=["GET", "HEAD"])
def applications_csv(request: Request) -> StreamingResponse:
    """The list for a spreadsheet."""
    listing = _listing(request)
    return download("applications", "csv", listing, _parameters(listing))


@router.api_route("/applications.parquet", methods=["GET", "HEAD"])
def applications_parquet(request: Request) -> StreamingResponse:
    """The list with its types."""
    listing = _listing(request)
    return download("applications", "parquet", listing, _parameters(listing))


@router.api_route("/application", methods=["GET", "HEAD"])
def application(request: Request, organization_id: str, application_id: str) -> HTMLResponse:
    """One application: its people as a list of its own, and its use per day."""
    listing = _people_listing(request)
    key = {"organization_id": organization_id, "application_id": application_id}
    with open_for_request() as warehouse:
        warehouse.require("usage_by_day")
        found = warehouse.row("application", key)
        if found is None:
            raise HTTPException(404, "There is no such application in this warehouse.")
        page = read_page(warehouse, "access", listing, access_parameters(listing) | key, key=ROW)
        return render(
            request,
            "application.html",
            page="applications",
            built_at=warehouse.built_at,
            application=found,
            list=page,
            access_choices=ACCESS_CHOICES,
            group_names=warehouse.group_names(organization_id),
            chart=_chart(warehouse, found, key),
        )


@router.api_route("/application.csv", methods=["GET", "HEAD"])
def application_csv(request: Request, organization_id: str, application_id: str) -> StreamingResponse:
    """The people of one application for a spreadsheet."""
    return _people_file(request, "csv", organization_id, application_id)


@router.api_route("/application.parquet", methods=["GET", "HEAD"])
def application_parquet(request: Request, organization_id: str, application_id: str) -> StreamingResponse:
    """The people of one application with their types."""
    return _people_file(request, "parquet", organization_id, application_id)


def _people_file(request: Request, form: str, organization_id: str, application_id: str) -> StreamingResponse:
    listing = _people_listing(request)
    key = {"organization_id": organization_id, "application_id": application_id}
    return download("access", form, listing, access_parameters(listing) | key)


def _people_listing(request: Request) -> ListQuery:
    return parse_list_query(
        request,
        "application",
        PEOPLE_COLUMNS,
        filters=PEOPLE_FILTERS,
        sort="-last_used",
        tie_break=ROW,
    )


def _listing(request: Request) -> ListQuery:
    return parse_list_query(
        request,
        "applications",
        APPLICATION_COLUMNS,
        filters=APPLICATION_FILTERS,
        sort="-never",
        tie_break="organization_id, application_id",
    )


def _parameters(listing: ListQuery) -> dict[str, Any]:
    listed = choice(listing, "listed", LISTED)
    return no_filters("applications") | {
        "organization_id": listing.get("organization"),
        "is_listed": None if listed is None else listed == "yes",
        "search": listing.get("search"),
        **usage_parameters(listing),
    }


def _trends(warehouse: Warehouse, rows: list[Row]) -> dict[tuple[str, str], list[int | None]]:
    """Successes of the last twelve weeks, the oldest first, of each application on the page whose use is known.

    A week that has not been read as a whole is None.
    """
    asked = {
        "organization_ids": list({row["organization_id"] for row in rows}),
        "application_ids": [row["application_id"] for row in rows],
    }
    trends: dict[tuple[str, str], list[int | None]] = {}
    for row in warehouse.rows("application_trends", asked):
        trends.setdefault((row["organization_id"], row["application_id"]), []).append(row["successes"])
    return trends


def _chart(warehouse: Warehouse, found: Row, key: dict[str, str]) -> dict[str, Any] | None:
    """Use per day of the last year that is known; days that are not known are gaps. None where nothing is known."""
    if found["covered_from"] is None or found["usage_until"] is None:
        return None
    last = last_day(found["usage_until"])
    first = max(found["covered_from"], last - timedelta(days=CHART_DAYS - 1))
    states = known_days(warehouse, key["organization_id"], first, last)
    found_days = warehouse.rows("usage_days", {**key, "first_day": first, "last_day": last})
    # An application is used through SSO and nothing else.
    rows = [row for row in found_days if row["date"] is not None and row["source"] is not None]
    return daily_series(
        first,
        last,
        states,
        {
            "Uses": {row["date"]: row["successes"] for row in rows},
            "People": {row["date"]: row["users"] for row in rows},
            "Failures": {row["date"]: row["failures"] for row in rows},
        },
    )
