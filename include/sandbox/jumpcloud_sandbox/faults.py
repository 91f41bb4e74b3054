"""Rules that make the sandbox misbehave, and the choice of the rule for a request.

A rule is ``{"match": {...}, "do": {...}}``. Of the rules whose turn it is the first one counts. What
"do" does to the wire is in `front`; here is only which requests it befalls.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, NotRequired, TypedDict

from jumpcloud_sandbox.world import Json


class Do(TypedDict):
    """What befalls a request. `body` is JSON, or text that is sent as it is."""

    # The request takes effect all the same, and what follows hides it:
    acted: NotRequired[bool]
    # Instead of the answer:
    status: NotRequired[int]
    body: NotRequired[Any]
    html_body: NotRequired[bool]
    redirect_to: NotRequired[str]
    drop_connection: NotRequired[bool]
    # Before it:
    latency_ms: NotRequired[float]
    clamp_limit: NotRequired[int]
    ignore_skip: NotRequired[bool]
    # To it:
    headers: NotRequired[dict[str, str]]
    truncate_body: NotRequired[bool]
    repeat_cursor: NotRequired[bool]
    wrong_total: NotRequired[int]
    null_rows: NotRequired[int]
    repeat_row: NotRequired[bool]
    # Once it has been worked out: {"delete_users": [ids], "add_users": [payloads], "delete_usergroups": [ids],
    # "delete_applications": [ids], "organization_id"?}.
    mutate: NotRequired[Json]


_MATCH = {"method", "path_regex", "query_regex", "body_regex", "organization_id", "nth", "times"}


@dataclass(frozen=True)
class Seen:
    """What of a request rules look at. `organization_id` is the effective one, header or not."""

    method: str
    path: str
    query: str
    body: bytes
    organization_id: str | None


class Rule:
    """One rule and how often it has matched and fired."""

    def __init__(self, raw: Json) -> None:
        self.match: Json = raw.get("match", {})
        self.do: Do = raw.get("do", {})
        unknown = (set(self.match) - _MATCH) | (set(self.do) - set(Do.__annotations__))
        if unknown:
            raise ValueError(f"a fault rule has unknown keys: {sorted(unknown)}")
        self._patterns = {
            name: re.compile(self.match[name])
            for name in ("path_regex", "query_regex", "body_regex")
            if name in self.match
        }
        self.matched = 0
        self.fired = 0

    def fires(self, seen: Seen) -> bool:
        """Whether it is this rule's turn; counts either way."""
        if not self._matches(seen):
            return False
        self.matched += 1
        nth, times = self.match.get("nth"), self.match.get("times")
        if nth is not None and self.matched not in (nth if isinstance(nth, list) else [nth]):
            return False
        if times is not None and self.fired >= times:
            return False
        self.fired += 1
        return True

    def _matches(self, seen: Seen) -> bool:
        texts = {
            "path_regex": seen.path,
            "query_regex": seen.query,
            "body_regex": seen.body.decode("utf-8", "replace"),
        }
        return (
            self.match.get("method", seen.method).upper() == seen.method
            and self.match.get("organization_id", seen.organization_id) == seen.organization_id
            and all(pattern.search(texts[name]) for name, pattern in self._patterns.items())
        )


class Faults:
    """The rules in force."""

    def __init__(self) -> None:
        self._rules: list[Rule] = []

    def replace(self, rules: list[Json]) -> None:
        """Raises ValueError (bad keys) or re.error; the rules in force then stay."""
        self._rules = [Rule(rule) for rule in rules]

    def choose(self, seen: Seen) -> tuple[int, Do] | None:
        """The rule that befalls this request, by number."""
        for number, rule in enumerate(self._rules):
            if rule.fires(seen):
                return number, rule.do
        return None

    def as_json(self) -> list[Json]:
        return [
            {"match": rule.match, "do": rule.do, "matched": rule.matched, "fired": rule.fired} for rule in self._rules
        ]
