"""Bodies of Directory Insights queries: what is refused, what is silently replaced by a default.

The statuses are published; the wording is, save for the order of the two times, inferred.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jumpcloud_sandbox.errors import bad_request, not_offered
from jumpcloud_sandbox.events import Position
from jumpcloud_sandbox.timestamps import MILLISECOND, format_ns, parse_ns
from jumpcloud_sandbox.world import Json

DEFAULT_LIMIT = 1000
MAX_LIMIT = 10_000
SERVICES = (
    "access_management",
    "alerts",
    "asset_management",
    "directory",
    "ldap",
    "mdm",
    "notifications",
    "object_storage",
    "password_manager",
    "radius",
    "reports",
    "saas_app_management",
    "software",
    "sso",
    "systems",
    "workflows",
)
# "all" leaves out access management, whose events are read only when named. Inferred.
ALL = frozenset(SERVICES) - {"access_management"}
# A projection that names none of these is refused. From the attribute tables of the specification.
# fmt: off
KNOWN_FIELDS = frozenset((
    "@version", "application", "association", "auth_context", "auth_meta", "auth_method", "auth_type",
    "changes", "client_ip", "correlation", "eap_type", "error_message", "event_type", "geoip", "id",
    "idm_client_id", "idp_initiated", "initiated_by", "message_chain", "mfa", "mfa_meta", "nas_mfa_state",
    "organization", "outer", "provider", "resource", "server_timestamp", "service", "sso_token_success",
    "success", "system", "system_group", "system_timestamp", "target_resource", "timestamp",
    "timestamp_source", "user_agent", "useragent", "username",
))
# fmt: on
_NOT_SEARCHABLE = {"changes", "useragent", "system_timestamp"}


@dataclass(frozen=True)
class Query:
    """A query that can be answered. Times are milliseconds, both inclusive."""

    services: frozenset[str]
    start: int
    end: int | None
    test: Callable[[Json], bool] | None


@dataclass(frozen=True)
class Paging:
    limit: int
    skip: int
    ascending: bool
    cursor: Position | None
    fields: list[str] | None


def parse_query(body: Json, *, now_ns: int) -> Query:
    """What every route takes. Raises ApiError 400."""
    for name in ("q", "exact_match"):
        if body.get(name):
            raise not_offered(f'"{name}"')
    services = _services(body.get("service"))
    start = _time(body, "start_time")
    if start > now_ns:
        raise bad_request("Start Time is in the future")
    end = None
    if body.get("end_time") is not None:
        end = _time(body, "end_time")
        if end <= start:
            times = f"{format_ns(start, 0)} > {format_ns(end, 0)}"
            raise bad_request(f"Start Time not after End Time {times}")
    term = body.get("search_term")
    # Whole milliseconds, because that is what the store sorts and pages by. Inferred.
    return Query(
        services=services,
        start=start // MILLISECOND,
        end=None if end is None else end // MILLISECOND,
        test=_search(term) if term else None,
    )


def parse_paging(body: Json) -> Paging:
    """What /events takes besides. Raises ApiError 400."""
    limit, skip = body.get("limit"), body.get("skip", 0)
    fields = body.get("fields")
    if fields is not None:
        names = [name for name in fields if isinstance(name, str)] if isinstance(fields, list) else []
        if not any(name.partition(".")[0] in KNOWN_FIELDS for name in names):
            raise bad_request("fields contains no known field")
        fields = names
    return Paging(
        limit=min(limit, MAX_LIMIT) if _is_count(limit) and limit else DEFAULT_LIMIT,
        skip=int(skip) if _is_count(skip) else 0,
        ascending=str(body.get("sort")).upper() != "DESC",
        cursor=_cursor(body.get("search_after")),
        fields=fields,
    )


def field_value(event: Json, name: str) -> Any:
    """A field by dot notation, or None."""
    value: Any = event
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _services(value: Any) -> frozenset[str]:
    if not isinstance(value, list) or not value:
        raise bad_request("service is required and must be a list")
    if unknown := [name for name in value if name != "all" and name not in SERVICES]:
        supported = ", ".join(sorted((*SERVICES, "all")))
        raise bad_request(f"Unknown service {unknown[0]!r}, supported values are: {supported}")
    named = frozenset(value) - {"all"}
    return named | ALL if "all" in value else named


def _time(body: Json, name: str) -> int:
    try:
        return parse_ns(body.get(name))
    except ValueError:
        raise bad_request(f"{name} is missing or not an RFC 3339 time") from None


def _cursor(value: Any) -> Position | None:
    """Taken back as it was sent in the header; the published schema says strings, so those too."""
    if not value:
        return None
    try:
        milliseconds, document = value
        return int(milliseconds), str(document)
    except (TypeError, ValueError):
        raise bad_request("search_after must be the value of the X-Search_after header") from None


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _search(term: Any) -> Callable[[Json], bool]:
    """`search_term`: and, or, not over ``{field: value or values}``, nested; an object stands for a list."""
    if not isinstance(term, dict) or not term:
        raise bad_request("search_term must be an object")
    tests = [_clause(name, value) for name, value in term.items()]
    return lambda event: all(test(event) for test in tests)


def _clause(name: str, value: Any) -> Callable[[Json], bool]:
    if name in ("and", "or", "not"):
        parts = value if isinstance(value, list) else [value]
        tests = [_search(part) for part in parts]
        if name == "or":
            if isinstance(value, dict):
                tests = [_clause(field, wanted) for field, wanted in value.items()]
            return lambda event: any(test(event) for test in tests)
        wanted = name == "and"
        return lambda event: all(test(event) for test in tests) is wanted
    if name.partition(".")[0] in _NOT_SEARCHABLE:
        raise bad_request(f"{name} is not searchable")
    values = {_textual(item) for item in (value if isinstance(value, list) else [value])}
    # Only the stored side is put into lower case: a search for "PEAP" finds nothing, as documented.
    return lambda event: _textual(field_value(event, name)).lower() in values


def _textual(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
