"""What a connection can and cannot do, found out by reading a little of everything: a report, capability by capability.

The Test button, `airflow connections test` and jumpcloud_check_connection show it; the directory Dag uses it for an
organization that failed. Lands nothing, changes nothing.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

from jumpcloud_elt.causes import explain
from jumpcloud_elt.connection import Account
from jumpcloud_elt.credential import NO, UNKNOWN, YES, Credential, warn_of_end
from jumpcloud_elt.errors import (
    ConfigurationError,
    CredentialError,
    JumpCloudError,
    NotEnabledError,
    PermissionDeniedError,
    TransientError,
)
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.organizations import Organization, credential_of, list_of_connection
from jumpcloud_elt.settings import Settings
from jumpcloud_elt.streams import (
    ADMINISTRATORS,
    APPLICATION_ASSOCIATIONS,
    APPLICATIONS,
    SYSTEMUSERS,
    USERGROUP_MEMBERS,
    USERGROUPS,
    iter_rows,
    row_id,
)

USERS, ADMINS, GROUPS, APPS, ACCESS, INSIGHTS = (
    "users",
    "administrators",
    "groups",
    "applications",
    "access",
    "directory_insights",
)
# What is synced, in the order in which it is shown. Only usage does without the last.
SYNC_CAPABILITIES = (USERS, ADMINS, GROUPS, APPS, ACCESS, INSIGHTS)
REQUIRED = SYNC_CAPABILITIES[:-1]
LISTINGS = {USERS: SYSTEMUSERS, ADMINS: ADMINISTRATORS, GROUPS: USERGROUPS, APPS: APPLICATIONS}
PROBED_RANGE = timedelta(hours=1)
# Somebody waits for the answer.
PATIENCE = {"request_attempts": 2, "retry_wait_max_seconds": 5.0, "read_timeout_seconds": 20.0}
THREADS = 8


@dataclass(frozen=True)
class Finding:
    """Whether something can be done: `yes`, `no` or `unknown`, and, unless it is yes, why and what to do."""

    capability: str
    state: str
    reason: str | None = None


@dataclass(frozen=True)
class OrganizationReport:
    """What can be read of one organization: a finding for each of SYNC_CAPABILITIES."""

    organization_id: str
    organization_name: str
    findings: tuple[Finding, ...]

    @property
    def can_be_synced(self) -> bool:
        return not any(one.state == NO and one.capability in REQUIRED for one in self.findings)


@dataclass(frozen=True)
class ConnectionReport:
    """What a connection can do. `failure`: why it can do nothing at all; then there is little else.

    `unchecked` names the organizations that were seen and, being too many to wait for, not looked into.
    """

    connection_id: str
    failure: str | None
    account: Account | None = None
    credential: Credential | None = None
    organizations: tuple[OrganizationReport, ...] = ()
    unchecked: tuple[str, ...] = ()
    warning: str | None = None

    @property
    def works(self) -> bool:
        """Whether every organization that was looked into can be synced; without usage, if need be."""
        return self.failure is None and all(one.can_be_synced for one in self.organizations)


def patient_for_seconds(settings: Settings) -> Settings:
    """`settings` for when somebody waits, or when it is known already that something does not answer."""
    return replace(settings, **{name: min(getattr(settings, name), most) for name, most in PATIENCE.items()})


def check_connection(hook: JumpCloudHook, now: datetime, *, at_most: int | None = None) -> ConnectionReport:
    """Look into the connection of `hook`, and into its first `at_most` organizations. `now` is naive UTC.

    Raises nothing of the package's own: what goes wrong is what the report is about.
    """
    connection_id = hook.jumpcloud_conn_id
    try:
        account = hook.account
    except ConfigurationError as error:
        return ConnectionReport(connection_id, str(error))
    try:
        listed = list_of_connection(hook)
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
    with ThreadPoolExecutor(min(THREADS, len(chosen))) as pool:
        organizations = tuple(pool.map(lambda one: _check_listed(hook, one, now), chosen))
    credential = credential_of(hook, listed, now)
    return ConnectionReport(
        connection_id=connection_id,
        failure=None,
        account=account,
        credential=credential,
        organizations=organizations,
        unchecked=tuple(one["organization_name"] for one in listed[len(chosen) :]),
        warning=warn_of_end(credential, account.secret_name, now),
    )


def check_organization(hook: JumpCloudHook, organization_id: str, now: datetime) -> tuple[Finding, ...]:
    """A finding for each of SYNC_CAPABILITIES; reads one page of each at most."""
    found: dict[str, Finding] = {}
    first: dict[str, str | None] = {}
    for capability, stream in LISTINGS.items():
        try:
            row = next(iter_rows(hook, stream, organization_id), None)
            first[capability] = row_id(row) if row else None
            found[capability] = Finding(capability, YES)
        except JumpCloudError as error:
            reason = str(explain(error, hook.account, capability))
            if capability == USERS and isinstance(error, CredentialError | TransientError):
                # It would be the same for every other, and a wait each time.
                return tuple(Finding(one, NO, reason) for one in SYNC_CAPABILITIES)
            found[capability] = Finding(capability, NO, reason)
    found[ACCESS] = _check_access(hook, organization_id, first)
    found[INSIGHTS] = check_insights(hook, organization_id, now)
    return tuple(found[capability] for capability in SYNC_CAPABILITIES)


def check_insights(hook: JumpCloudHook, organization_id: str, now: datetime) -> Finding:
    """Whether events can be read, of an organization whose users can.

    An organization without Directory Insights may be answered with nothing: only an event says that there are any.
    """
    end = now.replace(microsecond=0, tzinfo=UTC)
    days = hook.account.usage_retention_days
    try:
        for span in (PROBED_RANGE, timedelta(days=days)):
            if hook.count_events(organization_id, hook.settings.usage_services, end - span, end):
                return Finding(INSIGHTS, YES)
    except (NotEnabledError, PermissionDeniedError) as error:
        return Finding(INSIGHTS, NO, str(explain(error, hook.account, "Directory Insights")))
    except JumpCloudError as error:
        return Finding(INSIGHTS, UNKNOWN, str(explain(error, hook.account, "Directory Insights")))
    return Finding(
        INSIGHTS,
        UNKNOWN,
        f"Directory Insights answers, and holds no event of the last {days} days: nobody has logged in, or the plan "
        "does not include it.",
    )


def _check_listed(hook: JumpCloudHook, organization: Organization, now: datetime) -> OrganizationReport:
    organization_id = str(organization["organization_id"])
    error = organization["error"]
    findings = (
        check_organization(hook, organization_id, now)
        if error is None
        else tuple(Finding(capability, NO, error) for capability in SYNC_CAPABILITIES)
    )
    return OrganizationReport(organization_id, organization["organization_name"], findings)


def _check_access(hook: JumpCloudHook, organization_id: str, first: dict[str, str | None]) -> Finding:
    """Who reaches what is read of each application and each group; of the first of each, here."""
    edges = ((APPLICATION_ASSOCIATIONS, first.get(APPS)), (USERGROUP_MEMBERS, first.get(GROUPS)))
    to_read = [(stream, parent) for stream, parent in edges if parent is not None]
    try:
        for stream, parent in to_read:
            next(iter_rows(hook, stream, organization_id, parent), None)
    except JumpCloudError as error:
        return Finding(ACCESS, NO, str(explain(error, hook.account, "access")))
    if to_read:
        return Finding(ACCESS, YES)
    return Finding(ACCESS, UNKNOWN, "There is neither an application nor a group whose access could be read.")


def render(report: ConnectionReport) -> str:
    """The report as text, a line for each finding: what the Dag logs."""
    if report.failure is not None:
        return f"Connection {report.connection_id!r} does not work.\n{report.failure}"
    lines = [f"Connection {report.connection_id!r} {'works' if report.works else 'does not work'}."]
    lines += [f"Warning: {report.warning}"] if report.warning else []
    for organization in report.organizations:
        lines.append(f"{organization.organization_name} ({organization.organization_id})")
        lines += [
            f"  {one.capability:<19}{one.state}{f'  {one.reason}' if one.reason else ''}"
            for one in organization.findings
        ]
    lines += [f"Not looked into: {', '.join(report.unchecked)}"] if report.unchecked else []
    return "\n".join([*lines, *_of_credential(report)])


def summarise(report: ConnectionReport) -> str:
    """The report in a few sentences: what the Test button shows. Findings that are the same are said once."""
    if report.failure is not None:
        return report.failure
    names = [one.organization_name for one in report.organizations] + list(report.unchecked)
    sentences = [f"{len(names)} organization{'s' if len(names) > 1 else ''}: {', '.join(names[:5])}"]
    sentences[0] += f" and {len(names) - 5} more." if len(names) > 5 else "."
    sentences += [f"Warning: {report.warning}"] if report.warning else []
    lacking = {one.capability for each in report.organizations for one in each.findings if one.state != YES}
    can = [capability for capability in SYNC_CAPABILITIES if capability not in lacking]
    sentences += [f"Can be read: {', '.join(map(_in_words, can))}."] if can else []
    whose: dict[str, list[str]] = {}
    for organization in report.organizations:
        for reason in dict.fromkeys(one.reason for one in organization.findings if one.reason):
            whose.setdefault(reason, []).append(organization.organization_name)
    for reason, those in whose.items():
        sentences.append(reason if len(those) == len(names) else f"{', '.join(those)}: {reason}")
    sentences += _of_credential(report, is_short=True)
    if report.unchecked:
        were = "was" if len(report.unchecked) == 1 else "were"
        sentences.append(f"{len(report.unchecked)} {were} not looked into: run jumpcloud_check_connection.")
    return "\n".join(sentences)


def _in_words(capability: str) -> str:
    return "Directory Insights" if capability == INSIGHTS else capability


def _of_credential(report: ConnectionReport, *, is_short: bool = False) -> list[str]:
    account, credential = report.account, report.credential
    if account is None or credential is None:
        return []
    ends_at = credential["ends_at"]
    end = [f"The {account.secret_name} ends on {ends_at[:10]}."] if ends_at else []
    if is_short:
        may_write = [f"Permission: {account.permission}. May the key write: {credential['may_write']}."]
        # Only who wants to act has to know why not.
        is_in_the_way = account.may_act and credential["may_write"] != YES
        return [*may_write, *([credential["may_write_reason"]] if is_in_the_way else []), *end]
    may_act = "actions are allowed" if account.may_act else "actions are refused; read_and_act would allow them"
    return [
        f"Permission is {account.permission}: {may_act}.",
        f"May the key write: {credential['may_write']}. {credential['may_write_reason']}",
        *(end or [f"JumpCloud does not tell when the {account.secret_name} ends."]),
    ]
