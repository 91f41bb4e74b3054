"""What a connection check found, as data and as text. Asks nothing."""

from __future__ import annotations

from dataclasses import dataclass

from jumpcloud_elt.core.account import Account
from jumpcloud_elt.core.organization import NO, YES, Credential

USERS_STREAM, ADMINS, ROLES_STREAM, GROUPS, APPS, ACCESS, INSIGHTS = (
    "users",
    "administrators",
    "roles",
    "groups",
    "applications",
    "access",
    "directory_insights",
)

# What is synced, in the order in which it is shown; an organization is synced without what is not required.
SYNC_CAPABILITIES = (USERS_STREAM, ADMINS, ROLES_STREAM, GROUPS, APPS, ACCESS, INSIGHTS)
REQUIRED = (USERS_STREAM, GROUPS, APPS, ACCESS)


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


def as_text(report: ConnectionReport) -> str:
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
