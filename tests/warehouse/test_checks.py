"""Each check finds what it is there for, and says whose it is: a built warehouse is spoilt, and looked at."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest

from jumpcloud_elt.core.host import spill_folder
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.warehouse import checks
from jumpcloud_elt.warehouse.checks import RECORDS, RULES, Violation, find_broken, queries
from jumpcloud_elt.warehouse.dictionary import Mart, marts
from jumpcloud_elt.warehouse.files import attach_state, open_built, state_file_of
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import NORTHWIND
from support.dashboard_world import publish_changed
from support.pipeline import query

NOBODYS = "f" * 24
OF_NORTHWIND = f"organization_id = '{NORTHWIND}'"
ACTIVE_USER = "account_type = 'user' and status = 'active'"
HAS_ACCESS = "access <> 'none'"


USER_HISTORY, ACCESS_HISTORY = "user_history", "access_history"


def one(table: str, where: str = "true") -> str:
    """The condition of one row of Northwind: the first by its whole content."""
    return f"rowid = (select rowid from {table} as t where {OF_NORTHWIND} and {where} order by t limit 1)"


# What spoils the file, by the check that is to find it: all of Northwind's.
SABOTAGES: dict[str, dict[str, Sequence[str]]] = {
    "values": {
        "null": [f"update users set roles = null where {one('users')}"],
        "not accepted": [f"update usage_daily set source = 'fax' where {one('usage_daily')}"],
    },
    "keys": {
        "twice": [f"insert into users from users where {one('users')}"],
        "twice with a null": [
            f"insert into usage_daily from usage_daily where {one('usage_daily', 'application_id is null')}",
        ],
    },
    "versions": {
        "ends before it begins": [
            f"update {USER_HISTORY} set valid_to = valid_from where {one(USER_HISTORY)}",
        ],
        "two at a time": [
            f"update {USER_HISTORY} set valid_to = valid_to + interval 1 microsecond "
            f"where {one(USER_HISTORY, 'valid_to is not null')}",
        ],
        "two open ones": [
            f"insert into {ACCESS_HISTORY} select * replace (valid_from + interval 1 day as valid_from) "
            f"from {ACCESS_HISTORY} where {one(ACCESS_HISTORY, 'valid_to is null')}",
        ],
        "one within another": [
            f"insert into {ACCESS_HISTORY} select * replace (valid_from - interval 2 day as valid_from, "
            "valid_from + interval 1 microsecond as valid_to) "
            f"from {ACCESS_HISTORY} where {one(ACCESS_HISTORY, 'valid_to is null')}",
        ],
    },
    "organizations": {
        "left out": [f"delete from organizations where {OF_NORTHWIND}"],
    },
    "check_missing": {
        "an organization": [f"delete from organizations where {OF_NORTHWIND}"],
        "all users": [f"delete from users where {OF_NORTHWIND}"],
        "one user": [f"delete from users where {one('users', ACTIVE_USER)}"],
        "an application": [f"update applications set is_listed = false where {one('applications', 'is_listed')}"],
        "a group": [f"delete from groups where {one('groups')}"],
    },
    "check_open_versions": {
        "an account without": [
            f"delete from {USER_HISTORY} where {one(USER_HISTORY, 'valid_to is null')}",
        ],
        "access without": [
            f"update {ACCESS_HISTORY} set valid_to = valid_from + interval 1 day "
            f"where {one(ACCESS_HISTORY, 'valid_to is null')}",
        ],
        "one without account": [f"delete from users where {one('users')}"],
        "one without access": [
            f"update application_users set access = 'none' where {one('application_users', HAS_ACCESS)}",
        ],
    },
    "check_references": {
        "access of nobody": [
            f"update application_users set user_id = '{NOBODYS}' where {one('application_users')}",
        ],
        "use of nothing": [
            f"update application_users set application_id = '{NOBODYS}', access = 'none' "
            f"where {one('application_users')}",
        ],
        "access of somebody deleted": [
            "update users set status = 'deleted' where (organization_id, user_id) in "
            f"(select (organization_id, user_id) from application_users where {one('application_users', HAS_ACCESS)})",
        ],
        "access to what is not listed": [
            "update applications set is_listed = false where (organization_id, application_id) in (select "
            f"(organization_id, application_id) from application_users where "
            f"{one('application_users', HAS_ACCESS)})",
        ],
        "a member that is nobody": [f"update group_members set user_id = '{NOBODYS}' where {one('group_members')}"],
        "a member of nothing": [f"update group_members set group_id = '{NOBODYS}' where {one('group_members')}"],
        "a group bound to nothing": [
            f"update application_groups set application_id = '{NOBODYS}' where {one('application_groups')}",
        ],
        "no group bound": [f"update application_groups set group_id = '{NOBODYS}' where {one('application_groups')}"],
        "a role of nobody": [f"update user_roles set user_id = '{NOBODYS}' where {one('user_roles')}"],
    },
    "check_rollups": {
        "a use too many": [f"update usage_daily set successes = successes + 1 where {one('usage_daily')}"],
        "a failure too few": [
            f"update usage_daily set failures = failures - 1 where {one('usage_daily', 'failures > 0')}",
        ],
        "a day": [
            f"delete from {mart} where date = (select max(date) from usage_daily) and {OF_NORTHWIND}"
            for mart in ("usage_daily", "usage_by_day")
        ],
        "a sum": [f"update usage_by_day set successes = successes + 1 where {one('usage_by_day')}"],
        "a day that is not rolled up": [
            f"update {mart} set date = date '1999-12-31' where date = (select max(date) from usage_daily) "
            f"and {OF_NORTHWIND}"
            for mart in ("usage_by_day", "usage_daily")
        ],
    },
    "check_coverage": {
        "a longer day": [
            f"update usage_coverage_daily set covered_seconds = 86401 where {one('usage_coverage_daily', 'is_known')}",
        ],
        "less than nothing": [
            f"update usage_coverage_daily set covered_seconds = -1 where {one('usage_coverage_daily', 'not is_known')}",
        ],
        "known in part": [
            f"update usage_coverage_daily set covered_seconds = 86399 where {one('usage_coverage_daily', 'is_known')}",
        ],
        "more than was read": [
            "update usage_coverage_daily set covered_seconds = 60 "
            f"where {one('usage_coverage_daily', 'covered_seconds = 0')}",
        ],
        "known days": [f"update organizations set known_days = known_days + 1 where {OF_NORTHWIND}"],
    },
    "check_counts": {
        "rows lost": [
            "insert into state.read_counts values "
            f"('systemusers/organization_id={NORTHWIND}/snapshot_at=20260101T000000Z/systemusers.parquet', 3, 4)",
        ],
    },
    "check_secrets": {
        "a column": ["alter table users add column api_key varchar"],
    },
}  # fmt: skip
OF_NO_ORGANIZATION = ("check_secrets",)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, sandbox_process: Sandbox) -> tuple[Settings, Path]:
    data_root = tmp_path_factory.mktemp("checks") / "data"
    published = publish_changed(data_root, sandbox_process)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(data_root))
        return read_settings(), published


@pytest.fixture
def settings(world: tuple[Settings, Path]) -> Settings:
    return world[0]


@pytest.fixture
def built(world: tuple[Settings, Path], tmp_path: Path) -> Path:
    file = tmp_path / "built.duckdb"
    state_file_of(file).parent.mkdir()
    shutil.copyfile(world[1], file)
    shutil.copyfile(state_file_of(world[1]), state_file_of(file))
    return file


def found_in(built: Path, settings: Settings, *sabotages: str) -> list[Violation]:
    """What is found in a file after statements that change it."""
    with contextlib.closing(duckdb.connect(str(built))) as connection:
        attach_state(connection, state_file_of(built), "")
        for sabotage in sabotages:
            assert connection.execute(sabotage).fetchone() != (0,), f"nothing is spoilt by {sabotage}"
    with contextlib.closing(open_built(built, settings.landing)) as connection:
        return find_broken(connection, settings)


def messages(found: list[Violation], check: str) -> list[str]:
    return [finding.message for finding in found if finding.check == check]


def each_sabotage(*names: str) -> list[Any]:
    """Each of some checks, with what spoils the file for it."""
    return [
        pytest.param(check, statements, id=f"{check}: {what}")
        for check in names
        for what, statements in SABOTAGES[check].items()
    ]


def test_every_check_is_shown_to_find_something() -> None:
    assert SABOTAGES.keys() == {*RULES, *queries()}


def test_nothing_is_found_in_a_warehouse_as_it_was_built(built: Path, settings: Settings) -> None:
    assert found_in(built, settings) == []


@pytest.mark.parametrize(("check", "sabotages"), each_sabotage(*SABOTAGES))
def test_what_is_wrong_is_found_and_said_of_its_organization_alone(
    check: str, sabotages: Sequence[str], built: Path, settings: Settings
) -> None:
    found = found_in(built, settings, *sabotages)
    whose = {finding.organization_id for finding in found if finding.check == check}
    assert whose == {None if check in OF_NO_ORGANIZATION else NORTHWIND}
    assert {finding.organization_id for finding in found} <= {NORTHWIND, None}


@pytest.mark.parametrize(("check", "sabotages"), each_sabotage("keys", "versions"))
def test_the_same_is_found_slice_by_slice(
    check: str, sabotages: Sequence[str], built: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = found_in(built, settings, *sabotages)
    monkeypatch.setattr(checks, "ROWS_OF_A_SLICE", 50)
    assert found_in(built, settings) == at_once


@pytest.mark.parametrize(
    "mart", [mart for mart in marts() if mart.meta.key and mart.name != "events"], ids=lambda mart: mart.name
)
def test_a_key_that_is_there_twice_is_found_in_every_mart(mart: Mart, built: Path, settings: Settings) -> None:
    if mart.name == "user_actions":
        # There is none in this world.
        again = f"insert into user_actions (organization_id) values ('{NORTHWIND}'), ('{NORTHWIND}')"
    else:
        again = f"insert into {mart.name} from {mart.name} where {one(mart.name)}"
    (message,) = messages(found_in(built, settings, again), "keys")
    assert message.startswith(f"{mart.name}: key ({mart.meta.key[0]} '")
    assert message.endswith(") in 2 rows; allowed: 1")


@pytest.mark.parametrize(
    "mart",
    [
        mart
        for mart in marts()
        if mart.name not in ("organizations", "events", *RECORDS)
        and any(column.name == "organization_id" for column in mart.columns)
    ],
    ids=lambda mart: mart.name,
)
def test_rows_of_an_unknown_organization_are_found_in_every_mart(mart: Mart, built: Path, settings: Settings) -> None:
    table = mart.name
    strange = f"insert into {table} select * replace ('{NOBODYS}' as organization_id) from {table} where {one(table)}"
    found = [finding for finding in found_in(built, settings, strange) if finding.check == "organizations"]
    assert [finding.organization_id for finding in found] == [NOBODYS]
    assert found[0].message == f"{mart.name}: organization_id '{NOBODYS}' in 1 row(s); allowed: those of organizations"


def test_what_is_only_recorded_may_be_of_an_organization_that_no_run_has_synced(
    built: Path, settings: Settings
) -> None:
    attempt = "'1' as action_id, 'x' as target, now() as requested_at, now() as recorded_at, 'refused' as outcome"
    forgotten = (
        f"select * replace ('{NOBODYS}' as organization_id, '' as connection_id) from sync_log where {one('sync_log')}"
    )
    found = found_in(
        built,
        settings,
        f"insert into user_actions by name select '{NOBODYS}' as organization_id, {attempt}",
        f"insert into sync_log {forgotten}",
    )
    assert messages(found, "organizations") == messages(found, "check_missing") == []


def test_every_organization_is_named_and_each_with_its_first_rows_only(built: Path, settings: Settings) -> None:
    found = found_in(built, settings, "update users set created_at = null, status = 'retired ' || user_id")
    users = query(built, "select organization_id, count(*) as rows from users group by all")
    assert len(users) == 3
    for row in users:
        own = [one for one in found if one.check == "values" and one.organization_id == row["organization_id"]]
        assert len(own) == min(row["rows"], checks.MOST_FINDINGS)


def test_a_key_that_is_there_thrice_is_named_with_its_values(built: Path, settings: Settings) -> None:
    (user,) = query(built, f"select user_id from users where {one('users')}")
    again = f"insert into users select users.* from users, range(2) where user_id = '{user['user_id']}'"
    key = f"organization_id '{NORTHWIND}', user_id '{user['user_id']}'"
    assert messages(found_in(built, settings, again), "keys") == [f"users: key ({key}) in 3 rows; allowed: 1"]


@pytest.mark.parametrize("mart", ["usage_daily", "usage_by_day"])
@pytest.mark.parametrize("which", ["min", "max"])
def test_a_key_with_a_null_is_found_twice_in_every_month(
    built: Path, settings: Settings, mart: str, which: str
) -> None:
    row_of_the_day = (
        f"select * from {mart} where application_id is null order by date {'desc' if which == 'max' else ''} limit 1"
    )
    (row,) = query(built, row_of_the_day)
    (message,) = messages(found_in(built, settings, f"insert into {mart} {row_of_the_day}"), "keys")
    assert message.startswith(f"{mart}: key (organization_id '{row['organization_id']}', date '{row['date']}', ")
    assert "application_id null" in message
    assert message.endswith(") in 2 rows; allowed: 1")


def test_a_null_that_may_not_be_is_named_with_its_rows(built: Path, settings: Settings) -> None:
    counts = query(built, "select count(*) as count from users where account_type = 'admin' group by organization_id")
    found = found_in(built, settings, "update users set roles = null where account_type = 'admin'")
    assert sorted(messages(found, "values")) == sorted(
        f"users.roles: null in {row['count']} row(s); allowed: not null" for row in counts
    )


def test_a_value_that_is_not_accepted_is_named_with_its_rows(built: Path, settings: Settings) -> None:
    (count,) = query(built, f"select count(*) as count from users where status = 'active' and {OF_NORTHWIND}")
    retired = f"update users set status = 'retired' where status = 'active' and {OF_NORTHWIND}"
    assert messages(found_in(built, settings, retired), "values") == [
        f"users.status: 'retired' in {count['count']} row(s); allowed: deleted, suspended, staged, "
        "locked, password_expired, password_pending, active"
    ]


def test_null_is_accepted_of_a_closed_set_that_may_be_null(built: Path, settings: Settings) -> None:
    assert query(built, "select 1 from users where last_used_via is null")
    found = found_in(built, settings, f"update users set last_used_via = 'fax' where {one('users')}")
    assert messages(found, "values") == [
        "users.last_used_via: 'fax' in 1 row(s); allowed: sso, user_portal, admin_portal"
    ]


def test_usage_is_not_compared_with_roll_ups_that_are_gone(built: Path, settings: Settings, tmp_path: Path) -> None:
    elsewhere = dataclasses.replace(settings, data_root=tmp_path / "empty")
    assert found_in(built, elsewhere) == []


def test_what_is_shown_as_it_was_last_is_not_compared_with_newer_roll_ups(built: Path, settings: Settings) -> None:
    as_last = "update organizations set sync_status = 'failed', sync_message = 'Shown as it was last: odd' where "
    fewer = [f"delete from {mart} where {OF_NORTHWIND} and date = (select max(date) from usage_daily)"
             for mart in ("usage_daily", "usage_by_day")]  # fmt: skip
    assert found_in(built, settings, as_last + OF_NORTHWIND, *fewer) == []


def test_checks_keep_within_the_memory_and_threads_that_are_configured(built: Path, settings: Settings) -> None:
    little = dataclasses.replace(settings, duckdb_memory_limit="256MiB", duckdb_threads=3)
    with contextlib.closing(open_built(built, settings.landing)) as connection:
        find_broken(connection, little)
        found = {
            name: connection.execute("select current_setting(?)", [name]).fetchall()[0][0]
            for name in ("memory_limit", "threads", "temp_directory")
        }
    assert found == {"memory_limit": "256.0 MiB", "threads": 3, "temp_directory": str(spill_folder())}
