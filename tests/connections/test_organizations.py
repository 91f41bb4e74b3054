"""Which organizations are synced: each once, whoever sees it, and a connection that fails costs only itself."""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from jumpcloud_elt.connections.organizations import discover_organizations
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json

A, B, C = (f"5f0a1c2e9d3b4a00112233{letter * 2}" for letter in "abc")
WORLD = {
    "organizations": [
        {"id": A, "displayName": "Zebra"},
        {"id": B, "displayName": None},
        {"id": C, "displayName": "apple"},
    ],
    "keys": [
        {"key": "key-of-all", "organizations": [A, B, C]},
        {"key": "key-of-a", "organizations": [A]},
        {"key": "key-of-none", "organizations": []},
        {"key": "key-of-few-rights", "organizations": [A, B], "forbidden_routes": ["/api/organizations"]},
    ],
    "service_accounts": [{"client_id": "client", "client_secret": "secret-of-client", "organizations": [A, C]}],
}


@pytest.fixture(scope="module")
def running() -> Iterator[Sandbox]:
    with Sandbox.start(WORLD) as started:
        yield started


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


class Connections:
    """Makes connections to the sandbox and lists what they see."""

    def __init__(self, settings: Settings, monkeypatch: pytest.MonkeyPatch, url: str) -> None:
        self._settings, self._monkeypatch, self._url = settings, monkeypatch, url
        self._names: list[str] = []
        self.exclude: tuple[str, ...] = ()
        monkeypatch.delenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT")

    def add(self, name: str, key: str, *, login: str | None = None, **extra: Any) -> None:
        self.name_only(name)
        value = connection_json(self._url, key, login=login, extra=extra)
        self._monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", value)

    def name_only(self, name: str) -> None:
        """In the configuration, but not in Airflow."""
        self._names.append(name)

    def list(self, *only: str) -> list[Organization]:
        names = tuple(self._names)
        settings = dataclasses.replace(self._settings, connections=names, exclude=self.exclude)
        return discover_organizations(settings, only)

    def told(self, *only: str) -> list[tuple[str, str | None, str]]:
        """Connection, organization and name of what is listed, where none of it has an error."""
        found = self.list(*only)
        assert [one["error"] for one in found] == [None] * len(found)
        return [(one["connection_id"], one["organization_id"], one["organization_name"]) for one in found]


@pytest.fixture
def connections(settings: Settings, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Connections:
    return Connections(settings, monkeypatch, sandbox.url)


def test_a_key_of_one_organization_lists_it_whole(connections: Connections) -> None:
    connections.add("one", "key-of-a")
    [organization] = connections.list()
    payload = json.loads(organization.pop("payload"))  # type: ignore[misc]
    assert organization == {
        "connection_id": "one",
        "organization_id": A,
        "organization_name": "Zebra",
        "error": None,
    }
    assert (payload["_id"], payload["displayName"]) == (A, "Zebra")


def test_a_key_of_many_lists_them_by_name_and_one_without_name_by_its_id(connections: Connections) -> None:
    connections.add("all", "key-of-all")
    assert connections.told() == [("all", B, B), ("all", C, "apple"), ("all", A, "Zebra")]


def test_a_service_account_lists_its_organizations(connections: Connections) -> None:
    connections.add("robot", "secret-of-client", login="client")
    assert connections.told() == [("robot", C, "apple"), ("robot", A, "Zebra")]


def test_a_connection_can_be_restricted(connections: Connections) -> None:
    connections.add("some", "key-of-all", organization_ids=f"{A},{B.upper()}")
    assert connections.told() == [("some", B, B), ("some", A, "Zebra")]


@pytest.mark.parametrize("named", [[], [A, B]])
def test_an_organization_that_is_excluded_is_left_out(named: list[str], connections: Connections) -> None:
    connections.add("all", "key-of-all", organization_ids=named)
    connections.exclude = (B,)
    assert A in {organization_id for _, organization_id, _ in connections.told()}
    assert B not in {organization_id for _, organization_id, _ in connections.told()}


def test_a_connection_that_is_excluded_is_not_even_asked(connections: Connections, sandbox: Sandbox) -> None:
    connections.add("broken", "no-such-key")
    connections.add("one", "key-of-a")
    connections.exclude = ("broken",)
    assert connections.told() == [("one", A, "Zebra")]
    assert {entry["key"] for entry in sandbox.requests()} == {"key-2"}


def test_a_run_can_be_restricted(connections: Connections) -> None:
    connections.add("all", "key-of-all")
    assert connections.told(A, B) == [("all", B, B), ("all", A, "Zebra")]


def test_an_organization_that_two_connections_reach_belongs_to_the_first(connections: Connections) -> None:
    connections.add("second_by_name", "key-of-a")
    connections.add("all", "key-of-all")
    assert connections.told() == [("all", B, B), ("all", C, "apple"), ("second_by_name", A, "Zebra")]


def test_an_id_that_the_key_does_not_see_is_an_entry_with_what_to_do(connections: Connections) -> None:
    connections.add("wrong", "key-of-a", organization_ids=[A, C])
    first, second = connections.list()
    assert (first["organization_id"], first["organization_name"]) == (C, C)
    assert str(first["error"]).startswith(f"Organization {C} is named in connection 'wrong', but its key does not")
    assert (second["organization_id"], second["error"]) == (A, None)


@pytest.mark.parametrize("is_wrong_first", [True, False])
def test_an_id_that_one_connection_does_not_see_is_synced_by_one_that_does(
    is_wrong_first: bool, connections: Connections
) -> None:
    add = [
        lambda: connections.add("wrong", "key-of-a", organization_ids=[C]),
        lambda: connections.add("all", "key-of-all", organization_ids=[C]),
    ]
    for one in add if is_wrong_first else reversed(add):
        one()
    assert connections.told() == [("all", C, "apple")]


def test_a_connection_that_fails_does_not_block_a_good_one(connections: Connections) -> None:
    connections.add("bad", "no-such-key")
    connections.name_only("missing")
    connections.add("broken", "key-of-all", region="mars")
    connections.add("good", "key-of-a")
    good, *failed = connections.list()
    assert (good["organization_id"], good["error"]) == (A, None)
    assert [(one["connection_id"], one["organization_id"], one["organization_name"]) for one in failed] == [
        ("bad", None, "connection bad"),
        ("missing", None, "connection missing"),
        ("broken", None, "connection broken"),
    ]
    words = [
        "401 Unauthorized: api key user not found",
        "There is no connection 'missing'",
        "Region: 4 characters given",
    ]
    assert [word in str(one["error"]) for word, one in zip(words, failed, strict=True)] == [True] * 3


def test_a_connection_that_answers_with_trouble_is_named_with_it(connections: Connections, sandbox: Sandbox) -> None:
    connections.add("all", "key-of-all")
    sandbox.set_faults({"match": {"path_regex": "organizations"}, "do": {"status": 503}})
    [failed] = connections.list()
    assert (failed["organization_id"], failed["organization_name"]) == (None, "connection all")
    assert "503 Service Unavailable; tried" in str(failed["error"])


def test_without_any_connection_the_run_fails_with_what_to_do(connections: Connections) -> None:
    connections.name_only("missing")
    with pytest.raises(
        ConfigurationError, match=r"(?s)No organization can be synced.*Create it under Admin > Connections"
    ):
        connections.list()


def test_a_refused_key_fails_by_the_name_of_its_connection_with_what_to_do(connections: Connections) -> None:
    connections.add("bad", "no-such-key")
    [failed] = connections.list()
    assert (failed["organization_id"], failed["organization_name"]) == (None, "connection bad")
    assert "check that the key is complete and current" in str(failed["error"])


def test_without_any_organization_the_run_fails_with_what_to_do(connections: Connections) -> None:
    connections.add("empty", "key-of-none")
    connections.add("rest", "key-of-a")
    connections.exclude = (A,)
    with pytest.raises(ConfigurationError, match=r"connections empty, rest see no organization\. Check"):
        connections.list()


def test_an_organization_asked_for_that_nobody_sees_is_an_entry(connections: Connections) -> None:
    connections.add("one", "key-of-a")
    first, second = connections.list(A, C)
    assert (first["organization_id"], first["error"]) == (A, None)
    assert (second["organization_id"], second["connection_id"]) == (C, "")
    assert second["error"] == f"Organization {C} was asked for, but no configured connection sees it."
    [only] = connections.list(C)
    assert only == second


def test_a_role_that_may_not_list_syncs_the_organizations_that_are_named(connections: Connections) -> None:
    connections.add("few", "key-of-few-rights", organization_ids=[B, A])
    assert connections.told() == [("few", A, A), ("few", B, B)]
    assert [one["payload"] for one in connections.list()] == [f'{{"id":"{A}"}}', f'{{"id":"{B}"}}']


def test_a_key_that_must_select_first_syncs_the_organizations_that_are_named(
    connections: Connections, sandbox: Sandbox
) -> None:
    """As the error says: set Organization ids in the connection."""
    body = {"message": "Unauthorized: no organization selected"}
    sandbox.set_faults({"match": {"path_regex": "organizations"}, "do": {"status": 401, "body": body}})
    connections.add("named", "key-of-all", organization_ids=[A])
    connections.add("unnamed", "key-of-all")
    good, bad = connections.list()
    assert (good["organization_id"], good["error"]) == (A, None)
    assert "set Organization ids in connection 'unnamed'" in str(bad["error"])


def test_a_role_that_may_not_list_and_names_none_fails_with_what_to_do(connections: Connections) -> None:
    connections.add("few", "key-of-few-rights")
    [failed] = connections.list()
    assert "403 Forbidden. Connection 'few': the role" in str(failed["error"])


def test_more_organizations_than_a_page_holds_are_all_listed(connections: Connections, sandbox: Sandbox) -> None:
    ids = [f"{number:024x}" for number in range(230)]
    sandbox.set_world(
        {"organizations": [{"id": one} for one in ids], "keys": [{"key": "key-of-all", "organizations": ids}]}
    )
    connections.add("all", "key-of-all")
    assert connections.told() == [("all", one, one) for one in ids]


@pytest.mark.parametrize(
    "odd", ["../../etc", "a'b", 'a"b', "a/b", "*", "%2e%2e", "ïd", "a b", "", "x" * 65, "\x00", "a\\b", ".."]
)
def test_an_id_that_can_name_no_folder_is_refused_by_name_and_costs_only_itself(
    odd: str, connections: Connections, sandbox: Sandbox
) -> None:
    rows = [{"_id": A, "displayName": "Good"}, {"_id": odd, "id": odd or "'", "displayName": "Odd"}]
    body = {"totalCount": 2, "results": rows}
    sandbox.set_faults({"match": {"path_regex": "organizations"}, "do": {"body": body}})
    connections.add("all", "key-of-all")
    good, bad = connections.list()
    assert (good["organization_id"], good["error"]) == (A, None)
    assert re.fullmatch(r"[0-9A-Za-z_-]+", str(bad["organization_id"]))
    assert bad["organization_name"] == "Odd"
    assert str(bad["error"]).startswith(f"id {odd or chr(39)!r} given by JumpCloud; allowed: up to 64 letters")
    connections.exclude = (str(bad["organization_id"]),)
    assert connections.told() == [("all", A, "Good")]


@pytest.mark.parametrize(
    ("name", "shown"),
    [(5, "5"), (True, "true"), ({"en": "x"}, '{"en":"x"}'), (None, A), ("", A), ("a\x00b\nc", "a b c"), ("ü", "ü")],
)
def test_a_name_that_is_no_text_is_shown_all_the_same(
    name: Any, shown: str, connections: Connections, sandbox: Sandbox
) -> None:
    """Neither name nor payload holds what Postgres does not take: both travel through its JSON."""
    rows = [{"_id": A, "displayName": name, "settings": {"note": "a\x00b"}}]
    sandbox.set_faults({"match": {"path_regex": "organizations"}, "do": {"body": {"totalCount": 1, "results": rows}}})
    connections.add("one", "key-of-a")
    [organization] = connections.list()
    assert organization["organization_name"] == shown
    assert re.search(r"(?<!\\)\\u0000", json.dumps(organization)) is None
    assert json.loads(organization["payload"]) == rows[0]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"totalCount": 2, "results": [{"_id": A}, {"_id": A}]}, "1 distinct ids received, 2 stated by the API"),
        ({"totalCount": 3, "results": [{"_id": A}, None, {"_id": A}]}, "1 distinct ids received, 3 stated by the API"),
        ({"totalCount": 3, "results": [{"_id": A}]}, "after 1 of 3 rows; tried 3 times"),
        ({"totalCount": 1, "results": [{"displayName": "x"}]}, "expected every row to have an id"),
        ([], "expected an object with `results`"),
    ],
)
def test_a_list_that_cannot_be_true_is_no_list(
    body: Any, words: str, connections: Connections, sandbox: Sandbox
) -> None:
    """An organization that it lost would pass for gone."""
    sandbox.set_faults({"match": {"path_regex": "organizations"}, "do": {"body": body}})
    connections.add("all", "key-of-all")
    [failed] = connections.list()
    assert re.match(f"organizations of connection all: .*{words}", str(failed["error"]))


def test_a_list_that_moved_is_read_again(connections: Connections, sandbox: Sandbox) -> None:
    sandbox.set_faults({"match": {"path_regex": "organizations", "nth": [1, 2]}, "do": {"wrong_total": 1}})
    connections.add("all", "key-of-all")
    assert len(connections.told()) == 3
