"""Which organizations there are to sync: those that the configured connections see, each once.

Does not sync anything.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from datetime import datetime

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.listings import read_until_whole, row_id
from jumpcloud_elt.api.pagination import PAGE_STYLES
from jumpcloud_elt.api.providers import find_provider_id
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.connections.credential import read_credential
from jumpcloud_elt.core.organization import Credential, Organization, name_of, note_error
from jumpcloud_elt.core.redaction import encode_payload
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import ORGANIZATIONS, Row
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import (
    ConfigurationError,
    IncompleteListingError,
    JumpCloudError,
    NotFoundError,
    OrganizationHeaderError,
    PermissionDeniedError,
    RequestError,
    ResponseError,
)
from jumpcloud_elt.landing.layout import run_file_name

log = logging.getLogger(__name__)

# Ids become names of folders. JumpCloud's are 24 hexadecimal digits; what else it may give one day is taken as well.
FOLDER_NAME = re.compile(r"[0-9A-Za-z_-]{1,64}")


def discover_organizations(
    settings: Settings, only: Sequence[str] = (), *, with_credentials: bool = False
) -> list[Organization]:
    """Return the organizations of every configured connection, sorted by connection, then by name.

    `only` restricts to these ids. An organization that several connections reach belongs to the first. A
    connection that fails is returned as an entry with `error`, so that the others go on. `with_credentials`: what
    is known of each connection's key is found out, too, by a request or two.

    Raises ConfigurationError where there is no usable connection, or no organization at all.
    """
    found: dict[str, Organization] = {}
    failed: list[Organization] = []
    was_asked = False
    for connection_id in settings.connections:
        if connection_id in settings.exclude:
            continue
        try:
            with open_client(connection_id, settings) as client:
                seen = list_of_connection(client)
                credential = credential_of(client, seen, utc_now()) if with_credentials else None
        except JumpCloudError as error:
            log.error("Connection %s: %s", connection_id, error)
            was_asked |= not isinstance(error, ConfigurationError)
            failed.append(_failure(connection_id, None, f"connection {connection_id}", str(error)))
            note_error(failed[-1], error)
            continue
        for organization in seen:
            organization_id = str(organization["organization_id"])
            if credential is not None:
                organization["credential"] = credential
            before = found.setdefault(organization_id, organization)
            if before["error"] and not organization["error"]:
                log.warning("%s It is synced by connection %s instead.", before["error"], connection_id)
                found[organization_id] = organization
            elif before is not organization and credential is not None and not organization["error"]:
                before.setdefault("also_seen_by", {})[connection_id] = credential
    organizations = [one for one in found.values() if not only or one["organization_id"] in only]
    failed += [
        _failure("", one, one, f"Organization {one} was asked for, but no configured connection sees it.")
        for one in dict.fromkeys(only)
        if one not in found
    ]
    # An account that refused is recorded as failed, beside its organizations' last good data.
    if not organizations and failed and not only and not was_asked:
        raise ConfigurationError("No organization can be synced.\n" + "\n".join(str(one["error"]) for one in failed))
    if not organizations and not failed:
        raise ConfigurationError(
            f"The connections {', '.join(settings.connections)} see no organization. Check the connection's "
            "Organization ids and that the key's administrator belongs to an organization."
        )
    return sorted(organizations, key=_order) + failed


def list_of_connection(client: JumpCloudClient) -> list[Organization]:
    """The organizations of one connection that are not excluded; one that it names and does not see has an `error`."""
    connection_id, settings, account = client.account.connection_id, client.settings, client.account
    try:
        rows = read_organizations(client)
    except (PermissionDeniedError, OrganizationHeaderError, NotFoundError):
        if not account.organization_ids:
            raise
        # A key that may not list organizations can still read those that the connection names.
        rows = {one: {"id": one} for one in account.organization_ids}
    # A provider may be left with one organization, and its administrators administer that one.
    has_provider, provider_id = True, None
    try:
        provider_id = find_provider_id(client)
        has_provider = provider_id is not None
    except (RequestError, ResponseError) as why:
        log.info("The provider of connection %s is not known: %s", connection_id, why)
    wanted = account.organization_ids or tuple(rows)
    organizations = []
    for organization_id in wanted:
        if organization_id in settings.exclude:
            continue
        row = rows.get(organization_id)
        if row is not None and not FOLDER_NAME.fullmatch(organization_id):
            # Under a name that is none of JumpCloud's: its own must not reach a path.
            stand_in = run_file_name(organization_id)
            error = (
                f"id {organization_id[:100]!r} given by JumpCloud; allowed: up to 64 letters, digits, - and _, for it "
                "names folders. The organization is not synced; report it to JumpCloud."
            )
            if stand_in not in settings.exclude:
                organizations.append(_failure(connection_id, stand_in, name_of(row, organization_id), error))
            continue
        if row is None:
            error = (
                f"Organization {organization_id} is named in connection {connection_id!r}, but its key does not "
                "see it. Correct Organization ids, or give the key's administrator access to it."
            )
            organizations.append(_failure(connection_id, organization_id, organization_id, error))
            continue
        organization = Organization(
            connection_id=connection_id,
            organization_id=organization_id,
            organization_name=name_of(row, organization_id),
            payload=encode_payload(row),
            error=None,
        )
        if has_provider:
            organization["provider_id"] = provider_id
        organizations.append(organization)
    return organizations


def credential_of(client: JumpCloudClient, seen: Sequence[Organization], now: datetime) -> Credential:
    """What is known of the connection's key, asked in the first organization that it sees; `now` is naive UTC."""
    organization_id = next((one["organization_id"] for one in seen if one["error"] is None), None)
    return read_credential(client, organization_id, now)


def read_organizations(client: JumpCloudClient) -> dict[str, Row]:
    """Every organization that the key sees, by id: one that a page lost would pass for gone."""

    def read() -> dict[str, Row]:
        rows: dict[str, Row] = {}
        total, nulls = 0, 0
        for page in PAGE_STYLES[ORGANIZATIONS.page_style](lambda params: client.get(ORGANIZATIONS.path, params), None):
            rows.update((row_id(row), row) for row in page.rows)
            total, nulls = page.total or 0, nulls + page.nulls
        if not total - nulls <= len(rows) <= total:
            raise IncompleteListingError(f"{len(rows)} distinct ids received, {total} stated by the API")
        return rows

    return read_until_whole(read, f"organizations of connection {client.account.connection_id}", client)


def _failure(connection_id: str, organization_id: str | None, name: str, error: str) -> Organization:
    return Organization(
        connection_id=connection_id,
        organization_id=organization_id,
        organization_name=name,
        payload="{}",
        error=error,
    )


def _order(organization: Organization) -> tuple[str, str, str]:
    return (
        organization["connection_id"],
        organization["organization_name"].casefold(),
        str(organization["organization_id"]),
    )
