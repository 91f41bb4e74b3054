"""A built warehouse that breaks a rule of the data dictionary is not published."""

from __future__ import annotations

import contextlib
from pathlib import Path

import duckdb
import pytest
from airflow.sdk.exceptions import AirflowFailException

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.tasks import warehouse
from support.pipeline import query, run_directory, run_usage
from support.worlds import DAY, TODAY

SOME_USER = "(select min(user_id) from users)"


@pytest.fixture
def built(settings: Settings) -> Path:
    assert run_directory("directory") == []
    assert run_usage("usage", TODAY - 40 * DAY, TODAY) == []
    return Path(warehouse.build_warehouse("build"))


def told(built: Path, sabotage: str) -> str:
    """What the check says of a build after a statement that changes it."""
    with contextlib.closing(duckdb.connect(str(built))) as connection:
        connection.execute(sabotage)
    with pytest.raises(AirflowFailException) as raised:
        warehouse.check_warehouse(str(built))
    return str(raised.value)


def test_a_key_that_is_there_twice_is_named_with_its_values_and_rows(built: Path) -> None:
    (user,) = query(built, f"select organization_id, user_id from users where user_id = {SOME_USER}")
    message = told(built, f"insert into users select users.* from users, range(2) where user_id = {SOME_USER}")
    key = f"organization_id '{user['organization_id']}', user_id '{user['user_id']}'"
    assert message.endswith(f"checks found\nusers: key ({key}) in 3 rows; allowed: 1")


@pytest.mark.parametrize("mart", ["usage_daily", "usage_by_day"])
@pytest.mark.parametrize("which", ["min", "max"])
def test_a_key_with_a_null_is_found_twice_in_every_month(built: Path, mart: str, which: str) -> None:
    one = f"select * from {mart} where application_id is null order by date {'desc' if which == 'max' else ''} limit 1"
    (row,) = query(built, one)
    message = told(built, f"insert into {mart} {one}")
    assert f"\n{mart}: key (organization_id '{row['organization_id']}', date '{row['date']}', " in message
    assert "application_id null) in 2 rows; allowed: 1" in message


def test_a_history_with_two_versions_of_one_moment_is_found(built: Path) -> None:
    message = told(built, "insert into access_history select * from access_history limit 1")
    assert "\naccess_history: key (organization_id '" in message
    assert message.count("\n") == 1


def test_a_null_that_may_not_be_is_named_with_its_rows(built: Path) -> None:
    (count,) = query(built, "select count(*) as count from users where account_type = 'admin'")
    message = told(built, "update users set roles = null where account_type = 'admin'")
    assert message.endswith(f"checks found\nusers.roles: null in {count['count']} row(s); allowed: not null")


def test_a_value_that_is_not_accepted_is_named_with_its_rows(built: Path) -> None:
    (count,) = query(built, "select count(*) as count from users where status = 'active'")
    message = told(built, "update users set status = 'retired' where status = 'active'")
    assert message.endswith(
        f"checks found\nusers.status: 'retired' in {count['count']} row(s); allowed: deleted, suspended, staged, "
        "locked, password_expired, password_pending, active"
    )


def test_null_is_accepted_of_a_closed_set_that_may_be_null(built: Path) -> None:
    assert query(built, "select 1 from users where last_used_via is null")
    assert "\nusers.last_used_via: 'fax' in 1 row(s); allowed: sso, user_portal, admin_portal" in told(
        built, f"update users set last_used_via = 'fax' where user_id = {SOME_USER}"
    )
