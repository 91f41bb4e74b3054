"""What pages and exports say of small worlds of which nothing is known, or no longer, or not of some days."""

from __future__ import annotations

import csv
import html
import io
import re
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from starlette.testclient import TestClient

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from support.connections import connection_json
from support.dashboard_world import DAY, TODAY
from support.dashboards import visitor
from support.pipeline import run_directory, run_usage, run_warehouse

ORGANIZATION = "5f0a1c2e9d3b4a0011223301"
KEY = "key-of-one"
USER, IDLE, ALONE = ("1" * 24, "2" * 24, "3" * 24)
APPLICATION = "a" * 24
COUNT = {"path_regex": "/events/count$"}
SINCE = f"since {TODAY - 5 * DAY:%d %b %Y}".replace("since 0", "since ")
DISAGREEING = {"match": COUNT, "do": {"body": {"count": 4}}}


def world() -> dict[str, Any]:
    """One organization: USER signs in to the portal each noon and once to the application, which IDLE never uses."""
    who = {"initiated_by": {"id": USER, "type": "user"}}
    events: list[dict[str, Any]] = [
        {"id": f"noon {day}", "event_type": "user_login_attempt", "service": "directory", "success": True, **who,
         "timestamp": f"{(TODAY - day * DAY + DAY / 2).isoformat()}Z"}
        for day in range(1, 11)
    ]  # fmt: skip
    return {
        "organizations": [
            {
                "id": ORGANIZATION,
                "displayName": "One",
                "events": events,
                "users": [{"_id": one, "username": f"u{one[0]}", "email": f"u{one[0]}@x.io"}
                          for one in (USER, IDLE, ALONE)],
                "applications": [{"_id": APPLICATION, "name": "saml", "displayName": "App", "displayLabel": "App",
                                  "sso": {"type": "saml"}}],
                "application_users": {APPLICATION: [USER]},
            }
        ],
        "keys": [{"key": KEY, "organizations": [ORGANIZATION]}],
    }  # fmt: skip


@pytest.fixture
def small(sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    sandbox.set_world(world())
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, KEY))
    return sandbox


@pytest.fixture
def get(small: Sandbox, airflow_database: None) -> Iterator[Callable[[str], str]]:
    with visitor() as client:
        yield lambda address: body_of(client, address)


def body_of(client: TestClient, address: str) -> str:
    answer = client.get(address)
    assert answer.status_code == 200, answer.text
    return answer.content.decode("utf-8-sig")


def text_of(page: str) -> str:
    """What people read of a page below its heading."""
    main = page.partition("<main")[2].partition("</main>")[0]
    assert main
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", main)).split())


def facts_of(page: str) -> dict[str, str]:
    return {
        label: " ".join(html.unescape(re.sub(r"<[^>]*>", " ", fact)).split())
        for label, fact in re.findall(r"<dt>([^<]+)</dt><dd>(.*?)</dd>", page)
    }


def access_cells(page: str) -> list[str]:
    return [
        " ".join(re.sub(r"<[^>]*>", " ", one).split()) for one in re.findall(r'"Access">(.*?)</td>', page, re.DOTALL)
    ]


def user_of(user_id: str) -> str:
    return f"user?organization_id={ORGANIZATION}&user_id={user_id}"


def read_days(sandbox: Sandbox, since: int, until: int, *, is_whole: bool = True) -> None:
    sandbox.set_faults(*([] if is_whole else [DISAGREEING]))
    run_usage(f"usage {since}", TODAY - since * DAY, TODAY - until * DAY)
    sandbox.set_faults()


def test_where_no_day_is_whole_nothing_says_never(small: Sandbox, get: Callable[[str], str]) -> None:
    read_days(small, 5, 0, is_whole=False)
    run_directory("directory")
    run_warehouse("warehouse")
    facts = facts_of(get(user_of(USER)))
    assert facts["Last log-in to a portal"] == f"{TODAY - DAY / 2:%Y-%m-%d %H:%M}"
    assert facts["Last SSO"] == "unknown"
    page = text_of(get(user_of(ALONE)))
    assert "No access and no known use" in page
    assert "never" not in page.lower()
    access = text_of(get("access"))
    assert "Never means" not in access
    assert "Usage is unknown in One : no access there counts as never used." in access
    assert "Never used it is unknown" in text_of(get("applications"))
    usage = text_of(get("usage"))
    assert "Usage of One is unknown : nothing that was read of it is whole" in usage
    assert "No events have been read" not in usage
    integrations = text_of(get(""))
    assert "Usage is unknown : no organization has a time that was wholly read." in integrations
    assert "unknown of unknown" not in integrations
    assert "Connected and synced" not in integrations
    assert "Synced, but no usage is known" in integrations
    days = ", ".join(f"{TODAY - day * DAY:%Y-%m-%d}" for day in (5, 4, 3))
    assert f"No reading of {days} and 2 more days was complete: JumpCloud's own count" in integrations
    assert "usage_count_tolerance" in integrations


def test_a_user_page_says_never_since_when_and_how_long_there_was_access(
    small: Sandbox, get: Callable[[str], str]
) -> None:
    read_days(small, 5, 0)
    run_directory("first")
    changed = world()
    changed["organizations"][0]["application_users"] = {APPLICATION: [USER, IDLE]}
    small.set_world(changed)
    run_directory("second")
    run_warehouse("warehouse")
    pages = {one: get(user_of(one)) for one in (USER, IDLE)}
    for page in pages.values():
        assert facts_of(page)["Last SSO"] == "never"
        for section in ("profile", "access"):
            said = page.partition(f'<section aria-labelledby="{section}">')[2].partition("</section>")[0]
            assert said.count(SINCE) == 1, section
    cells = {one: access_cells(page) for one, page in pages.items()}
    assert cells == {USER: ["Direct already had access"], IDLE: [f"Direct since {datetime.now(UTC):%Y-%m-%d}"]}
    people = get(f"application?organization_id={ORGANIZATION}&application_id={APPLICATION}")
    assert sorted(access_cells(people)) == sorted([*cells[USER], *cells[IDLE]])

    rows = {row["user_id"]: row for row in csv.DictReader(io.StringIO(get("access.csv")))}
    assert {one: row["had_access_before"] for one, row in rows.items()} == {USER: "true", IDLE: "false"}
    assert rows[USER]["access_since"] == ""
    assert rows[IDLE]["access_since"] != ""


def test_an_incomplete_day_is_no_day_that_was_not_read(small: Sandbox, get: Callable[[str], str]) -> None:
    read_days(small, 5, 3)
    read_days(small, 3, 2, is_whole=False)
    read_days(small, 2, 0)
    run_directory("directory")
    run_warehouse("warehouse")
    page = text_of(get(""))
    assert "Synced, but some usage was never read" not in page
    assert "Clear the failed run" not in page
    assert f"No reading of {TODAY - 3 * DAY:%Y-%m-%d} was complete: JumpCloud's own count" in page
    assert "usage_count_tolerance" in page


def test_where_usage_became_unavailable_its_idle_days_are_said_to_end(
    small: Sandbox, get: Callable[[str], str]
) -> None:
    read_days(small, 5, 0)
    run_directory("directory")
    changed = world()
    changed["organizations"][0]["insights"] = "not_enabled"
    small.set_world(changed)
    run_usage("later", TODAY - DAY, TODAY)
    run_warehouse("warehouse")
    page = text_of(get("access?usage=idle30"))
    assert "nobody counts as idle" not in page
    assert (
        f"Usage is unknown in One (known until {TODAY:%Y-%m-%d %H:%M}): no access there counts as never used. "
        "Days without use count back from the end of what is known."
    ) in page
    assert "Never means" not in page
    assert facts_of(get(user_of(USER)))["Last SSO"] == "unknown"
    assert f"Usage of One is unknown after {TODAY:%Y-%m-%d %H:%M}: " in text_of(get("usage"))


def test_each_export_says_of_which_time_it_speaks(small: Sandbox, get: Callable[[str], str]) -> None:
    read_days(small, 5, 0)
    run_directory("directory")
    run_warehouse("warehouse")
    for dataset in ("users", "applications", "access"):
        rows = list(csv.DictReader(io.StringIO(get(f"{dataset}.csv"))))
        assert rows
        for row in rows:
            known = [row["usage_from"], row["usage_until"]]
            assert known == [f"{(TODAY - 5 * DAY).isoformat()}Z", f"{TODAY.isoformat()}Z"], dataset


def test_the_known_range_is_given_no_number_of_events_that_it_does_not_hold(
    small: Sandbox, get: Callable[[str], str]
) -> None:
    read_days(small, 10, 8)
    read_days(small, 5, 0)
    run_directory("directory")
    run_warehouse("warehouse")
    page = text_of(get(f"usage?organization={ORGANIZATION}"))
    assert f"Known from {TODAY - 5 * DAY:%Y-%m-%d %H:%M} to {TODAY:%Y-%m-%d %H:%M}. Not fully read" in page
    assert "events" not in page
