"""Secrets are cut out of payloads here, before anything is written: keys, tokens, passwords, certificates.

Works on names, not on values: a field is secret by what it is called, in whatever spelling, at any depth.

    a secret's name (`apiKey`, `new_password`)      goes whole, but for a mere flag
    a name with a secret's word (`token_type_id`)   what is text in it goes; flags, numbers and dates stay

The one exception is `auth_methods`, where `password` names a method and holds whether it succeeded. Where
`[jumpcloud_elt] land_personal_fields` is false, personal fields that no mart needs go the same way.
"""

from __future__ import annotations

import functools
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
# Words that make a name secret: in camel, snake or kebab case, in either number, side by side where there are two.
_ALONE = "secret|token|credential|cookie|authorization|jwt|psk"
_KEYS = "private|api|access|recovery|encryption|signing"
_BESIDE = "hint|hash|hashe|value"
_SECRET_WORDS = re.compile(
    f"(?:^|_)(?:(?:{_ALONE})s?"
    f"|(?:{_KEYS})_?keys?|keys?_(?:{_KEYS})"
    f"|passwords?_?(?:{_BESIDE})s?|(?:{_BESIDE})s?_passwords?)(?:_|$)"
)
# A plural of capitals (`PSKs`), capitals before a word (`APIKey`), a word, a number.
_WORD = re.compile("[A-Z]{2,}s?(?![a-z])|[A-Z]?[a-z]+|[A-Z]|[0-9]+")
_HARMLESS_TEXT = re.compile(r"|true|false|[0-9]{4}-[0-9]{2}-[0-9]{2}(?:[T ][0-9:.,]+ ?(?:Z|UTC|[+-][0-9:]+)?)?")
_METHODS = "auth_methods"
_NAMING, _NAMED = ("field", "name"), ("from", "to", "value")
# Decimals keep every number as it was written.
_decode = msgspec.json.Decoder(float_hook=Decimal).decode
_encode = msgspec.json.Encoder(decimal_format="number").encode
# A quoted word that ends like a secret's name, or a path with such a part: a cheap look (RE2, one pass) that lets
# nearly every event through without decoding it, and never one that the rule would change.
_BETWEEN = r'(?:[^a-z0-9"\\]|\\(?:u[0-9a-f]{4}|["\\/bfnrt]))*'

_REST = r'(?:[^"\\]|\\.)*"\s*:'  # of a name; where it names a field, of the value of `field` or `name`
_WORDS = (
    f"(?:{_ALONE}|(?:{_KEYS}){_BETWEEN}key|keys?{_BETWEEN}(?:{_KEYS})"
    f"|passwords?{_BETWEEN}(?:{_BESIDE})|(?:{_BESIDE})s?{_BETWEEN}password)"
)

_SUSPECT = (
    "(?i)(?:"
    + "|".join(_BETWEEN.join(name) for name in sorted(EVENT_SECRET_NAMES))
    + f')(?:{_BETWEEN}"|{_BETWEEN}[.\\[\\]/])'
    + f"|{_WORDS}{_REST}"
    + rf'|"(?:field|name)"\s*:\s*"(?:[^"\\]|\\.)*{_WORDS}'
    + r"|\\u00[4-7]"  # a letter written as an escape
)

# How nearly every suspect comes: in `auth_methods`, and in sign-ons.
_HARMLESS = (
    r'"password":\s*\{\s*"success":\s*(?:true|false)\s*\}|"sso_token_success":\s*(?:true|false|null|"true"|"false"|"")'
)


def remove_secrets(value: Any, names: frozenset[str] = SECRET_NAMES) -> Any:
    """Return `value` (decoded JSON) without the fields that `names` names, and the text of fields with secret words.

    At any depth. An entry that names a secret beside its value (`{"field": "ssh_keys", "from": …, "to": …}`,
    `{"name": "apiKey", "value": …}`) keeps its name and loses the value.
    """
    if isinstance(value, list):
        return [remove_secrets(item, names) for item in value]
    if not isinstance(value, dict):
        return value
    names_secret = any(_is_path_to_secret(value.get(naming), names) for naming in _NAMING)
    kept = {}
    for key, item in value.items():
        if _is_secret(key, item, names) or (names_secret and key in _NAMED):
            continue
        if not _has_secret_word(key):
            kept[key] = _remove_from_methods(item, names) if key == _METHODS else remove_secrets(item, names)
        elif not _is_telling(item):
            kept[key] = remove_secrets(_without_text(item), names)
    return kept


def _without_text(value: Any) -> Any:
    """What lies under a name with a secret's word: flags, numbers and dates."""
    if isinstance(value, list):
        return [_without_text(item) for item in value if not _is_telling(item)]
    if isinstance(value, dict):
        return {key: _without_text(item) for key, item in value.items() if not _is_telling(item)}
    return value


def _is_telling(value: Any) -> bool:
    return isinstance(value, str) and not _HARMLESS_TEXT.fullmatch(value)


def _remove_from_methods(methods: Any, names: frozenset[str]) -> Any:
    """`auth_methods`: what a method holds is kept by the rule, the method itself whatever its name."""
    if not isinstance(methods, dict):
        return remove_secrets(methods, names)
    kept: dict[str, Any] = {}
    for method, item in methods.items():
        is_method = isinstance(item, dict | bool)
        kept |= {method: remove_secrets(item, names)} if is_method else remove_secrets({method: item}, names)
    return kept


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
    return any(_is_secret(part, name, names) or _has_secret_word(part) for part in (name, *re.split(r"[.\[\]/]", name)))


@functools.lru_cache(maxsize=4096)
def _has_secret_word(name: str) -> bool:
    return bool(_SECRET_WORDS.search("_".join(_WORD.findall(name)).lower()))


@functools.lru_cache(maxsize=4096)
def _plain(name: str) -> str:
    return re.sub(r"[^A-Za-z0-9]", "", name).lower()


def encode_payload(row: Mapping[str, Any], names: frozenset[str] = SECRET_NAMES) -> str:
    """One row of a listing as JSON text, without secrets."""
    return _encode(remove_secrets(dict(row), names)).decode()
