"""What a connection can and cannot do, found out by reading a little of everything: a report, capability by capability.

The Test button, `airflow connections test` and jumpcloud_check_connection show it; the directory Dag uses it for an
organization that failed. Lands nothing, changes nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.api.insights import PROBED_RANGE
from jumpcloud_elt.api.listings import iter_rows, row_id
from jumpcloud_elt.connections.causes import explain
from jumpcloud_elt.connections.client import open_client
from jumpcloud_elt.connections.credential import warn_of_end
from jumpcloud_elt.connections.organizations import credential_of, list_of_connection
from jumpcloud_elt.connections.report import (
    ACCESS,
    ADMINS,
    APPS,
    GROUPS,
    INSIGHTS,
    REQUIRED,
    ROLES_STREAM,
    SYNC_CAPABILITIES,
    USERS_STREAM,
    ConnectionReport,
    Finding,
    OrganizationReport,
)
from jumpcloud_elt.core.organization import NO, UNKNOWN, YES, Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import (
    ADMINISTRATORS,
    APPLICATION_ASSOCIATIONS,
    APPLICATIONS,
    ROLES,
    SYSTEMUSERS,
    USERGROUP_MEMBERS,
    USERGROUPS,
)
from jumpcloud_elt.errors import (
    CAN_HEAL,
    ConfigurationError,
    CredentialError,
    JumpCloudError,
    NotEnabledError,
    PermissionDeniedError,
    RequestError,
    ResponseError,
    TransientError,
)

LISTINGS = {
    USERS_STREAM: SYSTEMUSERS,
    ADMINS: ADMINISTRATORS,
    ROLES_STREAM: ROLES,
    GROUPS: USERGROUPS,
    APPS: APPLICATIONS,
}
# Somebody waits for the answer.
PATIENCE = {
    "request_attempts": 2,
    "retry_wait_max_seconds": 5.0,
    "read_timeout_seconds": 20.0,
    "request_deadline_seconds": 30.0,
}
CHECK_THREADS = 8


def patient_for_seconds(settings: Settings) -> Settings:
    """`settings` for when somebody waits, or when it is known already that something does not answer."""
    return replace(settings, **{name: min(getattr(settings, name), most) for name, most in PATIENCE.items()})


def inspect_connection(
    connection_id: str, settings: Settings, now: datetime, *, at_most: int | None = None
) -> ConnectionReport:
    """Return what an Airflow connection and its first `at_most` organizations can do. `now` is naive UTC.

    Raises none of the package's errors: they are what the report shows.
    """
    try:
        client = open_client(connection_id, settings)
    except ConfigurationError as error:
        return ConnectionReport(connection_id, str(error))
    with client:
        return _inspect(client, now, at_most)


def _inspect(client: JumpCloudClient, now: datetime, at_most: int | None) -> ConnectionReport:
    account = client.account
    connection_id = account.connection_id
    try:
        listed = list_of_connection(client)
    except JumpCloudError as error:
        return ConnectionReport(connection_id, str(explain(error, account, "organizations")), account)
    if not listed:
        return ConnectionReport(
            connection_id,
            "The key sees no organization. Its administrator has to belong to one; check Organization ids, and "
            "[jumpcloud_elt] exclude.",
            account,
        )
    chosen = listed if at_most is None else listed[:at_most]
    with ThreadPoolExecutor(min(CHECK_THREADS, len(chosen))) as pool:
        organizations = tuple(pool.map(lambda one: _check_listed(client, one, now), chosen))
    credential = credential_of(client, listed, now)
    return ConnectionReport(
        connection_id=connection_id,
        failure=None,
        account=account,
        credential=credential,
        organizations=organizations,
        unchecked=tuple(one["organization_name"] for one in listed[len(chosen) :]),
        warning=warn_of_end(credential, account.secret_name, now),
    )


def check_organization(client: JumpCloudClient, organization_id: str, now: datetime) -> tuple[Finding, ...]:
    """A finding for each of SYNC_CAPABILITIES; reads one page of each at most."""
    found: dict[str, Finding] = {}
    first: dict[str, str | None] = {}
    for capability, stream in LISTINGS.items():
        try:
            row = next(iter_rows(client, stream, organization_id), None)
            first[capability] = row_id(row) if row else None
            found[capability] = Finding(capability, YES)
        except JumpCloudError as error:
            reason = str(explain(error, client.account, capability))
            if capability == USERS_STREAM and isinstance(error, CredentialError | TransientError):
                # It would be the same for every other, and a wait each time.
                return tuple(Finding(one, NO, reason) for one in SYNC_CAPABILITIES)
            found[capability] = Finding(capability, NO if capability in REQUIRED else state_without(error), reason)
    found[ACCESS] = _check_access(client, organization_id, first)
    found[INSIGHTS] = check_insights(client, organization_id, now)
    return tuple(found[capability] for capability in SYNC_CAPABILITIES)


def state_without(error: JumpCloudError) -> str:
    """The state of what `error` kept from being read: nothing is known of what could not be asked."""
    return UNKNOWN if isinstance(error, TransientError | ResponseError) else NO


def check_insights(client: JumpCloudClient, organization_id: str, now: datetime) -> Finding:
    """Whether events can be read, of an organization whose users can.

    An organization without Directory Insights may be answered with nothing: only an event says that there are any.
    """
    days = client.account.usage_retention_days
    try:
        for span in (PROBED_RANGE, timedelta(days=days)):
            if count_events_until(client, organization_id, now, span):
                return Finding(INSIGHTS, YES)
    except JumpCloudError as error:
        state = NO if isinstance(error, NotEnabledError | PermissionDeniedError) else UNKNOWN
        return Finding(INSIGHTS, state, str(explain(error, client.account, "Directory Insights")))
    return Finding(
        INSIGHTS,
        UNKNOWN,
        f"Directory Insights answers, and holds no event of the last {days} days: nobody has logged in, or the plan "
        "does not include it.",
    )


def count_events_until(
    client: JumpCloudClient, organization_id: str, now: datetime, span: timedelta = PROBED_RANGE
) -> int:
    """The events of the last `span` before `now` (naive UTC), as JumpCloud counts them: whether there are any to read.

    Raises NotEnabledError or PermissionDeniedError where Directory Insights are refused, and CredentialError where the
    users are refused, too: then the answer is about the key.
    """
    end = now.replace(microsecond=0, tzinfo=UTC)
    try:
        return client.count_events(organization_id, client.settings.usage_services, end - span, end)
    except (NotEnabledError, PermissionDeniedError) as error:
        try:
            client.get(SYSTEMUSERS.path, {"limit": 1}, organization_id=organization_id)
        except CAN_HEAL:
            raise
        except RequestError as of_users:
            told = f"{of_users} (Directory Insights refused too: {error.status} {error.detail})"
            raise CredentialError(told, status=of_users.status, detail=of_users.detail) from of_users
        raise


def _check_listed(client: JumpCloudClient, organization: Organization, now: datetime) -> OrganizationReport:
    organization_id = str(organization["organization_id"])
    error = organization["error"]
    findings = (
        check_organization(client, organization_id, now)
        if error is None
        else tuple(Finding(capability, NO, error) for capability in SYNC_CAPABILITIES)
    )
    return OrganizationReport(organization_id, organization["organization_name"], findings)


def _check_access(client: JumpCloudClient, organization_id: str, first: dict[str, str | None]) -> Finding:
    """Who reaches what is read of each application and each group; of the first of each, here."""
    edges = ((APPLICATION_ASSOCIATIONS, first.get(APPS)), (USERGROUP_MEMBERS, first.get(GROUPS)))
    to_read = [(stream, parent) for stream, parent in edges if parent is not None]
    try:
        for stream, parent in to_read:
            next(iter_rows(client, stream, organization_id, parent), None)
    except JumpCloudError as error:
        return Finding(ACCESS, NO, str(explain(error, client.account, "access")))
    if to_read:
        return Finding(ACCESS, YES)
    return Finding(ACCESS, UNKNOWN, "There is neither an application nor a group whose access could be read.")
