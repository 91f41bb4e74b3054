"""No secret of any spelling, at any depth, gets past; everything else does, byte for byte where it can."""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_elt.core.redaction import (
    APPLICATION_SECRET_NAMES,
    EVENT_SECRET_NAMES,
    SECRET_NAMES,
    encode_payload,
    remove_event_secrets,
    remove_secrets,
)

MARK = "s3cr3t-mark"
# As the APIs spell them, and as another version of them might.
SPELLINGS = [
    "apiKey", "api_key", "apikey", "to\N{KELVIN SIGN}ken", "api\N{LATIN SMALL LETTER LONG S}key",
    "api_keys", "private_keys", "publicKeys", "certificate", "certificates",
    "APIKEY", "api-key", "Api Key", "x-api-key", "X-Api-Key", "apiKeyHash", "api_key_hash",
    "token", "Token", "accessToken", "access_token", "refresh_token", "id_token", "apiToken", "tokens",
    "password", "Password", "password_", "passwords", "pass_word", "newPassword", "old_password",
    "temporaryPassword", "password_hash", "passwordHash", "bindPassword", "passphrase", "clientSecret",
    "client_secret", "secret", "secrets", "shared_secret", "radiusSharedSecret", "totp_secret", "totpKey",
    "ssh_keys", "sshKeys", "ssh-key", "sshPublicKey", "public_key", "publicKey", "public_keys", "private_key",
    "idpPrivateKey", "idpCertificate", "spCertificate", "growthData", "growth_data",
]  # fmt: skip
APPLICATION_SPELLINGS = ["config", "Config", "CONFIG", "databaseAttributes", "database_attributes"]
ORDINARY = [
    "password_never_expires", "password_date", "password_expiration_date", "password_expired",
    "passwordless_sudo", "external_password_expiration_date", "ssh_root_enabled",
    "configured", "config_id", "secretary", "tokenized", "hash", "certificate_count",
    "auth_method", "organization", "username", "passwordless", "monkey", "keyboard", "keyboard_access", "accessLevel",
    "access_group_key", "signing_in", "hint", "cookieless", "askPermission",
]  # fmt: skip
# By a word of theirs, however it is spelt.
WORDED = [
    "sso_token_success", "token_type_id", "tokens_used", "apiKeyAllowed", "apiKeyUpdatedAt", "clientSecretId",
    "secret_question", "refresh-token-of", "Set-Cookie", "cookies", "sessionCookieValue", "Authorization",
    "proxy-authorization", "credential", "userCredentials", "credentials_file", "jwt", "JWTs", "idJWTValue", "psk",
    "PSKs", "wifiPskText", "WPA-PSK", "X-Api-Key-Id", "x_apikey_id", "APIKeyId", "privateKeyPem",
    "accessKeyId", "recovery_key", "fdeRecoveryKeys", "encryptionKeyText", "signing-key-1", "key_access",
    "passwordHint", "password_hints", "passwordHashes", "hash_password_of", "password-value-old",
]  # fmt: skip
HARMLESS = [True, False, None, 3, 0.5, "", "true", "false", "2026-01-01", "2026-01-01T00:00:00Z",
            "2026-01-01 00:00:00.123 +01:00", [], {}]  # fmt: skip


def clean_event(text: str) -> str:
    """One event through the hot path."""
    [cleaned] = remove_event_secrets(pa.array([text], pa.string())).to_pylist()
    return str(cleaned)


def compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False)


@pytest.mark.parametrize("name", SPELLINGS)
@pytest.mark.parametrize("value", [MARK, [MARK], {"x": MARK}, [{"title": "laptop", "key": MARK}], [[MARK]], 12345])
def test_a_secret_is_removed_from_rows_and_events(name: str, value: Any) -> None:
    row = {"id": "1", "deep": [{"er": {name: value, "kept": 1}}], name: value}
    expected = {"id": "1", "deep": [{"er": {"kept": 1}}]}
    assert remove_secrets(row) == expected
    assert json.loads(encode_payload(row)) == expected
    assert json.loads(clean_event(compact(row))) == expected


@pytest.mark.parametrize("name", APPLICATION_SPELLINGS)
def test_config_is_secret_in_applications_and_events_and_an_ordinary_word_elsewhere(name: str) -> None:
    row = {"id": "1", "sso": {name: {"idp": {"value": "x"}}}}
    assert remove_secrets(row, APPLICATION_SECRET_NAMES) == {"id": "1", "sso": {}}
    assert json.loads(clean_event(compact(row))) == {"id": "1", "sso": {}}
    assert remove_secrets(row, SECRET_NAMES) == row


@pytest.mark.parametrize("name", ORDINARY)
@pytest.mark.parametrize("value", ["x", 1, True, None, {"x": 1}, ["x"]])
def test_an_ordinary_field_is_kept(name: str, value: Any) -> None:
    row = {"id": "1", "deep": [{name: value}]}
    assert remove_secrets(row, EVENT_SECRET_NAMES) == row
    assert clean_event(compact(row)) == compact(row)


@pytest.mark.parametrize("name", WORDED)
def test_text_under_a_name_with_a_secrets_word_is_removed_and_flags_numbers_and_dates_stay(name: str) -> None:
    given = {"is_on": True, "n": 3, "deep": {"x": MARK, "at": "2026-01-01"}, "list": [MARK, 1, [MARK]]}
    row = {"id": "1", name: MARK, "more": [{name: given}, {"rows": {name: [MARK, 2]}}]}
    expected = {"id": "1", "more": [{name: {"is_on": True, "n": 3, "deep": {"at": "2026-01-01"}, "list": [1, []]}},
                                    {"rows": {name: [2]}}]}  # fmt: skip
    assert remove_secrets(row) == expected
    assert json.loads(clean_event(compact(row))) == expected
    kept = {"id": "1", "values": [{name: value} for value in HARMLESS]}
    assert remove_secrets(kept) == kept
    assert clean_event(compact(kept)) == compact(kept)
    change = {"id": "1", "changes": [{"field": name, "from": MARK, "to": [MARK]}]}
    assert json.loads(clean_event(json.dumps(change))) == {"id": "1", "changes": [{"field": name}]}


@pytest.mark.parametrize("flag", [True, False, None])
def test_a_flag_that_only_speaks_of_a_secret_is_kept(flag: bool | None) -> None:
    row = {"allow_public_key": flag, "has_password": flag}
    assert remove_secrets(row) == row


def test_an_application_loses_its_configuration_and_keeps_the_rest() -> None:
    row = {
        "_id": "1",
        "displayLabel": "Payroll",
        "config": {"idpPrivateKey": {"value": MARK}, "databaseAttributes": [{"value": MARK}]},
        "sso": {"type": "saml", "idpCertificate": MARK, "spCertificate": MARK, "hidden": False},
        "organization": "2",
    }
    expected = {
        "_id": "1",
        "displayLabel": "Payroll",
        "sso": {"type": "saml", "hidden": False},
        "organization": "2",
    }
    assert json.loads(encode_payload(row, APPLICATION_SECRET_NAMES)) == expected


def test_entries_of_changes_for_secrets_lose_what_was_and_what_is() -> None:
    event = {
        "id": "1",
        "event_type": "user_update",
        "changes": [
            {"field": "ssh_keys", "from": [], "to": [{"public_key": MARK}]},
            {"field": "publicKey", "from": MARK, "to": None},
            {"field": "config.idp.privateKey", "from": MARK, "to": MARK},
            {"field": "sshKeys[0].name", "to": MARK},
            {"field": "config/acs", "to": MARK},
            {"field": "department", "from": "Sales", "to": {"apiToken": MARK, "x": 1}},
            {"field": "password_expiration_date", "from": None, "to": "2026-01-01T00:00:00Z"},
        ],
        "attributes": [{"name": "apiKey", "value": MARK}, {"name": "location", "value": "Oslo"}],
    }
    expected = {
        "id": "1",
        "event_type": "user_update",
        "changes": [
            {"field": "ssh_keys"},
            {"field": "publicKey"},
            {"field": "config.idp.privateKey"},
            {"field": "sshKeys[0].name"},
            {"field": "config/acs"},
            {"field": "department", "from": "Sales", "to": {"x": 1}},
            {"field": "password_expiration_date", "from": None, "to": "2026-01-01T00:00:00Z"},
        ],
        "attributes": [{"name": "apiKey"}, {"name": "location", "value": "Oslo"}],
    }
    assert json.loads(clean_event(json.dumps(event))) == expected
    assert remove_secrets(event, EVENT_SECRET_NAMES) == expected


@pytest.mark.parametrize("spacing", [(",", ":"), (", ", ": "), (" , ", " :  ")])
@pytest.mark.parametrize("success", [True, False])
def test_the_password_method_of_a_login_is_no_secret(spacing: tuple[str, str], success: bool) -> None:
    event = {"id": "1", "auth_context": {"auth_methods": {"password": {"success": success}, "totp": {}}}}
    text = json.dumps(event, separators=spacing)
    assert clean_event(text) == text
    assert remove_secrets(event, EVENT_SECRET_NAMES) == event


@pytest.mark.parametrize(
    ("methods", "kept"),
    [
        ({"password": MARK}, {}),
        ({"password": {"success": True, "secret": MARK}}, {"password": {"success": True}}),
        ({"totp": {"success": True, "token": MARK}}, {"totp": {"success": True}}),
        ([{"password": MARK}], [{}]),
        ({"password": True}, {"password": True}),
        ({"jwt": {"success": True, "x": "y"}, "psk": MARK}, {"jwt": {"success": True, "x": "y"}}),
        ("password", "password"),
        (None, None),
    ],
)
def test_what_else_auth_methods_hold_is_not_exempt(methods: Any, kept: Any) -> None:
    event = {"id": "1", "auth_context": {"auth_methods": methods}}
    assert json.loads(clean_event(compact(event))) == {"id": "1", "auth_context": {"auth_methods": kept}}


def test_a_password_elsewhere_is_a_secret_even_when_it_holds_an_object() -> None:
    event = {"id": "1", "auth_methods": {"password": {"success": True}}, "x": {"password": {"value": MARK}}}
    expected = {"id": "1", "auth_methods": {"password": {"success": True}}, "x": {}}
    assert json.loads(clean_event(compact(event))) == expected


@pytest.mark.parametrize(
    "text",
    [
        r'{"\u0070assword":"s3cr3t-mark","id":"1"}',
        r'{"p\u0061ssword":{"a":"s3cr3t-mark"},"id":"1"}',
        r'{"api\u005fkey":"s3cr3t-mark","id":"1"}',
        r'{"api\u002dkey":"s3cr3t-mark","id":"1"}',
        r'{"api\u00E9key":"s3cr3t-mark","id":"1"}',
        r'{"\u0041PI_KEY":"s3cr3t-mark","id":"1"}',
        r'{"token\u0020" : "s3cr3t-mark","id":"1"}',
        r'{"ssh\/key\"":"s3cr3t-mark","id":"1"}',
        '{"to\u00adken\u200b":"s3cr3t-mark","id":"1"}',
    ],
)
def test_a_secret_is_found_whatever_escapes_its_name_is_written_with(text: str) -> None:
    assert json.loads(clean_event(text)) == {"id": "1"}


@pytest.mark.parametrize(
    "text",
    [
        '{"id":"1","note":"password: none; token, secret"}',
        '{"id": "1",  "n": 1.50, "e": 1E5, "u": "\\u00e9\\u003cb\\u003e", "slash": "\\/"}',
        '{"id":"1","auth_method":"password"}',
        '{"id":"1","changes":[{"field":"password_date","from":"x","to":"y"}]}',
        '{"id": "1", "sso_token_success": "true", "token_expires_at": "2026-01-01T00:00:00Z",  "tokens_used":3}',
        '{"id":"1","n":123456789012345678901234567890,"m":1e999}',
        '{"id":"1","x":"\\u0061bc","kind":"token"}',
    ],
)
def test_an_event_without_secrets_keeps_the_very_bytes_received(text: str) -> None:
    assert clean_event(text) == text


def test_an_event_that_loses_a_secret_keeps_its_numbers_as_they_were_written() -> None:
    text = '{"id":"1","token":"x","a":39.73880,"b":1e999,"c":123456789012345678901234567890,"d":-0.0}'
    assert clean_event(text) == '{"id":"1","a":39.73880,"b":1E+999,"c":123456789012345678901234567890,"d":-0.0}'


def test_only_the_events_with_secrets_are_rewritten() -> None:
    texts = ['{"id": "0"}', '{"id": "1", "token": "x"}', '{"id": "2"}', '{"id": "3", "x": {"apiKey": "y"}}']
    cleaned = remove_event_secrets(pa.array(texts, pa.string()))
    assert cleaned.type == pa.string()
    assert cleaned.to_pylist() == ['{"id": "0"}', '{"id":"1"}', '{"id": "2"}', '{"id":"3","x":{}}']
    assert remove_event_secrets(pa.array([], pa.string())).to_pylist() == []


ordinary_names = st.sampled_from([*ORDINARY, "from", "to", "value", "items", "é", 'quo"te', "a\\b"])
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=8)
ordinary = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(ordinary_names, inner, max_size=3)
)


@st.composite
def spelt(draw: st.DrawFn) -> str:
    """The name of a secret in a spelling that nobody thought of."""
    name = draw(st.sampled_from(sorted(EVENT_SECRET_NAMES)))
    between = st.sampled_from(["", "", "", "_", "-", " ", ".", "é", '"', "\\", "\u200b", "😀"])
    letters = (draw(st.sampled_from([letter, letter.upper()])) + draw(between) for letter in name)
    return draw(between) + "".join(letters)


@st.composite
def with_secrets(draw: st.DrawFn) -> Any:
    """Any JSON, with marked secrets in it."""
    secret = st.sampled_from([MARK, [MARK], {"inner": MARK}, {"success": MARK}])
    holder = st.dictionaries(ordinary_names, ordinary, max_size=3)
    field = {draw(spelt()): draw(secret), **draw(holder)}
    change = {**draw(holder), "field": draw(spelt()), "from": draw(secret), "to": draw(secret)}
    entry = {"name": draw(spelt()), "value": draw(secret)}
    return draw(st.permutations([field, {"changes": [change]}, {"attributes": [entry]}, draw(ordinary)]))


@st.composite
def worded(draw: st.DrawFn) -> str:
    """A name with a secret's word among others, in camel, snake or kebab case."""
    secrets = "secret token credential credentials cookie authorization jwt psk private-key key-api password-hint"
    words = draw(st.lists(st.sampled_from(["of", "the", "device", "2", "url"]), max_size=3))
    words[len(words) // 2 : len(words) // 2] = draw(st.sampled_from(secrets.split())).split("-")
    case = draw(st.sampled_from(["camel", "_", "-", " ", ".", "\u00e9", '"', "\\"]))
    if case == "camel":
        return words[0] + "".join(word.capitalize() for word in words[1:])
    return case.join(draw(st.sampled_from([word, word.upper(), word.capitalize()])) for word in words)


@given(name=worded(), before=ordinary, ascii_only=st.booleans())
def test_no_text_survives_under_a_name_with_a_secrets_word(name: str, before: Any, ascii_only: bool) -> None:
    event = {"id": "1", "before": before, name: [{"x": MARK}, MARK, 1], "y": {"field": name, "from": MARK, "to": MARK}}
    cleaned = clean_event(json.dumps(event, ensure_ascii=ascii_only))
    assert MARK not in cleaned
    assert json.loads(cleaned) == remove_secrets(event, EVENT_SECRET_NAMES)


@given(rows=with_secrets(), ascii_only=st.booleans())
def test_no_marked_secret_survives(rows: Any, ascii_only: bool) -> None:
    event = {"id": "1", "rows": rows}
    assert MARK not in json.dumps(remove_secrets(event, EVENT_SECRET_NAMES))
    cleaned = clean_event(json.dumps(event, ensure_ascii=ascii_only))
    assert MARK not in cleaned
    assert json.loads(cleaned) == remove_secrets(event, EVENT_SECRET_NAMES)


@given(event=st.dictionaries(ordinary_names, ordinary), ascii_only=st.booleans())
def test_nothing_else_is_lost(event: dict[str, Any], ascii_only: bool) -> None:
    text = json.dumps(event, ensure_ascii=ascii_only)
    assert clean_event(text) == text


def test_every_name_of_the_rule_has_a_spelling_here() -> None:
    plain = {"".join(filter(str.isalnum, name)).lower() for name in [*SPELLINGS, *APPLICATION_SPELLINGS]}
    assert plain >= EVENT_SECRET_NAMES
