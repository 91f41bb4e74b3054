"""Administrators of a multi-tenant portal's provider: they administer organizations without being listed there.

Reads only. What cannot be asked raises the errors of the client: it is never taken for "there is none".
"""

from __future__ import annotations

from collections.abc import Callable

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.listings import read_until_whole, row_id
from jumpcloud_elt.api.pagination import Fetch, Page, iter_v1_pages, iter_v2_pages
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import PageShapeError


def find_provider_id(client: JumpCloudClient) -> str | None:
    """The id of the provider whose administrator the key belongs to, None where JumpCloud names none."""
    caller = client.get("/api/users/getSelf", {"fields": "provider"}).decode()
    if not isinstance(caller, dict):
        raise PageShapeError("expected the caller as an object")
    provider_id = caller.get("provider")
    return provider_id if isinstance(provider_id, str) and provider_id else None


def read_provider_administrators(client: JumpCloudClient, provider_id: str, organization_id: str) -> list[Row]:
    """The provider's administrators who are linked to an organization, as the provider's list has them."""

    def fetch(path: str) -> Fetch:
        return lambda params: client.get(path, params)

    def read(pages: Callable[[], list[Page]], what: str) -> list[Row]:
        return [row for page in read_until_whole(pages, what, client) for row in page.rows]

    links_path = f"/api/v2/organizations/{organization_id}/administratorlinks"
    administrators_path = f"/api/v2/providers/{provider_id}/administrators"
    links = read(lambda: list(iter_v2_pages(fetch(links_path))), f"administrators linked to {organization_id}")
    if not links:
        return []
    rows = read(
        # An envelope as in V1, on a V2 route that is not known to take V1's sort.
        lambda: list(iter_v1_pages(fetch(administrators_path), {"sort": None})),
        f"administrators of provider {provider_id}",
    )
    linked = [row.get("administrator") for row in links]
    return [row for row in rows if row_id(row) in linked]
