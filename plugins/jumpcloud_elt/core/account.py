"""A JumpCloud account as an Airflow connection describes it: read, checked, and turned into base URLs.

Does not talk to JumpCloud. The fields and their labels are declared in `provider_info`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from jumpcloud_elt.errors import ConfigurationError

REGION_HOST_INFIX = {"us": "", "eu": "eu.", "in": "in."}
CONNECTION_TYPE = "jumpcloud"
PERMISSIONS = ("read", "read_and_act")
ORGANIZATION_ID = re.compile(r"[0-9a-fA-F]{24}")
HTTPS_PORT = 443
# JumpCloud keeps events 15 to 90 days, by plan, and cannot be asked which.
USAGE_RETENTION_DAYS = 90
# The only token host that is known; JumpCloud's own exporters use it for every region.
TOKEN_URL = "https://admin-oauth.id.jumpcloud.com/oauth2/token"  # noqa: S105, not a password


class ConnectionFields(Protocol):
    """The part of an Airflow connection that is read; both of Airflow's connection classes have it."""

    conn_id: str
    conn_type: str | None
    host: str | None
    schema: str | None
    login: str | None
    password: str | None
    port: int | None

    @property
    def extra_dejson(self) -> dict[str, object]: ...


@dataclass(frozen=True)
class Account:
    """How to reach one JumpCloud account. `secret` is an API key, or a client secret with `client_id`."""

    connection_id: str
    secret: str = field(repr=False)
    client_id: str | None
    region: str
    console_url: str
    insights_url: str
    token_url: str
    organization_ids: tuple[str, ...]
    permission: str
    usage_retention_days: int

    @property
    def is_service_account(self) -> bool:
        return self.client_id is not None

    @property
    def secret_name(self) -> str:
        """What JumpCloud calls the secret."""
        return "client secret" if self.is_service_account else "API key"

    @property
    def may_act(self) -> bool:
        return self.permission == "read_and_act"


def read_account(connection: ConnectionFields) -> Account:
    """Return the account of `connection`, or raise one ConfigurationError that names every wrong field."""
    if connection.conn_type != CONNECTION_TYPE:
        # What is in it is another product's secret: it is sent nowhere.
        raise ConfigurationError(
            f"Connection {connection.conn_id!r} is of type {connection.conn_type!r}; allowed: JumpCloud (jumpcloud)"
        )
    extra = connection.extra_dejson
    problems: list[str] = []
    secret = (connection.password or "").strip()
    if not secret:
        problems.append("API key: missing; allowed: a JumpCloud API key, or the client secret of a service account")
    elif not secret.isprintable() or not secret.isascii() or " " in secret:
        problems.append("API key: contains spaces, line breaks or other characters that no key has")
    region = str(extra.get("region") or "us").strip().lower()
    if region not in REGION_HOST_INFIX:
        problems.append(f"Region: {region!r} given; allowed: us, eu, in")
    permission = str(extra.get("permission") or "read").strip().lower()
    if permission not in PERMISSIONS:
        problems.append(f"Permission: {permission!r} given; allowed: {', '.join(PERMISSIONS)}")
    base_url = _base_url(connection, problems)
    included = _organization_ids(extra, "organization_ids", "Organization ids", problems)
    retention = _days(extra.get("usage_retention_days"), problems)
    token_url = str(extra.get("token_url") or "").strip()
    if token_url and not _is_url(token_url):
        problems.append(f"Token URL: {_shown(token_url)} given; allowed: an http or https URL")
    if problems:
        raise ConfigurationError(
            f"Connection {connection.conn_id!r} of type JumpCloud cannot be used:\n- " + "\n- ".join(problems)
        )
    infix = REGION_HOST_INFIX[region]
    return Account(
        connection_id=connection.conn_id,
        secret=secret,
        client_id=(connection.login or "").strip() or None,
        region=region,
        console_url=base_url or f"https://console.{infix}jumpcloud.com",
        insights_url=base_url or f"https://api.{infix}jumpcloud.com",
        token_url=token_url or (f"{base_url}/oauth2/token" if base_url else TOKEN_URL),
        organization_ids=included,
        permission=permission,
        usage_retention_days=retention,
    )


def _base_url(connection: ConnectionFields, problems: list[str]) -> str | None:
    """The base URL that overrides the region's, without a trailing slash; None where no host is given."""
    host = (connection.host or "").strip()
    if not host:
        return None
    url = host if "://" in host else f"{connection.schema or 'https'}://{host}"
    if not _is_url(url) or urlsplit(url).query or urlsplit(url).fragment:
        problems.append(f"Base URL: {_shown(host)} given; allowed: a host name or an http or https URL")
        return None
    url = url.rstrip("/")
    parts = urlsplit(url)
    # 443 is what Airflow's Test button wants to see, and no port of http.
    is_of_the_button = parts.scheme == "http" and connection.port == HTTPS_PORT
    if parts.port is None and connection.port and not is_of_the_button:
        url = f"{parts.scheme}://{parts.netloc}:{connection.port}{parts.path}"
    return url


def _is_url(text: str) -> bool:
    """Whether `text` is an http or https URL with a host, and without a user or password in it."""
    try:
        parts = urlsplit(text)
        _ = parts.port  # raises ValueError where it is no number
    except ValueError:
        return False
    is_clean = "@" not in parts.netloc and not any(char.isspace() for char in text)
    return parts.scheme in ("http", "https") and bool(parts.hostname) and is_clean


def _shown(url: str) -> str:
    """A URL for a message, without what stands before `@`: that may be the key."""
    return repr("***@" + url.rpartition("@")[2] if "@" in url else url)


def _organization_ids(extra: Mapping[str, object], name: str, label: str, problems: list[str]) -> tuple[str, ...]:
    given = extra.get(name)
    if given is None:
        return ()
    if not isinstance(given, str | list):
        problems.append(f"{label}: {given!r} given; allowed: a comma-separated text or a list")
        return ()
    parts = given.replace(";", ",").split(",") if isinstance(given, str) else [str(part) for part in given]
    ids = [part.strip() for part in parts if part.strip()]
    wrong = [one for one in ids if not ORGANIZATION_ID.fullmatch(one)]
    if wrong:
        problems.append(f"{label}: {', '.join(map(repr, wrong))} given; allowed: ids of 24 hexadecimal digits")
    return tuple(dict.fromkeys(one.lower() for one in ids))


def _days(given: object, problems: list[str]) -> int:
    if given is None or given == "":
        return USAGE_RETENTION_DAYS
    try:
        days = int(str(given))
    except ValueError:
        days = 0
    if not 1 <= days <= 3650:
        problems.append(f"Usage retention in days: {given!r} given; allowed: a whole number from 1 to 3650")
    return days
