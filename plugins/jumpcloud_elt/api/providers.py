"""Administrators of a multi-tenant portal's provider: they administer organizations without being listed there.

Reads only. A key that does not see its provider gets an empty list, not an error: most accounts have no provider.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.listings import read_until_whole, row_id
from jumpcloud_elt.api.pagination import Fetch, Page, iter_v1_pages, iter_v2_pages
from jumpcloud_elt.core.streams import Row
from jumpcloud_elt.errors import RequestError, ResponseError, TransientError

log = logging.getLogger(__name__)


def find_provider_id(client: JumpCloudClient) -> str | None:
    """The id of the provider whose administrator the key belongs to, None where there is none to be seen."""
    try:
        caller = client.get("/api/users/getSelf", {"fields": "provider"}).decode()
    except RequestError as error:
        log.info("The provider of connection %s is not known: %s", client.account.connection_id, error)
        return None
    provider_id = caller.get("provider") if isinstance(caller, dict) else None
    return provider_id if isinstance(provider_id, str) and provider_id else None


def read_provider_administrators(client: JumpCloudClient, provider_id: str, organization_id: str) -> list[Row]:
    """The provider's administrators who are linked to an organization, as the provider's list has them."""

    def fetch(path: str) -> Fetch:
        return lambda params: client.get(path, params)

    def read(pages: Callable[[], list[Page]], what: str) -> list[Row]:
        return [row for page in read_until_whole(pages, what) for row in page.rows]

    links_path = f"/api/v2/organizations/{organization_id}/administratorlinks"
    administrators_path = f"/api/v2/providers/{provider_id}/administrators"
    try:
        links = read(lambda: list(iter_v2_pages(fetch(links_path))), f"administrators linked to {organization_id}")
        if not links:
            return []
        rows = read(
            # An envelope as in V1, on a V2 route that is not known to take V1's sort.
            lambda: list(iter_v1_pages(fetch(administrators_path), {"sort": None})),
            f"administrators of provider {provider_id}",
        )
    except TransientError:
        raise
    except (RequestError, ResponseError) as error:
        log.info("Provider administrators of organization %s are left out: %s", organization_id, error)
        return []
    linked = {row.get("administrator") for row in links}
    return [row for row in rows if row_id(row) in linked]
