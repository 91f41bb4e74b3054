"""Secrets are cut out of payloads here, before anything is written: keys, tokens, passwords, certificates.

Works on names, not on values: a field is secret by what it is called, in whatever spelling, at any depth. The
one exception is `auth_methods`, where `password` names a method and holds whether it succeeded.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

SECRET_NAMES = frozenset(
    {
        "accesstoken",
        "apikey",
        "apikeyhash",
        "apitoken",
        "bindpassword",
        "clientsecret",
        "currentpassword",
        "growthdata",
        "idpcertificate",
        "idpprivatekey",
        "newpassword",
        "oldpassword",
        "passphrase",
        "password",
        "passwordhash",
        "passwords",
        "privatekey",
        "publickey",
        "publickeys",
        "refreshtoken",
        "secret",
        "secrets",
        "sharedsecret",
        "spcertificate",
        "sshkey",
        "sshkeys",
        "sshpublickey",
        "token",
        "totpkey",
        "totpsecret",
    }
)
# `config` is secret where it is an application's; elsewhere it is an ordinary word.
APPLICATION_SECRET_NAMES = SECRET_NAMES | {"config", "databaseattributes"}
# An event can be about anything, an application included.
EVENT_SECRET_NAMES = APPLICATION_SECRET_NAMES

_NOT_DESCENDED = "auth_methods"
_encode = msgspec.json.Encoder().encode
# A quoted word that ends like a secret's name: a cheap look (RE2, one pass) that lets nearly every event through
# without decoding it. Wider than the rule, but for `"password": {…}`, which is how `auth_methods` names a method.
_SUSPECT = (
    r"(?i)(?:config|database_?attributes|secrets?|token|passphrase|private_?key|public_?keys?|ssh_?keys?|api_?key"
    r'|hash|growth_?data|certificate|totp_?key)"|config\.|passwords?"\s*(?:[,}\]]|:\s*[^{\s])|\\u00[4-7]'
)


def remove_secrets(value: Any, names: frozenset[str] = SECRET_NAMES) -> Any:
    """Return `value` (decoded JSON) without the fields that `names` names, at any depth.

    An entry that names a secret beside its value (`{"field": "ssh_keys", "from": …, "to": …}`, `{"name":
    "apiKey", "value": …}`) keeps its name and loses the value.
    """
    if isinstance(value, list):
        return [remove_secrets(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    kept = {
        key: item if key == _NOT_DESCENDED else remove_secrets(item, names)
        for key, item in value.items()
        if not _is_secret(key, names)
    }
    if _names_secret(value.get("field"), names):
        kept.pop("from", None)
        kept.pop("to", None)
    if _names_secret(value.get("name"), names):
        kept.pop("value", None)
    return kept


def remove_event_secrets(payloads: pa.StringArray) -> pa.StringArray:
    """Return events (one JSON text each) without secrets; the very bytes received where an event has none."""
    suspects = pc.indices_nonzero(pc.match_substring_regex(payloads, _SUSPECT)).to_pylist()
    if not suspects:
        return payloads
    texts = payloads.to_pylist()
    for index in suspects:
        event = msgspec.json.decode(texts[index])
        cleaned = remove_secrets(event, EVENT_SECRET_NAMES)
        if cleaned != event:
            texts[index] = _encode(cleaned).decode()
    return pa.array(texts, pa.string())


def _is_secret(name: str, names: frozenset[str]) -> bool:
    return _plain(name) in names


def _names_secret(name: object, names: frozenset[str]) -> bool:
    """Whether a `field` or `name` value names a secret; dotted paths (`config.idpPrivateKey`) count by part."""
    return isinstance(name, str) and any(_plain(part) in names for part in name.split("."))


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def encode_payload(row: Mapping[str, Any], names: frozenset[str] = SECRET_NAMES) -> str:
    """One row of a listing as JSON text, without secrets."""
    return _encode(remove_secrets(dict(row), names)).decode()
