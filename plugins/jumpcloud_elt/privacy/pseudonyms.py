"""What stands for a forgotten person: the same pseudonym wherever the same text stood, and no way back.

Pseudonyms come from a random key. Key and identifiers lie in a small file of landing as long as files are being
rewritten, so that a run that was killed can be finished; with that file the last link to the person goes.

    landing/_forgetting/<random>.json
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Iterable

import msgspec

from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.privacy.people import Person

FORGETTING = "_forgetting"
MARK = "forgotten"
_DOMAIN = "forgotten.invalid"


class Forgetting(msgspec.Struct, frozen=True, kw_only=True):
    """A person being forgotten: who, the key of the pseudonyms, and the ids that stand for the person's."""

    person: Person
    key: bytes
    ids: dict[str, str]

    @classmethod
    def of(cls, person: Person) -> Forgetting:
        """A new one. Ids keep their order: where two accounts are equal otherwise, the warehouse goes by it."""
        ids = sorted(person.ids)
        new = sorted(secrets.token_hex(12) for _ in ids)
        return cls(person=person, key=secrets.token_bytes(32), ids=dict(zip(ids, new, strict=True)))

    def save(self, landing: Place) -> Place:
        """Write down what is needed to finish."""
        path = landing / FORGETTING / f"{secrets.token_hex(8)}.json"
        with path.temporary() as temporary:
            temporary.write_bytes(msgspec.json.encode(self))
            path.put(temporary)
        return path


def unfinished_erasures(landing: Place, organization_id: str, target: str) -> tuple[Place, Forgetting] | None:
    """What an earlier run began for the person whom `target` names, and where it is written down."""
    for path in (landing / FORGETTING).find_files("*.json"):
        begun = msgspec.json.decode(path.read_bytes(), type=Forgetting)
        if begun.person.organization_id == organization_id and begun.person.is_called(target):
            return path, begun
    return None


class Pseudonyms:
    """Replaces what names one person, in single values and in running text."""

    def __init__(self, forgetting: Forgetting) -> None:
        person = forgetting.person
        self.person = person
        self.ids = forgetting.ids
        self._key = forgetting.key
        self._email_keys = {email.lower() for email in person.emails}
        sure = [*map(_id, person.ids), *map(_alone, person.emails)]
        telling = [one for one in person.usernames if _is_telling(one)]
        self._anywhere = _any_of(sure)
        self._in_events = _any_of([*sure, *map(_alone, telling)])
        # What is about the person may name a device after them.
        names = [*map(re.escape, telling), *map(_alone, {*person.usernames, *person.shared} - {*telling})]
        self._about_the_person = _any_of([*sure, *names])

    def of(self, text: str) -> str:
        """The pseudonym of a text that is the person's: a name, an e-mail, an id.

        Equal for equal texts and different for different ones; e-mails that differ in case alone have pseudonyms
        that do too; and word by word, as the warehouse puts names together.
        """
        return " ".join(self._of_word(word) for word in text.split(" "))

    def anywhere(self, text: str) -> str:
        """Any text, with the person's ids and e-mails replaced."""
        return self._replace(self._anywhere, text)

    def in_events(self, text: str) -> str:
        """A text of an event: user names too, but those that may be an ordinary word."""
        return self._replace(self._in_events, text)

    def about_the_person(self, text: str) -> str:
        """A text that is about the person: every name, whoever else has had it, and within longer words."""
        return self._replace(self._about_the_person, text)

    def names(self, object_id: str | None, username: str | None, email: str | None) -> bool:
        """Whether this names the person: by id; without one by user name or e-mail of the person's own."""
        if object_id:
            return object_id in self.ids
        return username in self.person.usernames or (email or "").lower() in self._email_keys

    def _of_word(self, word: str) -> str:
        if not word:
            return word
        if word in self.ids:
            return self.ids[word]
        digest = hmac.new(self._key, word.lower().encode() if "@" in word else word.encode(), hashlib.sha256)
        pseudonym = f"{MARK}-{digest.hexdigest()[:12]}"
        return self._spelt_like(word, f"{pseudonym}@{_DOMAIN}") if "@" in word else pseudonym

    def _spelt_like(self, word: str, email: str) -> str:
        """An e-mail not in lower case gets capitals of its own: another spelling, the same address."""
        if word == word.lower():
            return email
        bits = int.from_bytes(hmac.digest(self._key, word.encode(), "sha256"))
        return "".join(letter.upper() if bits >> position & 1 else letter for position, letter in enumerate(email))

    def _replace(self, pattern: re.Pattern[str] | None, text: str) -> str:
        return pattern.sub(lambda found: self.of(found.group()), text) if pattern else text


def _is_telling(username: str) -> bool:
    """Whether a user name is unlike an ordinary word: letters, and something that is none."""
    return len(username) > 3 and not username.isalpha() and any(map(str.isalpha, username))


def _alone(text: str) -> str:
    """A pattern of `text` where it is not a part of a longer word or address; e-mails in any case."""
    # A dot may end a sentence, an apostrophe may be a quotation mark.
    pattern = rf"(?<![\w.+%@-])(?<!\w'){re.escape(text)}(?![\w@+-]|\.\w)"
    return f"(?i:{pattern})" if "@" in text else pattern


def _id(text: str) -> str:
    return f"(?<![0-9A-Za-z]){re.escape(text)}(?![0-9A-Za-z])"


def _any_of(patterns: Iterable[str]) -> re.Pattern[str] | None:
    """One pattern, the longest first: an e-mail may begin with a user name."""
    sorted_patterns = sorted(patterns, key=len, reverse=True)
    return re.compile("|".join(sorted_patterns)) if sorted_patterns else None
