"""Unused access: who can reach which application and does not use it. The list that saves money, and its files."""

from __future__ import annotations

from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, StreamingResponse

from jumpcloud_elt.dashboard.coverage import known_since
from jumpcloud_elt.dashboard.downloads import download
from jumpcloud_elt.dashboard.lists import (
    ACCESS_CHOICES,
    ROW,
    Column,
    ListQuery,
    access_parameters,
    parse_list_query,
    read_page,
)
from jumpcloud_elt.dashboard.queries import open_for_request
from jumpcloud_elt.dashboard.rendering import render

router = APIRouter()
ACCESS_FILTERS = ("search", "organization", "usage", "access")

ACCESS_COLUMNS = (
    Column("application", "Application", "_by_application"),
    Column("name", "Name", "_by_name"),
    Column("organization", "Organization", "_by_organization"),
    Column("status", "Status", "status"),
    Column("access", "Access", "access"),
    Column("uses", "Uses (90 d)", "uses_90d", is_number=True),
    Column("last_used", "Last used", "last_used_at", is_number=True),
)


@router.api_route("/access", methods=["GET", "HEAD"])
def access(request: Request) -> HTMLResponse:
    """The list."""
    listing = _listing(request)
    with open_for_request() as warehouse:
        page = read_page(warehouse, "access", listing, access_parameters(listing), key=ROW)
        organizations = warehouse.rows("organizations")
        return render(
            request,
            "access.html",
            page="access",
            built_at=warehouse.built_at,
            list=page,
            group_names={},
            organizations=organizations,
            known_since=known_since(organizations, listing.get("organization")),
            access_choices=ACCESS_CHOICES,
            unknown=[row for row in organizations if not row["is_usage_known"]],
        )


@router.api_route("/access.csv", methods=["GET", "HEAD"])
def access_csv(request: Request) -> StreamingResponse:
    """The list for a spreadsheet."""
    listing = _listing(request)
    return download("access", "csv", listing, access_parameters(listing))


@router.api_route("/access.parquet", methods=["GET", "HEAD"])
def access_parquet(request: Request) -> StreamingResponse:
    """The list with its types."""
    listing = _listing(request)
    return download("access", "parquet", listing, access_parameters(listing))


def _listing(request: Request) -> ListQuery:
    return parse_list_query(
        request,
        "access",
        ACCESS_COLUMNS,
        filters=ACCESS_FILTERS,
        sort="application",
        tie_break=ROW,
    )
