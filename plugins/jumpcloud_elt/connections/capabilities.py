"""What is synced of an organization and which actions are allowed there, landed for the table `capabilities`.

    landing/capabilities/organization_id=<id>/capabilities.parquet

One small file per organization, replaced as a whole by each directory run that tries it, with rows for every
connection that sees it. `check` and `credential` find it out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from types import MappingProxyType

import pyarrow as pa

from jumpcloud_elt.connections.causes import explain
from jumpcloud_elt.connections.check import check_insights, check_organization, patient_for_seconds, state_without
from jumpcloud_elt.connections.client import open_account, open_client
from jumpcloud_elt.connections.report import INSIGHTS, SYNC_CAPABILITIES, Finding
from jumpcloud_elt.core.account import Account
from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_elt.core.organization import NO, UNKNOWN, YES, Credential, Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import JumpCloudError
from jumpcloud_elt.landing.capabilities import ACTION, CAPABILITY_SCHEMA, SYNC, capabilities_path
from jumpcloud_elt.landing.files import write_table


def land_capabilities(
    settings: Settings,
    organization: Organization,
    run_id: str,
    *,
    is_synced: bool,
    unread: Mapping[str, JumpCloudError] = MappingProxyType({}),
) -> None:
    """Find out and land what can be done with an organization that this run has synced, or has failed to.

    `unread` are the optional streams without which it was synced, each with the error that tells why. Raises only what
    writing raises: what cannot be found out is landed as such.
    """
    connection_id = organization["connection_id"]
    rows = list(_of_syncing_connection(settings, organization, is_synced=is_synced, unread=unread))
    for other, credential in organization.get("also_seen_by", {}).items():
        reason = f"Connection {connection_id} syncs this organization."
        sync = [Finding(capability, NO, reason) for capability in SYNC_CAPABILITIES]
        rows += _rows(other, sync, _actions(other, credential), credential)
    seen = {"run_id": run_id, "checked_at": utc_now()}
    table = pa.Table.from_pylist([row | seen for row in rows], schema=CAPABILITY_SCHEMA)
    write_table(capabilities_path(settings.landing, str(organization["organization_id"])), table)


def _of_syncing_connection(
    settings: Settings, organization: Organization, *, is_synced: bool, unread: Mapping[str, JumpCloudError]
) -> Iterator[dict[str, object]]:
    connection_id, credential = organization["connection_id"], organization.get("credential")
    if organization["error"] is not None:
        sync = [Finding(capability, NO, organization["error"]) for capability in SYNC_CAPABILITIES]
        actions = [Finding(action, NO, organization["error"]) for action in ACTIONS]
    else:
        sync = list(_look_into(settings, organization, is_synced=is_synced, unread=unread))
        actions = _actions(connection_id, credential)
    yield from _rows(connection_id, sync, actions, credential)


def _look_into(
    settings: Settings, organization: Organization, *, is_synced: bool, unread: Mapping[str, JumpCloudError]
) -> Iterable[Finding]:
    """What has just been synced can be; the rest is asked for."""
    organization_id = str(organization["organization_id"])
    try:
        with open_client(organization["connection_id"], patient_for_seconds(settings)) as client:
            if not is_synced:
                return check_organization(client, organization_id, utc_now())
            found = {INSIGHTS: check_insights(client, organization_id, utc_now())}
            for capability, error in unread.items():
                reason = str(explain(error, client.account, capability))
                found[capability] = Finding(capability, state_without(error), reason)
    except JumpCloudError as error:
        return [Finding(capability, NO, str(error)) for capability in SYNC_CAPABILITIES]
    return [found.get(capability, Finding(capability, YES)) for capability in SYNC_CAPABILITIES]


def _actions(connection_id: str, credential: Credential | None) -> list[Finding]:
    """Every action is allowed, or none: JumpCloud does not tell what a role may do one by one."""
    try:
        state, reason = may_act(open_account(connection_id), credential)
    except JumpCloudError as error:
        state, reason = NO, str(error)
    return [Finding(action, state, reason) for action in ACTIONS]


def may_act(account: Account, credential: Credential | None) -> tuple[str, str | None]:
    """Whether actions are allowed with this connection (`yes`, `no`, `unknown`), and why where they may not be."""
    if not account.may_act:
        return NO, (
            f"Permission of connection {account.connection_id} is {account.permission}. To allow actions, set it to "
            "read_and_act."
        )
    if credential is None:
        return UNKNOWN, "Nothing is known of the key's role."
    return credential["may_write"], None if credential["may_write"] == YES else credential["may_write_reason"]


def _rows(
    connection_id: str, sync: Iterable[Finding], actions: Iterable[Finding], credential: Credential | None
) -> Iterator[dict[str, object]]:
    ends_at = credential["ends_at"] if credential else None
    for kind, findings in ((SYNC, sync), (ACTION, actions)):
        for finding in findings:
            yield {
                "connection_id": connection_id,
                "capability": finding.capability,
                "kind": kind,
                "state": finding.state,
                "reason": finding.reason,
                "key_ends_at": datetime.fromisoformat(ends_at) if ends_at else None,
            }
