"""Telling people, through Airflow's notifiers, what has gone wrong since they were last told, and what is well again.

    landing/_notifications/<dag id>.json

Each configured notifier is told once of each problem, and once when it is over, in one message per run. What it has
been told is noted only when it has been: one that fails is tried again by the next run, and may then say something
twice rather than never. What the problems are is in `problems`.

Of a notifier that fails the words are not repeated, for they may hold a webhook's address, which is a secret: only
which kind of error it was, with its number.
"""

from __future__ import annotations

import hashlib
import inspect
import logging
import pkgutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import msgspec
from airflow.sdk import BaseNotifier
from airflow.sdk.execution_time.timeout import timeout
from airflow.sdk.log import mask_secret

from jumpcloud_elt.alerts.problems import Known, Problem, View, complete
from jumpcloud_elt.core.airflow_compat import AirflowTaskTimeout
from jumpcloud_elt.core.settings import NotifierSettings, Settings
from jumpcloud_elt.errors import LandingError

log = logging.getLogger(__name__)

NOTIFICATIONS = "_notifications"
# One that hangs must not keep the others from being told.
NOTIFIER_SECONDS = 60.0
Told = dict[str, Problem]


class State(msgspec.Struct, kw_only=True):
    """What a Dag's runs have seen, and what each notifier has been told (by a digest of its settings)."""

    known: Known = msgspec.field(default_factory=Known)
    told: dict[str, Told] = msgspec.field(default_factory=dict)


@dataclass(frozen=True)
class News:
    """What there is to tell: `{{ jumpcloud.subject }}`, `{{ jumpcloud.message }}`, and both lists, of problems."""

    new: tuple[Problem, ...]
    over: tuple[Problem, ...]

    @property
    def subject(self) -> str:
        """In a line."""
        number = len(self.new)
        parts = [f"{number} new problem{'s' if number > 1 else ''}"] if self.new else []
        parts += [f"{len(self.over)} well again"] if self.over else []
        return f"JumpCloud sync: {', '.join(parts)}"

    @property
    def message(self) -> str:
        """In full, as plain text."""
        lines = [f"- {problem}" for problem in self.new]
        if self.over:
            lines += [*([""] if lines else []), "Well again:"]
            lines += [f"- {problem.subject} ({problem.kind})" for problem in self.over]
        return "\n".join(lines)


def notify(settings: Settings, dag_id: str, view: View, context: Mapping[str, Any]) -> list[str]:
    """Tell every configured notifier what is new to it in what a run has seen; return what failed, in words.

    `context` is Airflow's, for the notifiers' templates.
    """
    path = settings.landing / NOTIFICATIONS / f"{dag_id}.json"
    failures = []
    # Runs beside each other (of a backfill) would otherwise say the same.
    with path.temporary() as temporary, path.one_writer() as put:
        state = _read(path)
        wrong, well, state.known = complete(view, state.known, settings.exclude)
        told: dict[str, Told] = {}
        for notifier in settings.notifiers:
            name = _digest(notifier)
            before = {key: one for key, one in state.told.get(name, {}).items() if not _is_excluded(key, settings)}
            news, after = _compare(before, wrong, well)
            try:
                # Made even where there is nothing to tell: a mistake in it shows before it matters.
                with timeout(NOTIFIER_SECONDS):  # type: ignore[no-untyped-call]
                    _notify(notifier, news, context)
            except AirflowTaskTimeout:
                failures.append(f"{notifier.class_path}: not finished after {NOTIFIER_SECONDS:g} s")
                after = before
            except Exception as error:  # whatever somebody's notifier raises must not cost the sync
                failures.append(f"{notifier.class_path}: {_kind(error)}")
                after = before
            told[name] = after
        state.told = told
        temporary.write_bytes(msgspec.json.encode(state))
        put(temporary)
    return failures


def _compare(before: Told, wrong: Told, well: frozenset[str]) -> tuple[News, Told]:
    """What there is to tell somebody who knows `before`, and what they know afterwards."""
    new = {key: one for key, one in wrong.items() if key not in before or before[key].kind != one.kind}
    over = {key: one for key, one in before.items() if key in well}
    after = {key: one for key, one in before.items() if key not in over} | new
    return News(tuple(new.values()), tuple(over.values())), after


class _NotifierError(Exception):
    """What may be told of a notifier that failed."""


def _notify(settings: NotifierSettings, news: News, context: Mapping[str, Any]) -> None:
    # Those arguments whose names say that they are secret, in what is logged from now on.
    mask_secret(dict(settings.kwargs))
    notifier = _make(settings)
    if news.new or news.over:
        # A name of its own: notifiers lay their template fields, such as `subject`, over the context.
        notifier({**context, "jumpcloud": news})
        log.info("%s was told: %s", settings.class_path, news.subject)


def _make(settings: NotifierSettings) -> BaseNotifier:
    """The notifier, which raises _NotifierError: Airflow logs the words of whatever one raises."""
    try:
        notifier_class = pkgutil.resolve_name(settings.class_path)
        if not (isinstance(notifier_class, type) and issubclass(notifier_class, BaseNotifier)):
            raise TypeError("not an Airflow notifier")
        inspect.signature(notifier_class).bind(**settings.kwargs)
    except (ImportError, AttributeError, TypeError) as error:
        # No argument's value is in these.
        raise _NotifierError(f"{type(error).__name__}: {error}") from None
    notifier: BaseNotifier = notifier_class(**settings.kwargs)
    send = notifier.notify

    def notify(context: Any) -> None:
        kind = ""
        try:
            send(context)
        except Exception as error:
            kind = _kind(error)
        if kind:
            raise _NotifierError(kind)

    setattr(notifier, "notify", notify)  # noqa: B010, mypy knows that methods are not replaced
    return notifier


def _kind(error: Exception) -> str:
    """Which kind of error it was and what caused it, with the number of HTTP, SMTP or the system; not their words."""
    return str(error) if isinstance(error, _NotifierError) else ", caused by ".join(_kinds(error))


def _kinds(error: BaseException | None) -> Iterator[str]:
    while error is not None:
        given = (getattr(getattr(error, "response", None), "status_code", None), getattr(error, "smtp_code", None))
        numbers = [one for one in (*given, getattr(error, "errno", None)) if isinstance(one, int)]
        yield " ".join([type(error).__name__, *map(str, numbers[:1])])
        error = error.__cause__ or error.__context__


def _read(path: Any) -> State:
    if not path.exists():
        return State()
    try:
        return msgspec.json.decode(path.read_bytes(), type=State)
    except msgspec.DecodeError as error:
        raise LandingError(f"{path} cannot be read: {error}. Remove it: everything is told once more.") from error


def _digest(notifier: NotifierSettings) -> str:
    """A name for a notifier that tells nobody its arguments; changed, it is a new one that knows nothing yet."""
    return hashlib.sha256(msgspec.json.encode(notifier, order="deterministic")).hexdigest()[:16]


def _is_excluded(key: str, settings: Settings) -> bool:
    return key.rpartition(" ")[2] in settings.exclude
