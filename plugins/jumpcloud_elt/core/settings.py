"""The `[jumpcloud_elt]` section of Airflow's configuration, as one frozen value.

Defaults and descriptions of the options are declared once, in `provider_info`.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import msgspec

from jumpcloud_elt.core.account import ORGANIZATION_ID
from jumpcloud_elt.core.airflow_compat import conf
from jumpcloud_elt.core.data_root import STORE_URL, open_data_root
from jumpcloud_elt.core.intervals import read_cron
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.provider_info import CONFIG

SECTION = "jumpcloud_elt"
# What would be a separator or a quotation mark elsewhere is in no id.
NAME_IN_LIST = re.compile(r"[^\s;|\[\]\"']+")
FILE_MODE = re.compile(r"0?4[04][04]")
SIZE_OR_PERCENTAGE = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*([KMGT](?:i?B)?|%)", re.IGNORECASE)


class NotifierSettings(msgspec.Struct, frozen=True, rename={"class_path": "class"}, forbid_unknown_fields=True):
    """A notifier of Airflow's, by its class, and the keyword arguments that it is made with."""

    class_path: Annotated[str, msgspec.Meta(pattern=r"^\w+(\.\w+)+$")]
    kwargs: dict[str, Any] = {}


@dataclass(frozen=True)
class Settings:
    """What the Dags and the package need to know beside the connections.

    `data_root` is a folder, or the URL of an object store: nothing is asked of the store before it is used, for Airflow
    reads the settings whenever it parses a Dag.
    """

    connections: tuple[str, ...]
    exclude: tuple[str, ...]
    usage_exclude: tuple[str, ...]
    pool: str
    data_root: Path | str
    snapshot_retention_days: int
    directory_schedule: str
    usage_schedule: str
    usage_services: tuple[str, ...]
    usage_slice_threads: int
    usage_arrival_lag_minutes: float
    usage_reconcile_days: int
    # None: as far back as the connection's retention.
    usage_initial_days: int | None
    usage_catch_up_minutes: float
    usage_count_tolerance: float
    task_timeout_minutes: float
    run_timeout_hours: float
    land_personal_fields: bool
    request_threads: int
    drift_share: float
    drift_minimum: int
    actions_approval_batch_size: int
    actions_approval_timeout_hours: float
    actions_approvers: tuple[str, ...]
    connect_timeout_seconds: float
    read_timeout_seconds: float
    request_deadline_seconds: float
    request_attempts: int
    retry_wait_seconds: float
    retry_wait_max_seconds: float
    duckdb_memory_limit: str
    duckdb_threads: int
    warehouse_mode: int
    # Their arguments may hold what is nobody's business.
    notifiers: tuple[NotifierSettings, ...] = field(repr=False)

    @property
    def landing(self) -> Place:
        """The root of everything received. Raises as `open_data_root` does."""
        return open_data_root(self.data_root) / "landing"

    @property
    def rollups(self) -> Place:
        """Usage by day, computed from landing and kept from build to build. Raises likewise."""
        return open_data_root(self.data_root) / "rollups"

    @property
    def warehouse(self) -> Place:
        """The published DuckDB file; in a bucket, what its objects' names begin with. Raises likewise."""
        return open_data_root(self.data_root) / "warehouse" / "jumpcloud.duckdb"


def read_settings() -> Settings:
    """Read Airflow's configuration; raise one ConfigurationError that names every wrong option."""
    settings, problems = _read()
    if problems:
        raise ConfigurationError(f"Section [{SECTION}] of the Airflow configuration:\n- " + "\n- ".join(problems))
    return settings


@contextmanager
def other_options(options: Mapping[str, str]) -> Iterator[None]:
    """Within this block options of the section have these values, whatever Airflow's configuration says.

    For the whole process, threads included: a task has a process of its own.
    """
    names = {f"AIRFLOW__{SECTION.upper()}__{option.upper()}": value for option, value in options.items()}
    before = {name: os.environ.get(name) for name in names}
    os.environ.update(names)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def settings_of_dags() -> Settings:
    """The settings when a Dag file is parsed: a wrong option has its default, so that no Dag goes off the list.

    The Dag's tasks call `read_settings`, and fail.
    """
    return _read()[0]


def _read() -> tuple[Settings, list[str]]:
    """The settings, with the default of every wrong option, and what is wrong."""
    problems: list[str] = []
    settings = Settings(
        connections=_names("connections", problems),
        exclude=tuple(_plain_id(one) for one in _names("exclude", problems, may_be_empty=True)),
        usage_exclude=tuple(_plain_id(one) for one in _names("usage_exclude", problems, may_be_empty=True)),
        pool=_pool(problems),
        data_root=_data_root(problems),
        snapshot_retention_days=_whole("snapshot_retention_days", problems, lowest=0, highest=36_500),
        directory_schedule=_schedule("directory_schedule", problems),
        usage_schedule=_schedule("usage_schedule", problems),
        usage_services=_usage_services(problems),
        usage_slice_threads=_whole("usage_slice_threads", problems, lowest=1, highest=64),
        usage_arrival_lag_minutes=_number("usage_arrival_lag_minutes", problems, lowest=0, highest=10_080),
        usage_reconcile_days=_whole("usage_reconcile_days", problems, lowest=0, highest=90),
        usage_initial_days=_initial_days(problems),
        usage_catch_up_minutes=_number("usage_catch_up_minutes", problems, lowest=0, highest=10_080),
        usage_count_tolerance=_number("usage_count_tolerance", problems, lowest=0, highest=1),
        task_timeout_minutes=_number("task_timeout_minutes", problems, lowest=1, highest=10_080),
        run_timeout_hours=_number("run_timeout_hours", problems, lowest=0.1, highest=720),
        land_personal_fields=_flag("land_personal_fields", problems),
        request_threads=_whole("request_threads", problems, lowest=1, highest=64),
        drift_share=_number("drift_share", problems, lowest=0, highest=1),
        drift_minimum=_whole("drift_minimum", problems, lowest=0, highest=10**9),
        actions_approval_batch_size=_whole("actions_approval_batch_size", problems, lowest=0, highest=10**6),
        actions_approval_timeout_hours=_number("actions_approval_timeout_hours", problems, lowest=0.001, highest=8760),
        actions_approvers=_names("actions_approvers", problems, may_be_empty=True),
        connect_timeout_seconds=_number("connect_timeout_seconds", problems, lowest=0.1, highest=600),
        read_timeout_seconds=_number("read_timeout_seconds", problems, lowest=0.1, highest=3600),
        request_deadline_seconds=_number("request_deadline_seconds", problems, lowest=0.1, highest=86_400),
        request_attempts=_whole("request_attempts", problems, lowest=1, highest=50),
        retry_wait_seconds=_number("retry_wait_seconds", problems, lowest=0, highest=600),
        retry_wait_max_seconds=_number("retry_wait_max_seconds", problems, lowest=0, highest=3600),
        duckdb_memory_limit=_memory_limit(problems),
        duckdb_threads=_whole("duckdb_threads", problems, lowest=0, highest=1024),
        warehouse_mode=_mode("warehouse_mode", problems),
        notifiers=_notifiers(problems),
    )
    lag = settings.usage_arrival_lag_minutes
    limits = (
        ("task_timeout_minutes", settings.task_timeout_minutes, 0.0),
        ("run_timeout_hours", 60 * settings.run_timeout_hours, lag),
    )
    for option, minutes, waited in limits:
        if waited + settings.usage_catch_up_minutes >= minutes:
            after, both = (f", after usage_arrival_lag_minutes ({lag:g})", "both together ") if waited else ("", "")
            problems.append(
                f"usage_catch_up_minutes: {settings.usage_catch_up_minutes:g} given{after}; allowed: {both}less than "
                f"the time limit of {option} ({minutes:g} minutes)"
            )
    return settings, problems


def _initial_days(problems: list[str]) -> int | None:
    return _whole("usage_initial_days", problems, lowest=0, highest=36_500) if _text("usage_initial_days") else None


def _plain_id(name: str) -> str:
    """Organization ids in the lower case in which JumpCloud gives them; connection ids as they are."""
    return name.lower() if ORGANIZATION_ID.fullmatch(name) else name


def _text(option: str) -> str:
    # Airflow 3.1 reads what providers declare only in processes of its command line.
    return str(conf.get(SECTION, option, fallback=_default(option))).strip()


def _default(option: str) -> str:
    options: dict[str, Any] = CONFIG[SECTION]["options"]  # type: ignore[assignment]
    return str(options[option]["default"])


def _pool(problems: list[str]) -> str:
    given = _text("pool")
    if not given:
        problems.append("pool: '' given; allowed: the name of an Airflow pool")
    return given or _default("pool")


def _schedule(option: str, problems: list[str]) -> str:
    given = _text(option)
    try:
        read_cron(given, option)
    except ConfigurationError as error:
        problems.append(str(error).removeprefix(f"[{SECTION}] "))
        return _default(option)
    return given


def _names(option: str, problems: list[str], *, may_be_empty: bool = False) -> tuple[str, ...]:
    given = _text(option)
    names = _split(given)
    if not names and not may_be_empty:
        problems.append(f"{option}: {given!r} given; allowed: at least one name, comma-separated")
        return _split(_default(option))
    if not all(NAME_IN_LIST.fullmatch(name) for name in names):
        problems.append(f"{option}: {given!r} given; allowed: names separated by commas")
    return names


def _split(names: str) -> tuple[str, ...]:
    return tuple(dict.fromkeys(part.strip() for part in names.split(",") if part.strip()))


def _usage_services(problems: list[str]) -> tuple[str, ...]:
    """Without log-ins or without SSO it would not be known who has not used anything."""
    services = _names("usage_services", problems)
    missing = [name for name in ("directory", "sso") if name not in services and "all" not in services]
    if missing and all(NAME_IN_LIST.fullmatch(name) for name in services):
        problems.append(
            f"usage_services: {', '.join(services)} given, without {' and '.join(missing)}; allowed: directory,sso "
            "(and others), or all. To read no usage of some organizations name them in usage_exclude; to read none at "
            "all set usage_schedule to none"
        )
    return services


def _flag(option: str, problems: list[str]) -> bool:
    given = _text(option)
    if given.lower() not in ("true", "false"):
        problems.append(f"{option}: {given!r} given; allowed: true or false")
    return given.lower() == "true"


def _notifiers(problems: list[str]) -> tuple[NotifierSettings, ...]:
    given = _text("notifiers")
    if not given:
        return ()
    try:
        return msgspec.json.decode(given, type=tuple[NotifierSettings, ...])
    except msgspec.DecodeError as error:
        # Not what was given: it may hold an address that is a secret.
        problems.append(
            f"notifiers: cannot be read ({error}); allowed: a JSON list of objects with class (the path of an Airflow "
            'notifier) and kwargs, such as [{"class": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", '
            '"kwargs": {"to": "it@example.com"}}]'
        )
        return ()


def _number(option: str, problems: list[str], *, lowest: float, highest: float) -> float:
    given = _text(option)
    try:
        number = float(given)
    except ValueError:
        number = math.nan
    if lowest <= number <= highest:
        return number
    problems.append(f"{option}: {given!r} given; allowed: a number from {lowest:g} to {highest:g}")
    return float(_default(option) or lowest)


def _whole(option: str, problems: list[str], *, lowest: int, highest: int) -> int:
    given = _text(option)
    number = int(given) if given.isascii() and given.isdigit() else -1
    if lowest <= number <= highest:
        return number
    problems.append(f"{option}: {given!r} given; allowed: a whole number from {lowest} to {highest}")
    return int(_default(option) or lowest)


def _mode(option: str, problems: list[str]) -> int:
    """The mode of a file that its owner may read and nobody may write, as octal text."""
    given = _text(option)
    if not FILE_MODE.fullmatch(given):
        problems.append(
            f"{option}: {given!r} given; allowed: an octal mode that lets the owner read and nobody write, such as "
            "0400, 0440 or 0444"
        )
        return int(_default(option), 8)
    return int(given, 8)


def _memory_limit(problems: list[str]) -> str:
    given = _text("duckdb_memory_limit")
    found = SIZE_OR_PERCENTAGE.fullmatch(given)
    if found is None or float(found[1]) == 0 or (found[2] == "%" and float(found[1]) > 100):
        problems.append(
            f"duckdb_memory_limit: {given!r} given; allowed: a number above 0 with KB, MB, GB, TB, KiB, MiB, GiB or "
            "TiB, or a percentage up to 100%"
        )
    return given


def _data_root(problems: list[str]) -> Path | str:
    given = _text("data_root")
    if "\\" in given or "?" in given:
        problems.append(
            f"data_root: {given!r} given; allowed: a path without \\ and ?: DuckDB takes the one for / and ends the "
            "name of its log at the other"
        )
    if STORE_URL.fullmatch(given):
        return given
    if "://" in given and not given.startswith("file://"):
        problems.append(
            f"data_root: {given!r} given; allowed: a path on a local disk, s3://bucket/prefix, "
            "s3://connection-id@bucket/prefix"
        )
    path = Path(given.removeprefix("file://")).expanduser()
    # A worker's working directory is anybody's guess, AIRFLOW_HOME is not.
    return path if path.is_absolute() else (Path(_airflow_home()) / path).resolve()


def _airflow_home() -> str:
    return os.environ.get("AIRFLOW_HOME") or str(Path.home() / "airflow")
