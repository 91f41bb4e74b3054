"""The calls that change users against JumpCloud's published specifications, where these lie beside the repository."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema
import pytest

from jumpcloud_elt.actions.profile import CREATE_FIELDS, UPDATE_FIELDS
from jumpcloud_elt.api import user_calls
from jumpcloud_elt.api.user_calls import Call
from support.paths import SPECIFICATIONS

pytestmark = pytest.mark.skipif(
    not SPECIFICATIONS.is_dir(), reason="the published specifications do not lie beside the repository"
)
USER, GROUP = "1" * 24, "c" * 24
CALLS = {
    "create": user_calls.create({"username": "ada", "email": "ada@x.example", "state": "STAGED"}),
    "update": user_calls.update(USER, {"department": "Law", "manager": GROUP}),
    "suspend": user_calls.suspend(USER),
    "unsuspend": user_calls.unsuspend(USER),
    "activate": user_calls.activate(USER),
    "activate with address": user_calls.activate(USER, "ada@x.example"),
    "unlock": user_calls.unlock(USER),
    "expire": user_calls.expire_password(USER),
    "reset_mfa": user_calls.reset_mfa(USER, 3),
    "delete": user_calls.delete(USER, "null"),
    "add": user_calls.change_member(GROUP, USER, "add"),
    "remove": user_calls.change_member(GROUP, USER, "remove"),
}


def load(call: Call) -> tuple[dict[str, Any], str]:
    """The document that has the call's route, and the call's path as the document counts it."""
    version, prefix = ("V2", "/api/v2") if call.path.startswith("/api/v2") else ("V1", "/api")
    document = json.loads((SPECIFICATIONS / f"JumpCloud.SDK.{version}.json").read_text("utf-8"))
    return document, call.path.removeprefix(prefix)


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_every_call_is_one_of_the_published_routes_with_a_body_that_fits(call: Call) -> None:
    document, path = load(call)
    routes = [one for one in document["paths"] if re.fullmatch(re.sub(r"\{\w+\}", "[0-9a-f]{24}", one), path)]
    (route,) = [one for one in routes if call.method.lower() in document["paths"][one]]
    operation = document["paths"][route][call.method.lower()]
    schemas = [one["schema"] for one in operation.get("parameters", []) if one.get("in") == "body"]
    if call.body is None:
        return
    (schema,) = schemas
    validator = jsonschema.Draft4Validator({**schema, "definitions": document["definitions"]})
    assert [error.message for error in validator.iter_errors(dict(call.body))] == []


def test_whether_an_activation_is_mailed_is_a_boolean_by_the_words_of_the_specification() -> None:
    # Its schema knows the address only.
    call = user_calls.activate("{id}", False)
    document, path = load(call)
    said = document["paths"][path]["post"]["description"]
    assert call.body == {"email": False} and '{ "email": false }' in said


def test_the_profile_fields_are_jumpclouds() -> None:
    definitions = json.loads((SPECIFICATIONS / "JumpCloud.SDK.V1.json").read_text("utf-8"))["definitions"]
    assert set(CREATE_FIELDS) <= set(definitions["systemuserputpost"]["properties"])
    assert set(UPDATE_FIELDS) <= set(definitions["systemuserput"]["properties"])
