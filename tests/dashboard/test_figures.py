"""Every figure of the dashboard against its mart, worked out in Python: of a world that changes and has gaps.

No query of the dashboard is used for what is expected. A cell is compared as people read it, each one: what is not
known says so, and never 0.
"""

from __future__ import annotations

import csv
import html
import io
import json
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pytest
from starlette.testclient import TestClient

from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND, UNNAMED
from support.dashboard_world import DAY, TODAY, publish_changed
from support.dashboards import visitor
from support.pipeline import query

Row = dict[str, Any]
EPOCH = date(1970, 1, 1)
PATHS = {"direct": "Direct", "group": "Group", "both": "Direct and group", "none": "No access now"}


@pytest.fixture(scope="module")
def changed_warehouse(tmp_path_factory: pytest.TempPathFactory, sandbox_process: Sandbox) -> Path:
    return publish_changed(tmp_path_factory.mktemp("figures") / "data", sandbox_process)


@pytest.fixture
def data(changed_warehouse: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, airflow_database: None) -> Path:
    warehouse = tmp_path / "data" / "warehouse" / "jumpcloud.duckdb"
    warehouse.parent.mkdir(parents=True)
    shutil.copyfile(changed_warehouse, warehouse)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__CONNECTIONS", "jumpcloud_default,second")
    return warehouse


@pytest.fixture
def viewer(data: Path) -> Iterator[TestClient]:
    with visitor() as client:
        yield client


def change(warehouse: Path, statement: str) -> None:
    warehouse.chmod(0o644)
    with duckdb.connect(str(warehouse)) as connection:
        connection.execute(statement)


def rows_of(warehouse: Path, mart: str) -> list[Row]:
    return query(warehouse, f"select * from {mart}")


def get(viewer: TestClient, address: str) -> str:
    answer = viewer.get(address)
    assert answer.status_code == 200, answer.text
    return answer.text


def csv_of(viewer: TestClient, address: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(viewer.get(address).content.decode("utf-8-sig"))))


def text_of(fragment: str) -> str:
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", fragment)).split())


def lines_of(page: str) -> list[tuple[list[str], dict[str, str]]]:
    """Each row of a page's list: the ids that it links to, and its cells by what they are labelled."""
    lines = []
    for line in re.findall(r"<tr>\s*(<th scope=\"row\">.*?)</tr>", page, re.DOTALL):
        cells = re.findall(r'<td data-label="([^"]+)"[^>]*>(.*?)</td>', line, re.DOTALL)
        if cells:
            ids = re.findall(r"_id=(\w+)", line)
            lines.append((ids, {label: text_of(cell) for label, cell in cells}))
    return lines


def all_lines(viewer: TestClient, address: str) -> list[tuple[list[str], dict[str, str]]]:
    lines = []
    following: str | None = address
    while following:
        page = get(viewer, following)
        lines += lines_of(page)
        following = next((html.unescape(one) for one in re.findall(r'<a rel="next" href="([^"]+)"', page)), None)
    return lines


def said(value: Any) -> str:
    return "unknown" if value is None else f"{value:,}"


def last_used(row: Row) -> str:
    if row["last_used_at"]:
        return f"{row['last_used_at']:%Y-%m-%d %H:%M}"
    return "never" if row["usage_state"] == "never_used" else "unknown"


def words(value: str) -> str:
    return value.replace("_", " ").capitalize()


def figures_of(page: str) -> dict[str, str]:
    found = re.findall(r"<li[^>]*><span>([^<]+)</span><strong>(.*?)</strong>", page, re.DOTALL)
    return {label: text_of(value) for label, value in found}


def read_moments(warehouse: Path, organization_id: str) -> list[tuple[datetime, datetime]]:
    """What has been read of an organization: its units, one after another."""
    units = [row for row in rows_of(warehouse, "usage_coverage") if row["organization_id"] == organization_id]
    return [(row["interval_start"], row["interval_end"]) for row in units if row["outcome"] == "ok"]


def is_read(units: list[tuple[datetime, datetime]], since: datetime, until: datetime) -> bool:
    """Whether all of a time lies in units that leave nothing out."""
    for start, end in sorted(units):
        if start <= since < end:
            since = end
    return since >= until


def test_the_world_has_what_these_figures_are_about(data: Path) -> None:
    users, pairs = rows_of(data, "users"), rows_of(data, "application_users")
    assert {"deleted", "suspended", "active"} <= {user["status"] for user in users}
    assert any(user["deleted_at"] and user["last_used_at"] for user in users)
    assert any(pair["access"] == "none" for pair in pairs)
    assert {row["outcome"] for row in rows_of(data, "usage_coverage")} == {"ok", "unverified", "skipped"}
    connections = {row["organization_id"]: row["connection_id"] for row in rows_of(data, "organizations")}
    assert connections[NORTHWIND] == "second"
    assert connections[BLUE_YONDER] == "jumpcloud_default"


def test_each_cell_of_the_users(viewer: TestClient, data: Path) -> None:
    users = {(row["organization_id"], row["user_id"]): row for row in rows_of(data, "users")}
    lines = all_lines(viewer, "users")
    assert len(lines) == len(users)
    for (organization_id, user_id), cells in lines:
        user = users[organization_id, user_id]
        assert cells["Status"] == words(user["status"])
        assert cells["Roles"] == " ".join(user["roles"])
        assert cells["Applications"] == f"{user['application_count']:,}"
        assert cells["Active days (30 d)"] == said(user["usage_days_30d"])
        assert cells["Last used"] == last_used(user)
    for differs in ("last_portal_login_at", "last_sso_at"):
        assert any(user["last_used_at"] != user[differs] for user in users.values())


def test_each_cell_of_the_applications(viewer: TestClient, data: Path) -> None:
    applications = {(row["organization_id"], row["application_id"]): row for row in rows_of(data, "applications")}
    lines = all_lines(viewer, "applications")
    assert len(lines) == len(applications)
    for ids, cells in lines:
        application = applications[ids[0], ids[1]]
        assert cells["With access"] == f"{application['users_with_access']:,}"
        assert cells["Active (30 d)"] == said(application["users_active_30d"])
        assert cells["Never used it"] == said(application["users_never_used"])
        assert cells["Last used"] == last_used(application)


def test_each_cell_of_the_accesses(viewer: TestClient, data: Path) -> None:
    pairs = {(row["application_id"], row["user_id"]): row for row in rows_of(data, "application_users")}
    status = {(row["organization_id"], row["user_id"]): row["status"] for row in rows_of(data, "users")}
    lines = all_lines(viewer, "access")
    assert len(lines) == len(pairs)
    for (organization_id, application_id, _, user_id), cells in lines:
        pair = pairs[application_id, user_id]
        assert cells["Status"] == words(status[organization_id, user_id])
        assert cells["Access"] == PATHS[pair["access"]]
        assert cells["Uses (90 d)"] == said(pair["uses_90d"])
        assert cells["Last used"] == last_used(pair)


@pytest.mark.parametrize("sort", ["application", "-application", "name", "organization", "-uses"])
def test_access_is_sorted_as_it_is_read(viewer: TestClient, sort: str) -> None:
    rows = csv_of(viewer, f"access.csv?sort={sort}")
    column = {"application": "application", "name": "display_name", "organization": "organization_name"}
    if sort == "-uses":
        known = [int(row["uses_90d"]) for row in rows if row["uses_90d"]]
        assert [row["uses_90d"] for row in rows[len(known) :]] == [""] * (len(rows) - len(known))
        assert known == sorted(known, reverse=True)
        return
    names = [row[column[sort.removeprefix("-")]].lower() for row in rows]
    plain = [name for name in names if name.isascii()]
    assert plain == sorted(plain, reverse=sort.startswith("-"))
    if sort == "application":
        people = [row["display_name"].lower() for row in rows if row["application_id"] == rows[0]["application_id"]]
        same = [name for name in people if name.isascii()]
        assert same == sorted(same)


@pytest.mark.parametrize("days", [30, 60, 90])
@pytest.mark.parametrize(
    ("dataset", "mart"), [("users", "users"), ("applications", "applications"), ("access", "application_users")]
)
def test_who_has_not_used_what_for_so_many_days(
    viewer: TestClient, data: Path, dataset: str, mart: str, days: int
) -> None:
    keys = {"users": ["user_id"], "applications": ["application_id"], "access": ["application_id", "user_id"]}[dataset]
    if dataset == "applications":
        # Of an application there is no idle_days: it counts whoever used it.
        change(data, "update organizations set usage_from = usage_from - interval 100 days")
        change(data, f"update applications set last_used_at = timestamp '{TODAY - days * DAY}' where rowid % 2 = 0")
        later = f"timestamp '{TODAY - days * DAY}' + interval 1 microsecond"
        change(data, f"update applications set last_used_at = {later} where rowid % 5 = 0")
        since = {row["organization_id"]: row["usage_from"] for row in rows_of(data, "organizations")}
        wanted = [
            row
            for row in rows_of(data, mart)
            if row["usage_state"] != "unknown"
            and max(at for at in (since[row["organization_id"]], row["last_used_at"], row["created_at"]) if at)
            <= TODAY - days * DAY
        ]
    else:
        change(data, f"update {mart} set idle_days = {days} - 2 + rowid % 4 where idle_days is not null")
        wanted = [row for row in rows_of(data, mart) if row["idle_days"] is not None and row["idle_days"] >= days]
    assert 0 < len(wanted) < len(rows_of(data, mart))
    found = csv_of(viewer, f"{dataset}.csv?usage=idle{days}")
    assert sorted([row[key] for key in keys] for row in found) == sorted([row[key] for key in keys] for row in wanted)


def test_access_now_is_of_people_who_are_there(viewer: TestClient, data: Path) -> None:
    deleted = query(
        data,
        "select application_id, user_id from application_users inner join users using (organization_id, user_id) "
        "where status = 'deleted' order by all limit 1",
    )[0]
    pair = f"application_id = '{deleted['application_id']}' and user_id = '{deleted['user_id']}'"
    change(data, f"update application_users set access = 'direct' where {pair}")
    found = csv_of(viewer, "access.csv?access=now")
    present = query(
        data,
        "select count(*) as n from application_users inner join users using (organization_id, user_id) "
        "where access <> 'none' and status <> 'deleted'",
    )[0]["n"]
    assert len(found) == present
    assert deleted["user_id"] not in {row["user_id"] for row in found}


def test_a_trend_is_of_its_application_and_of_weeks_that_were_read(viewer: TestClient, data: Path) -> None:
    used = [row for row in rows_of(data, "usage_daily") if row["application_id"]]
    organizations = {row["organization_id"]: row for row in rows_of(data, "organizations")}
    applications = {(row["organization_id"], row["application_id"]): row for row in rows_of(data, "applications")}
    seen = Counter[str]()
    for line in re.findall(r"<tr>\s*<th scope=\"row\">.*?</tr>", get(viewer, "applications"), re.DOTALL):
        organization_id, application_id = re.findall(r"_id=(\w+)", line)[:2]
        shown = re.findall(r'oldest first: ([^"]+)"', line)
        if applications[organization_id, application_id]["usage_state"] == "unknown":
            assert shown == []
            continue
        units = read_moments(data, organization_id)
        end = organizations[organization_id]["usage_until"]
        wanted = []
        for week in range(12, 0, -1):
            start = end - week * 7 * DAY
            if is_read(units, start, start + 7 * DAY):
                uses = [
                    row["successes"]
                    for row in used
                    if (row["organization_id"], row["application_id"]) == (organization_id, application_id)
                    and start.date() <= row["date"] < (start + 7 * DAY).date()
                ]
                wanted.append(said(sum(uses)))
                seen["used" if sum(uses) else "unused"] += 1
            else:
                wanted.append("unknown")
                seen["unknown"] += 1
        assert shown[0].split(", ") == wanted
    assert min(seen["used"], seen["unknown"]) > 0


def test_one_application(viewer: TestClient, data: Path) -> None:
    application = query(
        data,
        "select * from applications where organization_id = $1 and users_active_30d > 1 and users_never_used > 0 "
        "order by users_active_30d desc, application_id limit 1",
        [NORTHWIND],
    )[0]
    key = f"organization_id={NORTHWIND}&application_id={application['application_id']}"
    page = get(viewer, f"application?{key}")
    assert figures_of(page) == {
        "With access": f"{application['users_with_access']:,}",
        "Active in 30 days": said(application["users_active_30d"]),
        "Never used it": said(application["users_never_used"]),
        "Last used": last_used(application),
    }
    pairs = {
        row["user_id"]: row
        for row in rows_of(data, "application_users")
        if row["application_id"] == application["application_id"]
    }
    lines = all_lines(viewer, f"application?{key}")
    assert {ids[1] for ids, _ in lines} == pairs.keys()
    for ids, cells in lines:
        pair = pairs[ids[1]]
        assert cells["Uses (30 d)"] == said(pair["uses_30d"])
        assert cells["First used"] == (f"{pair['first_used_at']:%Y-%m-%d %H:%M}" if pair["first_used_at"] else "")
        assert cells["Last used"] == last_used(pair)

    daily = [row for row in rows_of(data, "usage_daily") if row["application_id"] == application["application_id"]]
    others = [row for row in rows_of(data, "usage_daily") if row["organization_id"] == NORTHWIND]
    assert len(daily) < len(others)
    drawn = json.loads(html.unescape(re.findall(r'data-chart="([^"]+)"', page)[0]))
    series = {line["label"]: line["values"] for line in drawn["series"]}
    # Failures would be a line along the bottom: they stand in the table.
    assert series.keys() == {"Uses", "People"}
    as_table = page.partition("The same as a table")[2].partition("</table>")[0]
    told = {
        text_of(line.partition("</th>")[0])[:10]: [text_of(cell) for cell in re.findall(r"<td.*?</td>", line)]
        for line in as_table.split("<tr>")[2:]
    }
    units = read_moments(data, NORTHWIND)
    for index, seconds in enumerate(drawn["days"]):
        day = EPOCH + timedelta(seconds=seconds)
        own = [row for row in daily if row["date"] == day]
        start = datetime.combine(day, datetime.min.time())
        wanted: list[int | None] = [None, None, None]
        if is_read(units, start, start + DAY):
            people = {row["user_id"] for row in own if row["successes"] and row["user_id"]}
            wanted = [sum(row["successes"] for row in own), len(people), sum(row["failures"] for row in own)]
        assert [series[label][index] for label in ("Uses", "People")] == wanted[:2], day
        assert told[f"{day:%Y-%m-%d}"] == [said(one) for one in wanted], day
    assert None in series["Uses"]


def test_one_user(viewer: TestClient, data: Path) -> None:
    user = query(
        data,
        "select users.* from users inner join application_users using (organization_id, user_id) "
        "where status = 'active' and users.usage_days_30d > 2 and first_used_at <> application_users.last_used_at "
        "order by users.usage_days_30d desc, user_id limit 1",
    )[0]
    key = f"organization_id={user['organization_id']}&user_id={user['user_id']}"
    page = get(viewer, f"user?{key}")
    figures = figures_of(page)
    assert figures["Last used"] == last_used(user)
    assert figures["Active days in 30"] == said(user["usage_days_30d"])
    assert figures["Applications"] == f"{user['application_count']:,}"
    pairs = {
        row["application_id"]: row for row in rows_of(data, "application_users") if row["user_id"] == user["user_id"]
    }
    lines = lines_of(page)
    assert {ids[1] for ids, _ in lines} == pairs.keys()
    for ids, cells in lines:
        pair = pairs[ids[1]]
        assert cells["Uses (30 d)"] == said(pair["uses_30d"])
        assert cells["Uses (90 d)"] == said(pair["uses_90d"])
        assert cells["Last used"] == last_used(pair)

    successes: Counter[date] = Counter()
    for row in rows_of(data, "usage_daily"):
        if row["organization_id"] == user["organization_id"] and row["user_id"] == user["user_id"]:
            successes[row["date"]] += row["successes"]
    assert_heat_map_is(page, successes, read_moments(data, user["organization_id"]))


def assert_heat_map_is(page: str, values: Counter[date], units: list[tuple[datetime, datetime]]) -> None:
    """Each cell: its number, or that it is unknown; the more, the darker; none where there is nothing."""
    cells = re.findall(r'<rect [^>]*class="([^"]+)"><title>(\S+): ([^<]+)</title>', page)
    assert cells
    levels: dict[int, set[str]] = defaultdict(set)
    states = set()
    for level, day_text, text in cells:
        day = date.fromisoformat(day_text)
        start = datetime.combine(day, datetime.min.time())
        if is_read(units, start, start + DAY):
            states.add("known")
            assert text == f"{values[day]:,} successes", day
            levels[values[day]].add(level)
        else:
            states.add("unknown")
            assert (text, level) == ("unknown", "no-data"), day
    assert states == {"known", "unknown"}
    assert all(len(level) == 1 for level in levels.values())
    ordered = [min(levels[value]) for value in sorted(levels)]
    assert ordered == sorted(ordered)
    assert ordered[-1] == "level-4"
    assert levels.get(0, {"level-0"}) == {"level-0"}
    assert "level-0" not in {level for value, found in levels.items() if value for level in found}


def test_what_changed_and_what_ended_is_history(viewer: TestClient, data: Path) -> None:
    versions: dict[str, list[Row]] = defaultdict(list)
    for row in rows_of(data, "user_history"):
        if row["organization_id"] == NORTHWIND:
            versions[row["user_id"]].append(row)
    (moved,) = (user_id for user_id, own in versions.items() if any(row["department"] == "Moved" for row in own))
    old, new = sorted(versions[moved], key=lambda row: row["valid_from"])
    history = history_of(get(viewer, f"user?organization_id={NORTHWIND}&user_id={moved}"))
    assert [(at, title) for at, title, _ in history if title in ("Changed", "First seen")] == [
        (f"{new['valid_from']:%Y-%m-%d %H:%M}", "Changed"),
        (f"{old['valid_from']:%Y-%m-%d %H:%M}", "First seen"),
    ]
    (changes,) = (changes for _, title, changes in history if title == "Changed")
    assert changes == {
        "Status": (old["status"], "suspended"),
        "Department": (old["department"] or "none", "Moved"),
    }

    names = {row["application_id"]: row["name"] for row in rows_of(data, "applications")}
    ended = [row for row in rows_of(data, "access_history") if row["valid_to"]]
    assert ended
    for user_id in {row["user_id"] for row in ended}:
        history = history_of(get(viewer, f"user?organization_id={NORTHWIND}&user_id={user_id}"))
        lost = [changes for _, title, changes in history if title == "Access ended"]
        own = [row for row in rows_of(data, "access_history") if row["user_id"] == user_id]
        kept = {row["application_id"] for row in own if row["valid_to"] is None}
        wanted = {names[row["application_id"]]: (words(row["access"]), None) for row in own
                  if row["valid_to"] and row["application_id"] not in kept}  # fmt: skip
        assert (lost[0] if lost else {}) == wanted
        given = [changes for _, title, changes in history if title in ("Access given", "Already had access")]
        first = min(row["valid_from"] for row in rows_of(data, "user_history") if row["organization_id"] == NORTHWIND)
        assert {at for at, title, _ in history if title == "Already had access"} == (
            {f"{first:%Y-%m-%d %H:%M}"} if first in {row["valid_from"] for row in own} else set()
        )
        assert f"{first:%Y-%m-%d %H:%M}" not in {at for at, title, _ in history if title == "Access given"}
        assert {name for changes in given for name in changes} == {names[row["application_id"]] for row in own}


def history_of(page: str) -> list[tuple[str, str, dict[str, tuple[str | None, str | None]]]]:
    """Each entry: when, what, and what was before and is after."""
    entries = []
    for at, moment in re.findall(r'<time datetime="[^"]+">([^<]+)</time>\s*<ul>(.*?)</ul>', page, re.DOTALL):
        for title, text in re.findall(r"<strong><bdi>([^<]+)</bdi></strong>(.*?)</li>", moment, re.DOTALL):
            changes = {}
            for label, line in re.findall(r"<p><bdi>([^<]*)</bdi>:(.*?)</p>", text, re.DOTALL):
                before, after = re.findall(r"<del>(.*?)</del>", line), re.findall(r"<ins>(.*?)</ins>", line)
                changes[html.unescape(label)] = (
                    text_of(before[0]) if before else None,
                    text_of(after[0]) if after else None,
                )
            entries.append((at, title, changes))
    return entries


def test_a_long_history_says_what_it_leaves_out(viewer: TestClient, data: Path) -> None:
    user = query(data, "select * from users where organization_id = $1 order by user_id limit 1", [NORTHWIND])[0]
    change(data, f"delete from user_history where user_id = '{user['user_id']}'")
    change(
        data,
        "insert into user_history by name select * exclude (n) replace ('D' || n as department) from ("
        "select organization_id, user_id, status, roles, is_admin, is_mfa_enabled, email, username, display_name, "
        "department, groups, n, "
        "timestamp '2025-01-01' + to_days(n::integer) as valid_from, "
        "if(n = 249, null, timestamp '2025-01-02' + to_days(n::integer)) as valid_to "
        f"from users, range(250) as numbers(n) where user_id = '{user['user_id']}') as versions",
    )
    page = get(viewer, f"user?organization_id={NORTHWIND}&user_id={user['user_id']}")
    assert "50 older versions are not shown here" in page
    titles = [title for _, title, _ in history_of(page)]
    assert "First seen" not in titles
    assert titles.count("Changed") == 199


def test_each_figure_of_a_card_and_the_list_that_it_leads_to(viewer: TestClient, data: Path) -> None:
    users, applications = rows_of(data, "users"), rows_of(data, "applications")
    page = get(viewer, "")
    cards = dict(re.findall(r'<article class="card \w+">.*?<h2><bdi>(.*?)</bdi></h2>(.*?)</article>', page, re.DOTALL))
    for organization in rows_of(data, "organizations"):
        card = cards[organization["organization_name"]]
        facts = dict(re.findall(r"<div[^>]*><dt>([^<]+)</dt><dd>(.*?)</dd></div>", card, re.DOTALL))
        own = [row for row in users if row["organization_id"] == organization["organization_id"]]
        listed = [
            row
            for row in applications
            if row["organization_id"] == organization["organization_id"] and row["is_listed"]
        ]
        never = [row["users_never_used"] for row in listed if row["users_never_used"] is not None]
        known = f"{organization['usage_from']:%Y-%m-%d} to " if organization["usage_from"] else "unknown"
        assert {label: text_of(fact) for label, fact in facts.items()} == {
            "Users": str(sum(row["lifecycle"] == "current" for row in own)),
            "Applications": str(len(listed)),
            "Never used": str(sum(never)) if never else "unknown",
            "Last sync": f"{organization['directory_synced_at']:%Y-%m-%d %H:%M}",
            "Usage": known + (f"{organization['usage_until']:%Y-%m-%d %H:%M}" if organization["usage_until"] else ""),
            "Connection": organization["connection_id"],
        }
        for fact in facts.values():
            for link, figure in re.findall(r'<a href="([^"]+)">([\d,]+)</a>', fact):
                total = re.findall(r"of ([\d,]+)</p>", get(viewer, html.unescape(link)))
                assert total == [figure] or (not total and figure == "0"), link


def test_what_is_unknown_counts_neither_as_used_nor_as_idle(viewer: TestClient, data: Path) -> None:
    change(data, "update users set idle_days = 30 where idle_days is not null")
    listed = [row for row in rows_of(data, "applications") if row["is_listed"]]
    known = [row for row in listed if row["users_never_used"] is not None]
    unknown = sum(row["users_with_access"] for row in listed if row["users_never_used"] is None)
    assert unknown
    page = get(viewer, "")
    never, accesses = (sum(row[name] for row in known) for name in ("users_never_used", "users_with_access"))
    assert f"<strong>{never:,}</strong> of {accesses:,}</a>" in page
    assert f"Of {unknown:,} more the use is" in page
    (link,) = re.findall(r'<a class="button" href="([^"]+)">Idle users</a>', page)
    idle = csv_of(viewer, html.unescape(link).replace("users?", "users.csv?"))
    assert idle
    assert {row["lifecycle"] for row in idle} == {"current"}
    top = re.findall(r'<td><a href="(application\?[^"]+)">.*?<td class="number">([\d,]+)</td>', page, re.DOTALL)
    assert top
    for address, figure in top:
        assert f"of {figure}</p>" in get(viewer, html.unescape(address))


def test_where_nothing_is_known_each_cell_says_so(viewer: TestClient, data: Path) -> None:
    for address, labels in (
        (f"users?organization={BLUE_YONDER}", ("Active days (30 d)", "Last used")),
        (f"applications?organization={BLUE_YONDER}", ("Active (30 d)", "Never used it", "12 weeks", "Last used")),
        (f"access?organization={BLUE_YONDER}", ("Uses (90 d)", "Last used")),
    ):
        lines = all_lines(viewer, address)
        assert lines
        for _, cells in lines:
            assert {cells[label] for label in labels} == {"unknown"}, (address, cells)
    user = query(
        data,
        "select user_id, application_id from application_users where organization_id = $1 order by all limit 1",
        [BLUE_YONDER],
    )[0]
    page = get(viewer, f"user?organization_id={BLUE_YONDER}&user_id={user['user_id']}")
    assert [figures_of(page)[label] for label in ("Last used", "Active days in 30")] == ["unknown"] * 2
    for _, cells in lines_of(page):
        assert {cells[label] for label in ("Uses (30 d)", "Uses (90 d)", "Last used")} == {"unknown"}
    page = get(viewer, f"application?organization_id={BLUE_YONDER}&application_id={user['application_id']}")
    assert [figures_of(page)[label] for label in ("Active in 30 days", "Never used it", "Last used")] == ["unknown"] * 3
    assert "data-chart" not in page
    for _, cells in lines_of(page):
        assert {cells[label] for label in ("Uses (30 d)", "Last used")} == {"unknown"}
    page = get(viewer, f"usage?organization={BLUE_YONDER}")
    assert figures_of(page) == {}


@pytest.mark.parametrize("organization_id", [NORTHWIND, None])
def test_usage_and_what_was_read_of_it(viewer: TestClient, data: Path, organization_id: str | None) -> None:
    daily = [row for row in rows_of(data, "usage_daily") if organization_id in (None, row["organization_id"])]
    page = get(viewer, f"usage?organization={organization_id or ''}&range=all")
    sums: Counter[str] = Counter()
    successes: Counter[date] = Counter()
    for row in daily:
        sums[row["source"]] += row["successes"]
        sums["failures"] += row["failures"]
        successes[row["date"]] += row["successes"]
    assert figures_of(page) == {
        "SSO": f"{sums['sso']:,}",
        "User portal": f"{sums['user_portal']:,}",
        "Admin portal": f"{sums['admin_portal']:,}",
        "Failures": f"{sums['failures']:,}",
    }
    share = sums["failures"] / (sums["failures"] + sum(successes.values()))
    assert f"{share * 100:.1f} % of all attempts" in page
    units = read_moments(data, NORTHWIND)
    if organization_id is None:
        later = read_moments(data, UNNAMED)
        states = Counter[str]()
        for day_text, text in re.findall(r"<title>(\d{4}-\d\d-\d\d): ([^<]+)</title>", page):
            start = datetime.fromisoformat(day_text)
            known = [is_read(own, start, start + DAY) for own in (units, later)]
            figure = f"{successes[start.date()]:,} successes"
            wanted = figure if all(known) else f"{figure} (read in part)" if any(known) else "unknown"
            assert text == wanted, day_text
            states[wanted.removeprefix(figure)] += 1
        assert len(states) == 3, "one organization begins before the other"
        assert f"{states['']} of {sum(states.values())} days have been read" in page
        return
    first = min(start for start, _ in units)
    days = [first + number * DAY for number in range((TODAY - first).days)]
    read = sum(is_read(units, day, day + DAY) for day in days)
    assert f"{read} of {len(days)} days have been read" in page
    assert_heat_map_is(page, successes, units)
    (words_of_gaps,) = re.findall(r"Not fully read: ([^<]*)\.</p>", page)
    gaps = [tuple(gap.split(" to ")) for gap in words_of_gaps.split("; ")]
    edges = [(TODAY - a * DAY, TODAY - b * DAY) for a, b in ((108, 70), (66, 40), (34, 20), (10, 8))]
    assert gaps == [(f"{since:%Y-%m-%d %H:%M}", f"{until:%Y-%m-%d %H:%M}") for since, until in edges]


def test_a_day_that_is_not_over_is_no_gap(viewer: TestClient, data: Path) -> None:
    now = TODAY + timedelta(hours=13)
    change(data, f"update organizations set usage_until = timestamp '{now}' where organization_id = '{NORTHWIND}'")
    change(data, f"insert into usage_coverage_daily values ('{NORTHWIND}', '{TODAY:%Y-%m-%d}', {13 * 3600}, false)")
    page = get(viewer, f"usage?organization={NORTHWIND}&range=30")
    assert f"{now:%Y-%m-%d %H:%M} to " not in page
    assert f"{TODAY:%Y-%m-%d}: 0 successes (read in part)" in page
    trends = re.findall(r'oldest first: ([^"]+)"', get(viewer, f"applications?organization={NORTHWIND}"))
    assert trends
    assert all(trend.split(", ")[-1] != "unknown" for trend in trends)


def test_a_day_of_which_an_hour_lacks_is_not_read_as_a_whole(viewer: TestClient, data: Path) -> None:
    applications = f"applications?organization={NORTHWIND}"
    assert "oldest first: " in get(viewer, applications), "of the newest week every day has been read, of no other"
    lacks = TODAY - 3 * DAY
    known_from = lacks + timedelta(hours=4)
    change(
        data, f"update organizations set usage_from = timestamp '{known_from}' where organization_id = '{NORTHWIND}'"
    )
    change(
        data,
        f"update usage_coverage_daily set is_known = date > date '{lacks:%Y-%m-%d}', covered_seconds = "
        f"if(date = date '{lacks:%Y-%m-%d}', 23 * 3600, covered_seconds) where organization_id = '{NORTHWIND}'",
    )
    page = get(viewer, f"usage?organization={NORTHWIND}&range=30")
    (gaps,) = re.findall(r"Not fully read: ([^<]*)\.</p>", page)
    assert gaps.split("; ")[-1] == f"{lacks:%Y-%m-%d %H:%M} to {known_from:%Y-%m-%d %H:%M}"
    assert re.search(f"{lacks:%Y-%m-%d}: [0-9,]+ successes \\(read in part\\)", page)
    assert "oldest first: " not in get(viewer, applications)
