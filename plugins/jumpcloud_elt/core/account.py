"""A JumpCloud account as an Airflow connection describes it: read, checked, and turned into base URLs.

Does not talk to JumpCloud. The fields and their labels are declared in `provider_info`. A message names a field, the
length of what was given and what is allowed, never the value: it may be a key that was entered in a wrong field.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.provider_info import CONNECTION_TYPE_INFO

REGION_HOST_INFIX = {"us": "", "eu": "eu.", "in": "in."}
CONNECTION_TYPE = "jumpcloud"
PERMISSIONS = ("read", "read_and_act")
EXTRAS = tuple(CONNECTION_TYPE_INFO["conn-fields"])
# No key is a name without digits.
EXTRA_NAME = re.compile(r"[A-Za-z_ -]{1,40}")
API_KEY_PREFIXES = ("jca_", "jcs_")
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
    extra: str | None


@dataclass(frozen=True)
class Account:
    """How to reach one JumpCloud account. `secret` is an API key, or a client secret with `client_id`."""

    connection_id: str
    secret: str = field(repr=False)
    client_id: str | None = field(repr=False)
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
            f"Connection {connection.conn_id!r}: Connection type: {_given(connection.conn_type)}; "
            "allowed: JumpCloud (jumpcloud)"
        )
    problems: list[str] = []
    extra = _extra(connection.extra, problems)
    secret = (connection.password or "").strip()
    if not secret:
        problems.append("API key: missing; allowed: a JumpCloud API key, or the client secret of a service account")
    elif not secret.isprintable() or not secret.isascii() or " " in secret:
        problems.append("API key: contains spaces, line breaks or other characters that no key has")
    client_id = (connection.login or "").strip() or None
    if client_id and (client_id == secret or client_id.startswith(API_KEY_PREFIXES)):
        problems.append(
            f"Service account client id: {_given(client_id)}, which are an API key; allowed: the client id of a "
            "service account, or nothing with an API key"
        )
    region = str(extra.get("region") or "us").strip().lower()
    if region not in REGION_HOST_INFIX:
        problems.append(f"Region: {_given(region)}; allowed: us, eu, in")
    permission = str(extra.get("permission") or "read").strip().lower()
    if permission not in PERMISSIONS:
        problems.append(f"Permission: {_given(permission)}; allowed: {', '.join(PERMISSIONS)}")
    base_url = _base_url(connection, problems)
    included = _organization_ids(extra, "organization_ids", "Organization ids", problems)
    retention = _days(extra.get("usage_retention_days"), problems)
    token_url = str(extra.get("token_url") or "").strip()
    if token_url and not _is_url(token_url):
        problems.append(f"Token URL: {_given(token_url)}; allowed: an http or https URL")
    if problems:
        raise ConfigurationError(
            f"Connection {connection.conn_id!r} of type JumpCloud cannot be used:\n- " + "\n- ".join(problems)
        )
    infix = REGION_HOST_INFIX[region]
    return Account(
        connection_id=connection.conn_id,
        secret=secret,
        client_id=client_id,
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
    # A word alone may be a key: looking it up would tell it to name servers.
    is_word = not any(char in host for char in ".:[") and not connection.port and host != "localhost"
    if is_word or not _is_url(url) or urlsplit(url).query or urlsplit(url).fragment:
        problems.append(f"Base URL: {_given(host)}; allowed: a full host name, or an http or https URL without a query")
        return None
    if f".{urlsplit(url).hostname}".rstrip(".").endswith(".jumpcloud.com"):
        # Each of its APIs has a host of its own, and a base URL stands for all of them.
        problems.append(f"Base URL: {_given(host)}, a host of JumpCloud's own; leave Base URL empty, choose Region")
        return None
    if "api" in urlsplit(url).path.lower().split("/"):
        problems.append(
            f"Base URL: {_given(host)}, with /api in its path; allowed: the same without /api and what follows it"
        )
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


def _given(value: object) -> str:
    length = len("" if value is None else str(value))
    return f"{length} character{'' if length == 1 else 's'} given"


def _extra(text: str | None, problems: list[str]) -> Mapping[str, object]:
    """The extras; a name that is none of the form's is a problem, for what it was to restrict would not be."""
    try:
        extra = json.loads(text or "{}")
    except ValueError:
        extra = None
    if not isinstance(extra, dict):
        problems.append(f"Extra: {_given(text)}; allowed: a JSON object with {', '.join(EXTRAS)}")
        return {}
    for name, value in extra.items():
        if name not in EXTRAS:
            shown = name if EXTRA_NAME.fullmatch(name) else f"a name of {len(name)} characters"
            problems.append(f"Extra: {shown} with {_given(value)}; allowed: {', '.join(EXTRAS)}")
    return extra


def _organization_ids(extra: Mapping[str, object], name: str, label: str, problems: list[str]) -> tuple[str, ...]:
    given = extra.get(name)
    if given is None:
        return ()
    if not isinstance(given, str | list):
        problems.append(f"{label}: {_given(given)}; allowed: a comma-separated text or a list")
        return ()
    parts = given.replace(";", ",").split(",") if isinstance(given, str) else [str(part) for part in given]
    ids = [part.strip() for part in parts if part.strip()]
    wrong = [one for one in ids if not ORGANIZATION_ID.fullmatch(one)]
    if wrong:
        lengths = " and ".join(str(len(one)) for one in wrong)
        problems.append(
            f"{label}: {len(wrong)} of {len(ids)} are no ids ({lengths} characters given); "
            "allowed: ids of 24 hexadecimal digits"
        )
    return tuple(dict.fromkeys(one.lower() for one in ids))


def _days(given: object, problems: list[str]) -> int:
    if given is None or given == "":
        return USAGE_RETENTION_DAYS
    try:
        days = int(str(given))
    except ValueError:
        days = 0
    if not 1 <= days <= 3650:
        problems.append(f"Usage retention in days: {_given(given)}; allowed: a whole number from 1 to 3650")
    return days
