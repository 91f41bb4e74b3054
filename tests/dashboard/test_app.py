"""The dashboard's pages and files against the demo's warehouse: who may look, what is shown, what is never done.

Expectations are worked out in Python from whole marts; how the pages look is in `test_dashboard_browser`.
"""

from __future__ import annotations

import base64
import csv
import hashlib
import html
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq
import pytest
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from starlette.testclient import TestClient

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.dashboard import downloads, queries
from jumpcloud_elt.dashboard.app import STATIC
from jumpcloud_elt.dashboard.charts import TREND_WIDTH, trend
from jumpcloud_elt.dashboard.lists import PAGE_SIZE
from jumpcloud_elt.errors import WarehouseError
from jumpcloud_elt.export import main
from jumpcloud_elt.reading import read_mart
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND, UNNAMED
from support.dashboard_world import DAY, FORMULA, LONG, RIGHT_TO_LEFT, SCRIPT, TODAY, publish_demo
from support.dashboards import FILES, PAGES, visitor
from support.pipeline import query

Row = dict[str, Any]


@pytest.fixture(scope="module")
def demo_warehouse(tmp_path_factory: pytest.TempPathFactory, sandbox_process: Sandbox) -> Path:
    return publish_demo(tmp_path_factory.mktemp("dashboard") / "data", sandbox_process)


@pytest.fixture
def data(demo_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow_database: None) -> Path:
    """This test's own data root with that warehouse."""
    warehouse = tmp_path / "data" / "warehouse" / "jumpcloud.duckdb"
    warehouse.parent.mkdir(parents=True)
    shutil.copyfile(demo_warehouse, warehouse)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data"))
    return warehouse


@pytest.fixture
def viewer(data: Path) -> Iterator[TestClient]:
    with visitor() as client:
        yield client


def rows_of(warehouse: Path, mart: str) -> list[Row]:
    return query(warehouse, f"select * from {mart}")


def csv_of(viewer: TestClient, address: str) -> list[dict[str, str]]:
    """Every row of a list, with the apostrophes before what a spreadsheet would take for a formula."""
    answer = viewer.get(address)
    assert answer.status_code == 200, answer.text
    return list(csv.DictReader(io.StringIO(answer.content.decode("utf-8-sig"))))


def shown(page: str, pattern: str) -> list[str]:
    return [html.unescape(found) for found in re.findall(pattern, page)]


def user_links(page: str) -> list[tuple[str, str]]:
    return re.findall(r'<th scope="row"><a href="user\?organization_id=(\w+)&amp;user_id=(\w+)"', page)


def one_of(warehouse: Path, mart: str, where: str) -> Row:
    return query(warehouse, f"select * from {mart} where {where} order by all limit 1")[0]


def addresses(warehouse: Path) -> list[str]:
    """Every route, with what it needs."""
    user = one_of(warehouse, "users", f"organization_id = '{NORTHWIND}'")
    application = one_of(warehouse, "applications", f"organization_id = '{NORTHWIND}'")
    return [
        *PAGES,
        *FILES,
        *(f"static/{name}" for name in STATIC),
        f"user?organization_id={NORTHWIND}&user_id={user['user_id']}",
        *(
            f"application{ending}?organization_id={NORTHWIND}&application_id={application['application_id']}"
            for ending in ("", ".csv", ".parquet")
        ),
    ]


def test_every_route_is_for_people_who_are_signed_in(viewer: TestClient, data: Path) -> None:
    routes = {route.path for route in viewer.app.routes[-1].app.routes}  # type: ignore[attr-defined]
    tried = {"/" + address.partition("?")[0] for address in addresses(data)}
    assert {re.sub(r"^/static/.*", "/static/{name}", one) for one in tried} == routes
    with visitor(is_signed_in=False) as nobody:
        for address in addresses(data):
            assert viewer.get(address).status_code == 200, address
            refused = nobody.get(address)
            assert refused.status_code == 401, address
            assert "Content-Security-Policy" in refused.headers
            assert nobody.head(address).status_code == 401


def test_a_forged_or_expired_token_is_nobody(viewer: TestClient) -> None:
    viewer.cookies.set("_token", "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiIsInJvbGUiOiJBRE1JTiJ9.")
    answer = viewer.get("users")
    assert answer.status_code == 401
    assert "Sign in</a>" in answer.text


@pytest.mark.parametrize("dag_id", ["jumpcloud_directory", "jumpcloud_usage", "jumpcloud_warehouse"])
def test_people_who_may_not_read_one_of_the_dags_are_refused_everything(
    viewer: TestClient, data: Path, monkeypatch: pytest.MonkeyPatch, dag_id: str
) -> None:
    def is_authorized_dag(self: SimpleAuthManager, *, details: Any = None, **rest: Any) -> bool:
        return details is not None and details.id != dag_id

    monkeypatch.setattr(SimpleAuthManager, "is_authorized_dag", is_authorized_dag)
    for address in addresses(data):
        assert viewer.get(address).status_code == 403, address


def test_a_role_without_any_right_is_refused(data: Path) -> None:
    with visitor(role=None) as client:
        assert client.get("users").status_code == 403


def test_signing_in_leads_back_to_the_page(data: Path) -> None:
    with visitor(is_signed_in=False, path="/below") as nobody:
        page = nobody.get("users?search=a").text
    assert 'href="/below/api/v2/auth/login?next=%2Fbelow%2Fjumpcloud%2Fusers%3Fsearch%3Da"' in page


def test_who_is_refused_gets_a_page_that_may_run_what_stands_in_it_and_nothing_else(data: Path) -> None:
    for visitors, status in ((visitor(is_signed_in=False), 401), (visitor(role=None), 403)):
        with visitors as client:
            answer = client.get("users")
        assert answer.status_code == status
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        for tag in ("style", "script"):
            (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", answer.text, re.DOTALL)
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            assert policy[f"{tag}-src"] == f"'sha256-{digest}'"
        assert policy["default-src"] == "'none'"
        assert policy["frame-ancestors"] == "'self'"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
def test_nothing_can_be_written(viewer: TestClient, data: Path, method: str) -> None:
    before = data.read_bytes()
    for address in addresses(data):
        assert viewer.request(method, address).status_code == 405, address
    assert data.read_bytes() == before


def test_every_answer_forbids_what_is_not_of_the_package(viewer: TestClient, data: Path) -> None:
    for address in addresses(data):
        answer = viewer.get(address)
        policy = dict(part.split(" ", 1) for part in answer.headers["Content-Security-Policy"].split("; "))
        assert policy["default-src"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
        assert policy["frame-ancestors"] == "'self'"
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        if answer.headers["content-type"].startswith("text/html"):
            # The policy would keep them from working.
            assert not re.search(r"<script(?![^>]* src=)|<style|\sstyle=|\son\w+=|javascript:", answer.text), address
            # Nothing from elsewhere: a page works without internet.
            assert not re.search(r'(?:src|href|action)="(?:https?:)?//', answer.text), address


def test_no_file_of_the_package_asks_anybody_else() -> None:
    for name, path in STATIC.items():
        if path.suffix in (".js", ".css") and not name.startswith("uPlot"):
            assert "http" not in path.read_text(encoding="utf-8"), name


@pytest.mark.parametrize("name", ["../app.py", "..%2Fapp.py", "%2e%2e/app.py", "nothing.js", ""])
def test_only_the_packages_own_files_are_served(viewer: TestClient, name: str) -> None:
    assert viewer.get(f"static/{name}").status_code == 404


def test_what_came_from_jumpcloud_is_text(viewer: TestClient, data: Path) -> None:
    named = query(data, "select * from users where display_name = $1", [SCRIPT])[0]
    application = query(data, "select * from applications where name = $1", [SCRIPT])[0]
    pages = [
        "",
        "users?search=script",
        "applications",
        "access",
        f"access?search={SCRIPT}",
        f"user?organization_id={NORTHWIND}&user_id={named['user_id']}",
        f"application?organization_id={NORTHWIND}&application_id={application['application_id']}",
    ]
    for address in pages:
        page = viewer.get(address).text
        assert SCRIPT not in page, address
        assert html.escape(SCRIPT) in page or address == "", address


def test_names_are_whole_and_each_in_a_direction_of_its_own(viewer: TestClient) -> None:
    for name in (RIGHT_TO_LEFT, LONG):
        page = viewer.get("users", params={"search": name}).text
        assert re.search(rf"<bdi[^>]*>{re.escape(html.escape(name))}</bdi>", page)


@pytest.mark.parametrize(
    ("address", "keep"),
    [
        ("users", lambda user, _: True),
        (f"users?organization={NORTHWIND}", lambda user, _: user["organization_id"] == NORTHWIND),
        ("users?status=suspended", lambda user, _: user["status"] == "suspended"),
        ("users?role=User", lambda user, _: "User" in user["roles"]),
        ("users?usage=used", lambda user, _: user["usage_state"] == "used"),
        ("users?usage=never", lambda user, _: user["usage_state"] == "never_used"),
        ("users?usage=unknown", lambda user, _: user["usage_state"] == "unknown"),
        (f"users?last_used_before={TODAY - 3 * DAY:%Y-%m-%d}", lambda user, _: bool(
            user["last_used_at"] and user["last_used_at"] < TODAY - 3 * DAY
        )),
        ("users?search=NORTHWIND.example", lambda user, _: "northwind.example" in (user["email"] or "").lower()),
        (f"users?organization={NORTHWIND}&status=active&usage=never", lambda user, _: (
            user["organization_id"] == NORTHWIND and user["status"] == "active" and user["usage_state"] == "never_used"
        )),
        ("users?search=%25", lambda user, _: False),
    ],
)  # fmt: skip
def test_users_are_filtered_on_the_page_and_in_its_files(
    viewer: TestClient, data: Path, address: str, keep: Any
) -> None:
    wanted = {(user["organization_id"], user["user_id"]) for user in rows_of(data, "users") if keep(user, None)}
    page = viewer.get(address).text
    assert f"of {len(wanted):,}</p>" in page or (not wanted and "Nothing found" in page)
    assert len(user_links(page)) == min(PAGE_SIZE, len(wanted))
    assert {*user_links(page)} <= wanted
    found = csv_of(viewer, address.replace("users", "users.csv", 1))
    assert {(row["organization_id"], row["user_id"]) for row in found} == wanted
    imported = viewer.get(address.replace("users", "users.json", 1)).json()
    assert sorted(row["id"] for row in imported) == sorted(user_id for _, user_id in wanted)
    table = pq.read_table(io.BytesIO(viewer.get(address.replace("users", "users.parquet", 1)).content))
    assert {*zip(table["organization_id"].to_pylist(), table["user_id"].to_pylist(), strict=True)} == wanted


def test_days_without_use_count_back_from_what_has_been_read(viewer: TestClient, data: Path) -> None:
    # Of thirty days nothing is known here, so of nobody can it be said that they were idle for so long.
    assert csv_of(viewer, "users.csv?usage=idle30") == []
    change(data, "update users set idle_days = 29 + rowid % 2 where idle_days is not null")
    idle = {row["user_id"] for row in rows_of(data, "users") if row["idle_days"] == 30}
    found = csv_of(viewer, "users.csv?usage=idle30")
    assert {row["user_id"] for row in found} == idle
    assert BLUE_YONDER not in {row["organization_id"] for row in found}, "unknown is not idle"


@pytest.mark.parametrize("path", ["", "access?usage=never&access=now", "applications", "users"])
def test_whatever_says_never_says_since_when(viewer: TestClient, data: Path, path: str) -> None:
    change(data, "update organizations set usage_from = '2026-03-02', known_days = 60 where usage_from is not null")
    assert "since 2 Mar 2026 (60 days)" in viewer.get(path).text
    change(data, f"update organizations set usage_from = '2026-03-01' where organization_id = '{NORTHWIND}'")
    assert len({row["usage_from"] for row in rows_of(data, "organizations") if row["usage_from"]}) == 2
    assert "since 1 Mar 2026 to 2 Mar 2026, depending on the organization" in viewer.get(path).text


@pytest.mark.parametrize(
    ("sort", "key"),
    [
        ("name", lambda user: user["display_name"].lower()),
        ("status", lambda user: user["status"]),
        ("applications", lambda user: user["application_count"]),
        ("days", lambda user: user["usage_days_30d"]),
        ("last_used", lambda user: user["last_used_at"]),
    ],
)
def test_lists_are_sorted_with_what_is_not_known_last(viewer: TestClient, data: Path, sort: str, key: Any) -> None:
    users = {(user["organization_id"], user["user_id"]): user for user in rows_of(data, "users")}
    for prefix in ("", "-"):
        found = csv_of(viewer, f"users.csv?sort={prefix}{sort}")
        values = [key(users[row["organization_id"], row["user_id"]]) for row in found]
        known = [value for value in values if value is not None]
        assert values == known + [None] * (len(values) - len(known))
        # Python and DuckDB agree on capital letters only where there is one way.
        plain = [value for value in known if not isinstance(value, str) or value.isascii()]
        assert plain == sorted(plain, reverse=bool(prefix))
        first = user_links(viewer.get(f"users?sort={prefix}{sort}").text)
        assert first == [(row["organization_id"], row["user_id"]) for row in found[:PAGE_SIZE]]


def test_pages_of_a_list_are_the_whole_list_once(viewer: TestClient, data: Path) -> None:
    total = len(rows_of(data, "users"))
    assert total > PAGE_SIZE
    seen = []
    address: str | None = "users?sort=status"
    while address:
        page = viewer.get(address).text
        seen += user_links(page)
        following = shown(page, r'<a rel="next" href="([^"]+)"')
        address = following[0] if following else None
    assert len(seen) == len({*seen}) == total
    assert viewer.get("users?page=9999").text.count('<th scope="row">') == total % PAGE_SIZE


@pytest.mark.parametrize("sort", ["application", "-last_used", "uses"])
def test_pages_of_access_are_the_whole_list_once(viewer: TestClient, data: Path, sort: str) -> None:
    wanted = sorted(
        (row["application_id"], row["user_id"])
        for row in rows_of(data, "application_users")
        if row["organization_id"] == NORTHWIND
    )
    assert len(wanted) > 2 * PAGE_SIZE
    seen = []
    address: str | None = f"access?organization={NORTHWIND}&sort={sort}"
    while address:
        page = viewer.get(address).text
        seen += re.findall(r"&amp;application_id=(\w+)\".*?&amp;user_id=(\w+)\"", page, re.DOTALL)
        following = shown(page, r'<a rel="next" href="([^"]+)"')
        address = following[0] if following else None
    assert sorted(seen) == wanted
    beyond = viewer.get(f"access?organization={NORTHWIND}&page=9999").text
    assert f"of {len(wanted):,}</p>" in beyond
    assert beyond.count('<th scope="row">') == len(wanted) % PAGE_SIZE


def test_a_filter_stays_while_sorting_and_turning_pages(viewer: TestClient) -> None:
    page = viewer.get(f"users?organization={NORTHWIND}&sort=name").text
    links = shown(page, r'href="(users[^"]*)"')
    lists = [link for link in links if "sort=" in link]
    assert lists
    assert all(f"organization={NORTHWIND}" in link for link in lists)


@pytest.mark.parametrize(
    ("address", "complaint"),
    [
        ("users?sort=password", "sort: 'password' given"),
        ("users?sort=name;drop table users", "sort: 'name;drop table users' given"),
        ("users?page=-1", "page: '-1' given"),
        ("users?status=great", "status: 'great' given"),
        ("users?usage=sometimes&colour=red", "colour: no such filter"),
        ("users?last_used_before=yesterday", "last_used_before: 'yesterday' given"),
        ("applications?listed=perhaps", "listed: 'perhaps' given"),
        ("access?access=some", "access: 'some' given"),
        ("usage?range=12", "range: '12' given"),
    ],
)
def test_what_a_list_cannot_be_asked_for_is_refused_by_name(viewer: TestClient, address: str, complaint: str) -> None:
    answer = viewer.get(address)
    assert answer.status_code == 400
    assert complaint in html.unescape(answer.text)


def test_clear_is_offered_where_there_is_something_to_clear(viewer: TestClient, data: Path) -> None:
    application = one_of(data, "applications", f"organization_id = '{NORTHWIND}'")
    key = f"organization_id={NORTHWIND}&application_id={application['application_id']}"
    for address in ("users?sort=status", "access?usage=never&access=now", f"application?{key}"):
        assert 'class="reset"' not in viewer.get(address).text, address
    for address in ("users?status=active", "access", "access?usage=never", f"application?{key}&usage=never"):
        assert 'class="reset"' in viewer.get(address).text, address


@pytest.mark.parametrize("week", [0, 5, 11])
def test_a_week_alone_is_seen_in_a_trend(week: int) -> None:
    (line,) = trend([None] * week + [3] + [None] * (11 - week))
    xs = [float(point.split(",")[0]) for point in line.split()]
    assert 0 <= xs[0] < xs[1] <= TREND_WIDTH
    assert xs[1] - xs[0] >= 4


def test_words_of_an_address_are_values_and_never_sql(viewer: TestClient, data: Path) -> None:
    injected = "x' or 1=1 --"
    for name in ("search", "organization", "role"):
        assert "Nothing found" in viewer.get("users", params={name: injected}).text
    assert viewer.get("user", params={"organization_id": injected, "user_id": injected}).status_code == 404
    assert (
        viewer.get("application", params={"organization_id": NORTHWIND, "application_id": injected}).status_code == 404
    )


def test_the_list_of_unused_access_is_what_the_applications_count(viewer: TestClient, data: Path) -> None:
    for application in rows_of(data, "applications"):
        found = csv_of(viewer, f"access.csv?usage=never&access=now&organization={application['organization_id']}")
        never = [row for row in found if row["application_id"] == application["application_id"]]
        assert len(never) == (application["users_never_used"] or 0), application
    total = sum(row["users_never_used"] or 0 for row in rows_of(data, "applications") if row["is_listed"])
    assert f"<strong>{total:,}</strong> of" in viewer.get("").text


def test_one_application_shows_who_has_access_and_who_never_used_it(viewer: TestClient, data: Path) -> None:
    application = query(
        data,
        "select * from applications where users_never_used between 1 and users_with_access - 1 order by name limit 1",
    )[0]
    key = f"organization_id={application['organization_id']}&application_id={application['application_id']}"
    pairs = query(
        data,
        "select * from application_users inner join users using (organization_id, user_id) "
        "where organization_id = $1 and application_id = $2",
        [application["organization_id"], application["application_id"]],
    )
    assert f"of {len(pairs):,}</p>" in viewer.get(f"application?{key}").text
    page = viewer.get(f"application?{key}&usage=never&access=now").text
    assert len(user_links(page)) == application["users_never_used"]
    used = {row["user_id"] for row in pairs if row["first_used_at"] is not None}
    assert used
    assert not used & {user_id for _, user_id in user_links(page)}


def test_who_never_used_an_application_is_a_file(viewer: TestClient, data: Path) -> None:
    application = query(
        data, "select * from applications where users_never_used > 0 order by organization_id, application_id limit 1"
    )[0]
    key = f"organization_id={application['organization_id']}&application_id={application['application_id']}"
    page = viewer.get(f"application?{key}&usage=never&access=now&sort=-uses").text
    (link,) = shown(page, r'href="(application\.csv[^"]+)"')
    never = query(
        data,
        "select user_id from application_users where organization_id = $1 and application_id = $2 "
        "and last_used_at is null",
        [application["organization_id"], application["application_id"]],
    )
    assert sorted(row["user_id"] for row in csv_of(viewer, link)) == sorted(row["user_id"] for row in never)


def test_use_per_day_adds_up_and_days_that_were_not_read_are_unknown(viewer: TestClient, data: Path) -> None:
    page = viewer.get(f"usage?organization={NORTHWIND}&range=all").text
    (chart,) = shown(page, r'data-chart="([^"]+)"')
    drawn = json.loads(chart)
    wanted = query(
        data,
        "select source, sum(successes)::int as n, sum(failures)::int as failed from usage_daily "
        "where organization_id = $1 group by source",
        [NORTHWIND],
    )
    sums = {line["label"]: sum(value or 0 for value in line["values"]) for line in drawn["series"]}
    assert sums == {
        **{
            label: sum(row["n"] for row in wanted if row["source"] == source)
            for source, label in (("sso", "SSO"), ("user_portal", "User portal"), ("admin_portal", "Admin portal"))
        },
        "Failures": sum(row["failed"] for row in wanted),
    }
    gap = [(TODAY - days * DAY).date() for days in (10, 9)]
    for day in gap:
        index = drawn["days"].index((day - date(1970, 1, 1)) // timedelta(seconds=1))
        assert {line["values"][index] for line in drawn["series"]} == {None}
        assert f"{day}: unknown" in page
    assert f"{TODAY - 10 * DAY:%Y-%m-%d} 00:00 to {TODAY - 8 * DAY:%Y-%m-%d} 00:00" in page, "the gap, in words"
    assert "18 of 20 days have been read" in page


def test_where_usage_is_unknown_no_figure_says_zero(viewer: TestClient, data: Path) -> None:
    user = one_of(data, "users", f"organization_id = '{BLUE_YONDER}'")
    application = one_of(data, "applications", f"organization_id = '{BLUE_YONDER}'")
    for address in (
        f"users?organization={BLUE_YONDER}",
        f"applications?organization={BLUE_YONDER}",
        f"usage?organization={BLUE_YONDER}",
        f"user?organization_id={BLUE_YONDER}&user_id={user['user_id']}",
        f"application?organization_id={BLUE_YONDER}&application_id={application['application_id']}",
    ):
        page = viewer.get(address).text
        assert "unknown" in page.lower(), address
        assert not re.search(r'class="never"', page), address
    rows = csv_of(viewer, f"applications.csv?organization={BLUE_YONDER}")
    assert {row["users_never_used"] for row in rows} == {""}


def cards_of(page: str) -> dict[str, tuple[str, str]]:
    """The colour and the text of each card, by its name."""
    found = re.findall(r'<article class="card (\w+)">.*?<h2><bdi>(.*?)</bdi></h2>(.*?)</article>', page, re.DOTALL)
    return {html.unescape(name): (colour, text) for colour, name, text in found}


def sums_of(page: str) -> list[str]:
    return re.findall(r"<strong>(\d+)</strong> (?:synced|to look at|failed)", page)


def change(warehouse: Path, *statements: str) -> None:
    """Make the warehouse say something else."""
    warehouse.chmod(0o644)
    with duckdb.connect(str(warehouse)) as connection:
        for statement in statements:
            connection.execute(statement)


FILL_THE_GAP = (
    f"update usage_coverage_daily set covered_seconds = 86400, is_known = true where organization_id = '{NORTHWIND}'",
    f"update organizations set usage_from = timestamp '{TODAY - 20 * DAY}' where organization_id = '{NORTHWIND}'",
)


def test_cards_say_how_each_organization_stands(viewer: TestClient, data: Path) -> None:
    cards = cards_of(viewer.get("").text)
    assert {name: colour for name, (colour, _) in cards.items()} == {
        "Northwind Traders": "amber",
        "Blue Yonder Airlines": "amber",
        UNNAMED: "amber",
    }
    gap = f"{TODAY - 10 * DAY:%Y-%m-%d} 00:00 to {TODAY - 8 * DAY:%Y-%m-%d} 00:00 UTC was not fully read."
    assert gap in cards["Northwind Traders"][1]
    assert "Directory Insights is not enabled" in cards["Blue Yonder Airlines"][1]
    assert "accept_drop" in cards[UNNAMED][1]
    link = "/dags/jumpcloud_directory/runs/manual__2026-01-02T00%3A00%3A00%2B00%3A00"
    assert all(f'href="{link}"' in text for _, text in cards.values())
    change(data, *FILL_THE_GAP)
    page = viewer.get("").text
    assert cards_of(page)["Northwind Traders"][0] == "green"
    assert "Connected and synced" in cards_of(page)["Northwind Traders"][1]
    assert sums_of(page) == ["1", "2", "0"]


def test_what_failed_is_red_with_its_cause_and_its_run(viewer: TestClient, data: Path) -> None:
    change(data, *FILL_THE_GAP)
    add_run(data, NORTHWIND, "jumpcloud_usage", "usage/failed & worse", "failed", "429 <b>busy</b>")
    of_northwind = f"where organization_id = '{NORTHWIND}'"
    change(
        data,
        f"update organizations set sync_status = 'failed', sync_message = 'Usage: 429 <b>busy</b>' {of_northwind}",
    )
    colour, card = cards_of(viewer.get("").text)["Northwind Traders"]
    assert colour == "red"
    assert "429 &lt;b&gt;busy&lt;/b&gt;" in card
    assert 'href="/dags/jumpcloud_usage/runs/usage%2Ffailed%20%26%20worse"' in card
    add_run(data, NORTHWIND, "jumpcloud_usage", "usage/failed & worse", "ok", None)
    change(data, f"update organizations set sync_status = 'ok', sync_message = null {of_northwind}")
    assert cards_of(viewer.get("").text)["Northwind Traders"][0] == "green", "the same run was run again"


def test_a_later_interval_does_not_hide_one_that_was_never_read(viewer: TestClient, data: Path) -> None:
    change(data, *FILL_THE_GAP)
    until = one_of(data, "organizations", f"organization_id = '{NORTHWIND}'")["usage_until"]
    add_run(data, NORTHWIND, "jumpcloud_usage", "failed", "failed", "500")
    add_run(data, NORTHWIND, "jumpcloud_usage", "later", "ok", None)
    change(
        data,
        f"update organizations set usage_from = timestamp '{until + DAY}', usage_until = timestamp '{until + 2 * DAY}' "
        f"where organization_id = '{NORTHWIND}'",
        f"update usage_coverage_daily set is_known = false where organization_id = '{NORTHWIND}'",
        f"insert into usage_coverage_daily values ('{NORTHWIND}', date '{until:%Y-%m-%d}', 0, false), "
        f"('{NORTHWIND}', date '{until + DAY:%Y-%m-%d}', 86400, true)",
    )
    colour, card = cards_of(viewer.get("").text)["Northwind Traders"]
    assert colour == "amber"
    assert f"{until:%Y-%m-%d} 00:00 to {until + DAY:%Y-%m-%d} 00:00 UTC was not fully read." in card


def test_a_failed_action_run_is_the_one_that_a_red_card_leads_to(viewer: TestClient, data: Path) -> None:
    add_run(data, NORTHWIND, "jumpcloud_user_action", "acted", "failed", "500")
    change(
        data,
        f"update organizations set sync_status = 'failed', sync_message = '500' where organization_id = '{NORTHWIND}'",
    )
    colour, card = cards_of(viewer.get("").text)["Northwind Traders"]
    assert colour == "red"
    assert 'href="/dags/jumpcloud_user_action/runs/acted"' in card


def test_many_organizations_are_paged_and_searched(viewer: TestClient, data: Path) -> None:
    change(
        data,
        "insert into organizations by name "
        "select 'x' || n as organization_id, format('Customer {:02}', n) as organization_name, "
        "'jumpcloud_default' as connection_id, 'unknown' as usage_state, 'failed' as sync_status "
        "from range(60) as numbers(n)",
    )
    seen: list[str] = []
    address: str | None = "./"
    while address:
        page = viewer.get(address).text
        assert len(cards_of(page)) <= 24
        seen += cards_of(page)
        address = next(iter(shown(page, r'<a rel="next" href="([^"]+)"')), None)
    assert len(seen) == len({*seen}) == 63
    page = viewer.get("./?search=CUSTOMER+4").text
    assert [*cards_of(page)] == [f"Customer 4{n}" for n in range(10)]
    assert sums_of(page) == ["0", "3", "60"], "of all of them, whatever is searched for"


def test_a_connection_without_an_organization_has_a_card_of_its_own(
    viewer: TestClient, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jumpcloud_default,new_one,wrong_key")
    add_run(data, None, "jumpcloud_directory", "manual", "failed", "401: the key", connection_id="wrong_key")
    page = viewer.get("").text
    cards = cards_of(page)
    assert (cards["new_one"][0], cards["wrong_key"][0]) == ("amber", "red")
    assert "401: the key" in cards["wrong_key"][1]
    assert sums_of(page) == ["0", "4", "1"], "cards of connections count, too"


def test_a_connection_that_only_acts_is_no_connection_without_an_organization(
    viewer: TestClient, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jumpcloud_default,acting")
    assert "acting" in cards_of(viewer.get("").text)
    change(data, "insert into capabilities select * replace ('acting' as connection_id) from capabilities")
    assert "acting" not in cards_of(viewer.get("").text)
    add_run(data, None, "jumpcloud_directory", "manual", "failed", "401: the key", connection_id="acting")
    assert cards_of(viewer.get("").text)["acting"][0] == "red"


def add_run(
    warehouse: Path,
    organization_id: str | None,
    dag_id: str,
    run_id: str,
    outcome: str,
    reason: str | None,
    connection_id: str = "jumpcloud_default",
) -> None:
    """One more row of what happened, later than all others."""
    warehouse.chmod(0o644)
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(
            "insert into sync_log by name "
            "select $1::varchar as organization_id, 'directory_insights_events' as stream, "
            "$2 as dag_id, $3 as run_id, $4 as connection_id, $5 as outcome, $6::varchar as reason, "
            "(select max(recorded_at) + interval 1 hour from sync_log) as recorded_at",
            [organization_id, dag_id, run_id, connection_id, outcome, reason],
        )


def test_capabilities_stand_beside_each_organization(viewer: TestClient, data: Path) -> None:
    data.chmod(0o644)
    with duckdb.connect(str(data)) as connection:
        connection.execute(
            "create or replace table capabilities (connection_id varchar, organization_id varchar, capability varchar, "
            "kind varchar, state varchar, reason varchar)"
        )
        rows = [("users", "sync", "yes", None), ("directory_insights", "sync", "no", SCRIPT)]
        rows += [(action, "action", "no", "Permission is read.") for action in ("suspend", "delete")]
        for row in rows:
            connection.execute(
                "insert into capabilities values ('jumpcloud_default', $1, $2, $3, $4, $5)", [NORTHWIND, *row]
            )
    page = viewer.get("").text
    matrix = page[page.index('<table class="matrix">') :].split("<tbody>")[1:]
    (row,) = [one for one in matrix if "Northwind Traders" in one]
    assert SCRIPT not in page
    said = re.findall(r'<td data-label="([\w ]+)">(?:<svg.*?</svg>)?<span[^>]*>([\w ]+)</span>', row, re.DOTALL)
    assert said == [("Directory insights", "no"), ("Users", "yes"), ("What may be done", "Read only")]
    assert row.count("Permission is read.") == 1, "a reason that all share is said once"
    assert html.escape(SCRIPT) in row
    (other,) = [one for one in matrix if "Blue Yonder" in one]
    assert "Not looked at yet" in other


def test_a_reason_that_several_organizations_share_is_said_once(viewer: TestClient, data: Path) -> None:
    page = viewer.get("").text
    matrix = page[page.index('<table class="matrix">') :]
    assert matrix.count("Read only") == 3
    assert matrix.count("Permission of connection jumpcloud_default is read.") == 1
    assert "icon-no" not in matrix.replace("Directory insights", "", 1).split("Blue Yonder")[0]


def test_a_user_has_roles_groups_access_by_name_and_a_history(viewer: TestClient, data: Path) -> None:
    pair = query(
        data,
        "select application_users.*, applications.name as application from application_users "
        "inner join applications using (organization_id, application_id) "
        "where access = 'group' and applications.name <> $1 order by all limit 1",
        [SCRIPT],
    )[0]
    user = query(data, "select * from users where user_id = $1", [pair["user_id"]])[0]
    names = {row["group_id"]: row["name"] for row in rows_of(data, "groups")}
    page = viewer.get(f"user?organization_id={pair['organization_id']}&user_id={pair['user_id']}").text
    for text in (user["display_name"], user["email"], pair["application"], *user["roles"], *user["groups"]):
        assert html.escape(text) in page, text
    for group_id in pair["via_group_ids"]:
        assert f'title="Group {group_id}"><bdi>{html.escape(names[group_id])}</bdi>' in page
    assert "First seen" in page
    assert "Already had access" in page and "Access given" not in page


def test_a_spreadsheet_takes_no_name_for_a_formula_and_other_tools_get_it_as_it_is(
    viewer: TestClient, data: Path
) -> None:
    (row,) = csv_of(viewer, "users.csv?search=HYPERLINK")
    assert row["display_name"] == f"'{FORMULA}"
    table = pq.read_table(io.BytesIO(viewer.get("users.parquet?search=HYPERLINK").content))
    assert table["display_name"].to_pylist() == [FORMULA]
    hidden = "a;=1+1; \uff1d2,\t@3"
    change(
        data,
        f"update users set department = '{hidden}', job_title = 'well-known, a=b' where user_id = '{row['user_id']}'",
    )
    (row,) = csv_of(viewer, "users.csv?search=HYPERLINK")
    assert row["department"] == "a;'=1+1; '\uff1d2,\t'@3", "some part cells at other signs"
    assert row["job_title"] == "well-known, a=b"
    (imported,) = viewer.get("users.json?search=HYPERLINK").json()
    assert imported["firstName"] == FORMULA


def test_a_role_is_chosen_as_it_is_spelt(viewer: TestClient, data: Path) -> None:
    user = one_of(data, "users", f"organization_id = '{NORTHWIND}'")
    change(data, f"update users set roles = [' Odd  one '] where user_id = '{user['user_id']}'")
    assert '<option value=" Odd  one ">' in viewer.get("users").text
    (found,) = csv_of(viewer, "users.csv?role=+Odd++one+")
    assert found["user_id"] == user["user_id"]
    assert csv_of(viewer, "users.csv?search=++NORTHWIND.example+"), "what is typed may have spaces around it"


def test_last_used_before_says_whom_it_leaves_out(viewer: TestClient) -> None:
    page = viewer.get(f"users?organization={NORTHWIND}&last_used_before={TODAY:%Y-%m-%d}").text
    assert f'href="users?organization={NORTHWIND}&amp;usage=never"' in page
    assert "has no last use" in page
    assert "has no last use" not in viewer.get("users").text


def test_a_download_takes_a_turn_and_gives_it_back(viewer: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    turns = threading.BoundedSemaphore(1)
    free = []
    monkeypatch.setattr(downloads, "_turns", turns)

    def fail(*arguments: object, **named: object) -> None:
        free.append(turns.acquire(blocking=False))
        raise WarehouseError("the disk is full")

    monkeypatch.setattr("jumpcloud_elt.dashboard.downloads.write_csv", fail)
    assert [viewer.get("users.csv").status_code for _ in range(2)] == [503, 503]
    assert free == [False, False]
    assert turns.acquire(blocking=False)


def test_files_are_attachments_named_after_the_data(viewer: TestClient, data: Path) -> None:
    built = query(data, "select built_at from warehouse_info")[0]["built_at"]
    for address in FILES:
        answer = viewer.get(address)
        dataset, ending = address.split(".")
        assert answer.headers["Content-Disposition"] == (
            f'attachment; filename="jumpcloud-{dataset}-{built:%Y%m%d}.{ending}"'
        )
        assert int(answer.headers["Content-Length"]) == len(answer.content)


def test_every_page_says_of_when_its_data_are(viewer: TestClient, data: Path) -> None:
    built = query(data, "select built_at from warehouse_info")[0]["built_at"]
    for address in addresses(data):
        if not address.startswith("static") and "." not in address.partition("?")[0]:
            assert f"{built:%Y-%m-%d %H:%M}</time> UTC" in viewer.get(address).text, address


def test_before_the_first_sync_the_pages_say_what_to_do(viewer: TestClient, data: Path) -> None:
    data.unlink()
    page = viewer.get("")
    assert page.status_code == 200
    assert "Nothing has been synced yet" in page.text
    assert "jumpcloud_default" in page.text
    assert str(data.parent) not in page.text, "where the server keeps what is nobody's business"
    for dag_id in ("jumpcloud_directory", "jumpcloud_usage", "jumpcloud_warehouse"):
        assert f'data-airflow href="/dags/{dag_id}"' in page.text
    for address in ("users", "applications", "access", "usage", *FILES):
        answer = viewer.get(address)
        assert answer.status_code == 503
        assert "run jumpcloud_warehouse" in answer.text


def test_a_file_that_is_no_warehouse_is_said_to_be_none(viewer: TestClient, data: Path) -> None:
    data.write_bytes(b"no database")
    assert viewer.get("users").status_code == 503
    assert "cannot be opened" in viewer.get("users").text


@pytest.mark.parametrize(
    "statements",
    [
        ("drop table warehouse_info",),
        ("alter table sync_log drop column connection_id",),
    ],
)
def test_another_database_and_one_of_an_older_version_are_said_to_be_so(
    viewer: TestClient, data: Path, capsys: pytest.CaptureFixture[str], statements: tuple[str, ...]
) -> None:
    change(data, *statements)
    answer = viewer.get("")
    assert answer.status_code == 503
    assert "run jumpcloud_warehouse once" in answer.text
    change(data, "drop table users")
    for address in ("users", "users.csv"):
        assert viewer.get(address).status_code == 503
    assert main(["users", "--warehouse", str(data)]) == 1
    assert "run jumpcloud_warehouse once" in capsys.readouterr().err


def test_what_goes_wrong_unforeseen_is_a_page_with_the_headers_of_all_others(
    viewer: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise RuntimeError("nobody thought of this")

    monkeypatch.setattr("jumpcloud_elt.dashboard.pages.users.open_for_request", fail)
    answer = viewer.get("users")
    assert answer.status_code == 500
    assert answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "nobody thought" not in answer.text


@pytest.mark.parametrize("address", ["user", "application?organization_id=x"])
def test_an_address_that_lacks_what_it_is_about_is_refused_as_a_page(viewer: TestClient, address: str) -> None:
    answer = viewer.get(address)
    assert answer.status_code == 400
    assert answer.headers["content-type"].startswith("text/html")
    assert "Field required" in answer.text


def test_a_wrong_setting_is_named(viewer: TestClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__REQUEST_THREADS", "many")
    answer = viewer.get("")
    assert answer.status_code == 503
    assert "request_threads" in answer.text


def test_a_warehouse_of_an_older_version_is_shown_as_far_as_it_goes(viewer: TestClient, data: Path) -> None:
    with duckdb.connect(str(data)) as connection:
        for table in ("usage_by_day", "groups"):
            connection.execute(f"drop table {table}")
        connection.execute("drop table if exists capabilities")
    page = viewer.get("")
    assert page.status_code == 200
    assert "does not know them yet" in page.text
    user = one_of(data, "users", f"organization_id = '{NORTHWIND}'")
    assert viewer.get(f"user?organization_id={NORTHWIND}&user_id={user['user_id']}").status_code == 200
    answer = viewer.get("usage")
    assert answer.status_code == 503
    assert "older version" in answer.text


def test_pages_work_below_a_path_of_airflows_own(data: Path) -> None:
    with visitor(path="/below") as client:
        page = client.get("")
        assert page.status_code == 200
        assert 'href="/below/dags/jumpcloud_directory/runs/' in page.text
        for link in shown(page.text, r'(?:href|src)="([^"/][^"]*)"'):
            assert client.get(link).status_code == 200, link


def test_every_link_of_every_page_leads_somewhere(viewer: TestClient, data: Path) -> None:
    seen: set[str] = set()
    for address in addresses(data):
        if address.startswith("static") or "." in address.partition("?")[0]:
            continue
        links = set(shown(viewer.get(address).text, r'(?:href|src)="([^"/#][^"]*)"'))
        for link in sorted(links - seen)[:12]:
            seen.add(link)
            assert viewer.get(link).status_code == 200, (address, link)


def test_memory_is_bounded_for_all_requests_together(viewer: TestClient) -> None:
    with queries.open_for_request() as warehouse:
        ((limit, threads),) = warehouse.connection.execute(
            "select current_setting('memory_limit'), current_setting('threads')"
        ).fetchall()
    assert (limit, threads) == ("488.2 MiB", queries.QUERY_THREADS)


def test_the_reading_interface_has_the_marts_of_the_pages(data: Path) -> None:
    assert not read_mart("groups", path=data).empty
    assert not read_mart("usage_by_day", path=data).empty


def test_pages_ask_jumpcloud_nothing(viewer: TestClient, data: Path, sandbox: Sandbox, settings: Settings) -> None:
    sandbox.clear_requests()
    for address in PAGES:
        viewer.get(address)
    assert sandbox.requests() == []
