"""Secrets are cut out of payloads here, before anything is written: keys, tokens, passwords, certificates.

Works on names, not on values: a field is secret by what it is called, in whatever spelling, at any depth. The
one exception is `auth_methods`, where `password` names a method and holds whether it succeeded. Where
`[jumpcloud_elt] land_personal_fields` is false, personal fields that no mart needs go the same way.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from decimal import Decimal
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

# In lower case, without separators. A longer name that ends in one of these is secret too (`temporaryPassword`,
# `radius_shared_secret`), unless it holds a mere flag (`allow_public_key`).
SECRET_NAMES = frozenset(
    {
        "apikey",
        "apikeyhash",
        "apikeys",
        "certificate",
        "certificates",
        "growthdata",
        "passphrase",
        "password",
        "passwordhash",
        "passwords",
        "privatekey",
        "privatekeys",
        "publickey",
        "publickeys",
        "secret",
        "secrets",
        "sshkey",
        "sshkeys",
        "token",
        "tokens",
        "totpkey",
    }
)

# `config` is secret where it is an application's; elsewhere it is an ordinary word.
APPLICATION_SECRET_NAMES = SECRET_NAMES | {"config", "databaseattributes"}
# An event can be about anything, an application included.
EVENT_SECRET_NAMES = APPLICATION_SECRET_NAMES

# What no mart needs of a person. The names, e-mail, user name, department, job title, manager, company, cost center,
# location, employee identifier and employee type of users and administrators stay.
PERSONAL_NAMES = frozenset(
    {
        "addresses",
        "alternateemail",
        "attributes",
        "description",
        "externaldn",
        "managedappleid",
        "middlename",
        "phonenumber",
        "phonenumbers",
        "recoveryemail",
        "relationships",
        "systemusername",
        "userstimezone",
    }
)

# And of events: from where and with what somebody came. `system` is the device, with its name.
PERSONAL_EVENT_NAMES = PERSONAL_NAMES | {
    "clientip",
    "geoip",
    "hostname",
    "ipaddress",
    "recipientemail",
    "sourceip",
    "srcip",
    "system",
    "useragent",
}

_ENDINGS = tuple(SECRET_NAMES)
_METHODS = "auth_methods"
_NAMING, _NAMED = ("field", "name"), ("from", "to", "value")
# Decimals keep every number as it was written.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
# A quoted word that ends like a secret's name, or a path with such a part: a cheap look (RE2, one pass) that lets
# nearly every event through without decoding it, and never one that the rule would change.
_BETWEEN = r'(?:[^a-z0-9"\\]|\\(?:u[0-9a-f]{4}|["\\/bfnrt]))*'

_SUSPECT = (
    "(?i)(?:"
    + "|".join(_BETWEEN.join(name) for name in sorted(EVENT_SECRET_NAMES))
    + f')(?:{_BETWEEN}"|{_BETWEEN}[.\\[\\]/])'
    + r"|\\u00[4-7]"  # a letter written as an escape
)

# How nearly every suspect comes: in `auth_methods`.
_HARMLESS = r'"password":\s*\{\s*"success":\s*(?:true|false)\s*\}'


def remove_secrets(value: Any, names: frozenset[str] = SECRET_NAMES) -> Any:
    """Return `value` (decoded JSON) without the fields that `names` names, at any depth.

    An entry that names a secret beside its value (`{"field": "ssh_keys", "from": …, "to": …}`, `{"name":
    "apiKey", "value": …}`) keeps its name and loses the value.
    """
    if isinstance(value, list):
        return [remove_secrets(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    names_secret = any(_is_path_to_secret(value.get(naming), names) for naming in _NAMING)
    return {
        key: _remove_from_methods(item, names) if key == _METHODS else remove_secrets(item, names)
        for key, item in value.items()
        if not _is_secret(key, item, names) and not (names_secret and key in _NAMED)
    }


def _remove_from_methods(methods: Any, names: frozenset[str]) -> Any:
    """`auth_methods`: what a method holds is kept by the rule, the method itself whatever its name."""
    if not isinstance(methods, dict):
        return remove_secrets(methods, names)
    return {
        method: remove_secrets(item, names)
        for method, item in methods.items()
        if isinstance(item, dict | bool) or not _is_secret(method, item, names)
    }


def remove_event_secrets(payloads: pa.StringArray, names: frozenset[str] = EVENT_SECRET_NAMES) -> pa.StringArray:
    """Return events (one JSON text each) without secrets; the very bytes received where an event has none.

    `names` may name more than the secrets: then every event is looked into.
    """
    suspects = _suspects(payloads) if names is EVENT_SECRET_NAMES else range(len(payloads))
    if not suspects:
        return payloads
    texts = payloads.to_pylist()
    for index in suspects:
        event = _decode(texts[index])
        cleaned = remove_secrets(event, names)
        if cleaned != event:
            texts[index] = _encode(cleaned).decode()
    return pa.array(texts, pa.string())


def _suspects(payloads: pa.StringArray) -> Sequence[int]:
    """The positions of the few events that may hold a secret."""
    # As bytes: in text, RE2 takes the Kelvin sign for a k and the long s for an s, which the rule strips.
    received = payloads.cast(pa.binary())
    suspects = pc.indices_nonzero(pc.match_substring_regex(received, _SUSPECT))
    received = received.take(suspects)
    # Each harmless entry holds one suspect word; where there are no more of these than of those, there is no other.
    found = pc.count_substring_regex(received, _SUSPECT)
    positions: list[int] = suspects.filter(pc.greater(found, pc.count_substring_regex(received, _HARMLESS))).to_pylist()
    return positions


def _is_secret(name: str, value: Any, names: frozenset[str]) -> bool:
    plain = _plain(name)
    return plain in names or (plain.endswith(_ENDINGS) and not isinstance(value, bool | None))


def _is_path_to_secret(name: object, names: frozenset[str]) -> bool:
    """Whether a `field` or `name` value names a secret; paths (`config.idpPrivateKey`) count by part."""
    if not isinstance(name, str):
        return False
    return any(_is_secret(part, name, names) for part in (name, *re.split(r"[.\[\]/]", name)))


def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", name).lower()


def encode_payload(row: Mapping[str, Any], names: frozenset[str] = SECRET_NAMES) -> str:
    """One row of a listing as JSON text, without secrets."""
    return _encode(remove_secrets(dict(row), names)).decode()
