"""The dashboard in a real browser, inside a running Airflow with sign-in: what people see, click and cannot see.

With SCREENSHOTS set to a folder, pictures of every page are taken there: light, dark, and at a phone's width.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import quote

import duckdb
import pytest

from jumpcloud_elt.dashboard.rendering import SOURCES
from jumpcloud_sandbox.client import Sandbox
from jumpcloud_sandbox.generate import BLUE_YONDER, NORTHWIND, UNNAMED
from support.browser import HEIGHT, WIDTH, BrowserAirflow, screenshot
from support.dashboard_world import DAY, LONG, RIGHT_TO_LEFT, SCRIPT, TODAY, publish_demo
from support.pipeline import query

if TYPE_CHECKING:
    from playwright.sync_api import FrameLocator, Page

PHONE = {"width": 390, "height": 844}
WIDTHS = (320, 390, 768, 800, 1024, 1212, 1280)
NAMES = {"": "integrations", "users": "users", "applications": "applications", "access": "access", "usage": "usage"}


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory, sandbox_process: Sandbox) -> Path:
    return publish_demo(tmp_path_factory.mktemp("browser-dashboard") / "data", sandbox_process)


@pytest.fixture
def warehouse(demo: Path, browser_airflow: BrowserAirflow) -> Path:
    browser_airflow.use_data_root(demo.parents[1])
    return demo


def addresses(warehouse: Path) -> dict[str, str]:
    """Every page, by the name of its picture."""
    user = query(
        warehouse,
        "select user_id from users where organization_id = $1 and usage_state = 'used' "
        "and display_name not in ($2, $3) order by usage_days_30d desc, user_id limit 1",
        [NORTHWIND, SCRIPT, LONG],
    )[0]["user_id"]
    application = query(
        warehouse,
        "select application_id from applications where organization_id = $1 and users_never_used > 3 "
        "and users_active_30d > 3 and name <> $2 order by users_active_30d desc, name limit 1",
        [NORTHWIND, SCRIPT],
    )[0]["application_id"]
    return {name: address for address, name in NAMES.items()} | {
        "access": "access?usage=never&access=now&sort=-application",
        "user": f"user?organization_id={NORTHWIND}&user_id={user}",
        "application": f"application?organization_id={NORTHWIND}&application_id={application}&usage=never&access=now",
    }


def inside(page: Page, address: str = "") -> FrameLocator:
    """A page of the dashboard as people get it: in its frame in Airflow."""
    path, _, rest = address.partition("?")
    page.goto(f"/plugin/jumpcloud/jumpcloud/{path}" + (f"?{rest}" if rest else ""))
    frame = page.frame_locator("iframe")
    frame.locator("main h1").wait_for()
    return frame


def test_the_navigation_leads_to_the_first_page(page: Page, warehouse: Path) -> None:
    page.goto("/")
    page.get_by_role("link", name="JumpCloud").click()
    frame = page.frame_locator("iframe")
    assert frame.get_by_role("heading", level=1).inner_text() == "Integrations"
    assert re.fullmatch(r"Data of \d{4}-\d\d-\d\d \d\d:\d\d UTC", frame.locator(".data-time").inner_text())
    colours = {card.locator("h2").inner_text(): card.get_attribute("class") for card in frame.locator(".card").all()}
    assert colours == {
        "Northwind Traders": "card amber",
        "Blue Yonder Airlines": "card amber",
        UNNAMED: "card amber",
    }


def test_who_has_not_used_what_is_found_in_one_click(page: Page, warehouse: Path) -> None:
    frame = inside(page)
    frame.get_by_role("link", name="See who").click()
    frame.get_by_role("heading", name="Unused access").wait_for()
    rows = frame.locator("tbody tr")
    assert rows.count() > 0
    assert all(text == "never" for text in frame.locator("tbody tr td:last-child").all_inner_texts())
    # The address of Airflow follows, so that it can be kept and sent.
    page.wait_for_url("**/plugin/jumpcloud/jumpcloud/access?usage=never&access=now")
    page.reload()
    page.frame_locator("iframe").get_by_role("heading", name="Unused access").wait_for()


def test_a_link_to_a_dag_run_leaves_the_frame(page: Page, warehouse: Path) -> None:
    frame = inside(page)
    card = frame.locator(".card", has_text="Northwind Traders")
    card.get_by_role("link", name="Directory run").click()
    page.wait_for_url("**/dags/jumpcloud_directory/runs/manual__2026-01-02**")
    assert page.locator("iframe").count() == 0, "Airflow inside of Airflow"


def test_filters_are_applied_together_and_sorting_and_paging_keep_them(page: Page, warehouse: Path) -> None:
    frame = inside(page, "users")
    assert frame.get_by_role("link", name="Organization").count() == 1
    frame.locator("select[name=organization]").select_option(label="Northwind Traders")
    frame.locator("select[name=usage]").select_option(label="Used")
    frame.get_by_role("button", name="Apply").click()
    page.wait_for_url(f"**organization={NORTHWIND}&usage=used**")
    assert frame.get_by_role("link", name="Organization").count() == 0, "it would say the same in every row"
    frame.get_by_role("link", name="Last used").click()
    page.wait_for_url("**sort=-last_used**")
    frame.locator('th[aria-sort="descending"]').wait_for()
    assert f"organization={NORTHWIND}" in page.url
    times = frame.locator("tbody tr td:last-child").all_inner_texts()
    assert times == sorted(times, reverse=True)
    total = query(
        warehouse,
        "select count(*)::int as n from users where organization_id = $1 and usage_state = 'used'",
        [NORTHWIND],
    )[0]["n"]
    assert len(times) == min(50, total)
    frame.locator("select[name=usage]").select_option(label="Any")
    frame.get_by_role("button", name="Apply").click()
    frame.get_by_role("link", name="Next").click()
    frame.get_by_text("Page 2 of 2").wait_for()
    frame.get_by_label("Search").fill("no such person")
    frame.get_by_label("Search").press("Enter")
    frame.get_by_text("No user fits these filters.").wait_for()


def test_a_list_is_downloaded_from_inside_the_frame(page: Page, warehouse: Path) -> None:
    frame = inside(page, "users?usage=never")
    with page.expect_download() as download:
        frame.get_by_role("link", name="CSV").click()
    rows = Path(download.value.path()).read_text(encoding="utf-8-sig").splitlines()
    never = query(warehouse, "select count(*)::int as n from users where usage_state = 'never_used'")[0]["n"]
    assert len(rows) == 1 + never


@pytest.mark.parametrize("name", [SCRIPT, RIGHT_TO_LEFT, LONG])
def test_a_hostile_name_is_only_a_name(page: Page, warehouse: Path, name: str) -> None:
    said: list[str] = []
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))  # type: ignore[func-returns-value]
    frame = inside(page, f"users?search={quote(name)}")
    frame.get_by_role("link", name=name, exact=True).click()
    heading = frame.get_by_role("heading", level=1, name=name)
    heading.wait_for()
    assert said == []
    assert _overflow(page) <= 0, "a long name makes the page wider than its frame"


def test_charts_are_drawn_and_heat_maps_tell_unknown_days(page: Page, warehouse: Path) -> None:
    frame = inside(page, f"usage?organization={NORTHWIND}&range=all")
    frame.locator(".chart canvas").wait_for()
    assert frame.locator(".chart .u-legend").inner_text() == "".join([*SOURCES.values(), "Failures"])
    assert frame.locator(".heat rect.no-data").count() == 2
    assert "Not fully read:" in frame.locator(".strips").inner_text()
    frame.get_by_text("The same as a table").click()
    assert frame.locator(".as-table td", has_text="unknown").count() == 8


@pytest.mark.parametrize("width", [390, 1280])
def test_days_that_were_not_read_are_hatched_where_they_are(page: Page, warehouse: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 860})
    for address in (f"usage?organization={NORTHWIND}&range=all", addresses(warehouse)["application"]):
        page.goto(f"/jumpcloud/{address}")
        gap = page.locator(".chart .unread").bounding_box()
        drawn = page.locator(".chart .u-over").bounding_box()
        assert gap
        assert drawn
        # Twenty days, of which the eleventh and the twelfth were never read.
        assert (gap["x"] - drawn["x"]) / drawn["width"] == pytest.approx(10 / 20, abs=0.01)
        assert gap["width"] / drawn["width"] == pytest.approx(2 / 20, abs=0.01)


def test_a_chart_says_the_day_and_its_values_where_it_is_pointed_at(page: Page, warehouse: Path) -> None:
    page.goto(f"/jumpcloud/usage?organization={NORTHWIND}&range=all")
    legend = page.locator(".chart .u-legend")
    drawn = page.locator(".chart .u-over").bounding_box()
    assert drawn
    page.mouse.move(drawn["x"] + drawn["width"] * 11 / 20 - 5, drawn["y"] + 20)
    legend.get_by_text("not read").first.wait_for()
    last = query(
        warehouse,
        "select sum(successes)::int as n from usage_by_day where organization_id = $1 and date = $2 and source = 'sso'",
        [NORTHWIND, (TODAY - DAY).date()],
    )[0]["n"]
    page.mouse.move(drawn["x"] + drawn["width"] - 3, drawn["y"] + 20)
    legend.get_by_text(f"{TODAY - DAY:%-d %b %Y}").wait_for()
    assert legend.locator(".u-series", has_text="SSO").locator(".u-value").inner_text() == f"{last}"


def test_a_held_card_says_once_what_happened_and_what_to_do(page: Page, warehouse: Path) -> None:
    text = inside(page).locator(".card", has_text=UNNAMED).inner_text()
    assert "Held: the last snapshot lacks too much" in text
    assert "11 of 12 users (92%) are missing (1 listed now)" in text
    assert text.count("accept_drop") == 1
    assert "Next: Look into JumpCloud" in text


def test_the_organization_without_directory_insights_says_unknown(page: Page, warehouse: Path) -> None:
    frame = inside(page, f"applications?organization={BLUE_YONDER}")
    cells = frame.locator("tbody tr td:last-child").all_inner_texts()
    assert {*cells} == {"unknown"}


def test_before_the_first_sync_the_first_page_says_what_to_do(
    page: Page, browser_airflow: BrowserAirflow, tmp_path: Path
) -> None:
    browser_airflow.use_data_root(tmp_path)
    frame = inside(page)
    assert frame.get_by_role("heading", level=1).inner_text() == "Nothing has been synced yet"
    screenshot(page, "dashboard-empty")
    frame.get_by_role("link", name="jumpcloud_directory").click()
    page.wait_for_url("**/dags/jumpcloud_directory**")


def test_a_new_warehouse_is_noticed_at_once(
    page: Page, browser_airflow: BrowserAirflow, demo: Path, tmp_path: Path
) -> None:
    published = tmp_path / "warehouse" / "jumpcloud.duckdb"
    published.parent.mkdir()
    browser_airflow.use_data_root(tmp_path)
    inside(page).get_by_text("Nothing has been synced yet").wait_for()
    shutil.copyfile(demo, published.with_name("new"))
    published.with_name("new").replace(published)
    page.reload()
    page.frame_locator("iframe").get_by_role("heading", name="Integrations", exact=True).wait_for()


def test_anonymous_people_see_nothing(page: Page, warehouse: Path) -> None:
    page.context.clear_cookies()
    answer = page.goto("/jumpcloud/users")
    assert answer is not None
    assert answer.status == 401
    assert page.locator("table").count() == 0
    page.get_by_role("link", name="Sign in").click()
    page.locator("input[name=username]").fill("viewer")
    page.locator("input[name=password]").fill("viewers-password")
    page.locator("button[type=submit]").click()
    page.wait_for_url("**/jumpcloud/users")
    assert page.locator("tbody tr").count() == 50


@pytest.mark.parametrize("look", ["light", "dark"])
def test_a_session_that_ended_is_renewed_in_the_whole_window(page: Page, warehouse: Path, look: str) -> None:
    page.evaluate("look => localStorage.setItem('theme', look)", look)
    frame = inside(page, "users")
    # Airflow around it would notice, too, and be gone first.
    own_requests = re.compile(r"/(ui|api/v2)/(?!auth)")
    page.route(own_requests, lambda route: route.abort())
    page.context.clear_cookies()
    frame.get_by_role("link", name="Applications", exact=True).first.click()
    frame.get_by_role("heading", name="Sign in to Airflow").wait_for()
    assert is_dark(frame) == (look == "dark")
    page.unroute(own_requests)
    frame.get_by_role("link", name="Sign in").click()
    page.wait_for_url("**/auth/login**")
    assert page.locator("iframe").count() == 0, "Airflow inside of Airflow"
    page.locator("input[name=username]").fill("viewer")
    page.locator("input[name=password]").fill("viewers-password")
    page.locator("button[type=submit]").click()
    page.wait_for_url("**/plugin/jumpcloud/**")
    page.frame_locator("iframe").locator("main h1").wait_for()


def test_what_cannot_be_shown_is_said_in_airflows_look(page: Page, warehouse: Path) -> None:
    page.evaluate("localStorage.setItem('theme', 'dark')")
    for address in ("users?sort=nothing", "application?organization_id=none&application_id=none"):
        frame = inside(page, address)
        assert frame.get_by_role("heading", level=1).inner_text() == "This cannot be shown"
        assert is_dark(frame)
        frame.get_by_role("link", name="To the first page").click()
        frame.get_by_role("heading", name="Integrations", exact=True).wait_for()


def is_dark(frame: FrameLocator) -> bool:
    colour: str = frame.locator("body").evaluate("body => getComputedStyle(body).backgroundColor")
    return sum(map(int, re.findall(r"\d+", colour)[:3])) < 150


def test_the_pages_follow_airflows_look_while_they_are_open(page: Page, warehouse: Path) -> None:
    frame = inside(page)
    root = frame.locator(":root")
    assert root.get_attribute("data-theme") == "light"
    assert not is_dark(frame)
    page.evaluate("document.documentElement.classList.replace('light', 'dark')")
    frame.locator(":root[data-theme=dark]").wait_for()
    assert is_dark(frame)
    page.evaluate("localStorage.setItem('theme', 'dark')")
    page.reload()
    page.frame_locator("iframe").locator(":root[data-theme=dark]").wait_for()


def test_everything_can_be_reached_by_keyboard(page: Page, warehouse: Path) -> None:
    page.goto("/jumpcloud/users")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "To the content"
    page.keyboard.press("Enter")
    page.keyboard.press("Tab")
    reached = set()
    for _ in range(30):
        reached.add(page.evaluate("document.activeElement.name || document.activeElement.textContent.trim()"))
        page.keyboard.press("Tab")
    assert {"CSV", "search", "organization", "status", "role", "usage", "last_used_before", "Apply", "Name"} <= reached
    page.locator("thead a", has_text="Status").focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**sort=status**")


def test_dates_and_choices_are_made_by_keyboard_and_lead_nowhere_before_they_are_applied(
    page: Page, warehouse: Path
) -> None:
    page.goto("/jumpcloud/users")
    page.locator("select[name=status]").focus()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.get_by_label("Last used before").focus()
    # Whichever of the two the browser wants first.
    page.keyboard.type("11112026")
    assert page.locator("select[name=status]").input_value() == "password_pending"
    assert page.evaluate("document.activeElement.name") == "last_used_before"
    assert page.url.endswith("/jumpcloud/users")
    page.keyboard.press("Enter")
    page.wait_for_url("**status=password_pending&last_used_before=2026-11-11**")


def test_lists_are_sorted_at_a_phones_width(page: Page, warehouse: Path) -> None:
    page.set_viewport_size(PHONE)  # type: ignore[arg-type]
    page.goto("/jumpcloud/users?usage=used")
    page.get_by_label("Sort by").select_option(label="Last used, descending")
    page.get_by_role("button", name="Apply").click()
    page.wait_for_url("**sort=-last_used**")
    times = page.locator("tbody td[data-label='Last used'] time").all_inner_texts()
    assert len(times) > 10
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_at_any_width(page: Page, warehouse: Path, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 860})
    for name, address in addresses(warehouse).items():
        page.goto(f"/jumpcloud/{address}")
        page.locator("main h1").wait_for()
        page.locator("details").evaluate_all("all => all.forEach(one => { one.open = true; })")
        assert _overflow(page) <= 0, f"{name} is wider than the window"
        assert _cut_off(page) == [], name


@pytest.mark.parametrize("width", [390, 1280])
def test_names_of_300_characters_take_two_lines_and_all_of_them_where_they_are_looked_at(
    page: Page, browser_airflow: BrowserAirflow, demo: Path, tmp_path: Path, width: int
) -> None:
    published = tmp_path / "warehouse" / "jumpcloud.duckdb"
    published.parent.mkdir()
    shutil.copyfile(demo, published)
    pages = addresses(demo)
    with duckdb.connect(str(published)) as connection:
        connection.execute("update organizations set organization_name = $1", [LONG])
        connection.execute("update applications set name = $1, catalog_name = $2", [LONG, LONG + "y"])
        connection.execute("update groups set name = $1", [LONG])
        connection.execute("update users set email = $1 || '@northwind.example', roles = [$1], groups = [$1]", [LONG])
    browser_airflow.use_data_root(tmp_path)
    page.set_viewport_size({"width": width, "height": 860})
    for name, address in pages.items():
        page.goto(f"/jumpcloud/{address}")
        page.locator("main h1").wait_for()
        assert _overflow(page) <= 0, name
        assert _cut_off(page) == [], name
        lines = page.locator("main .long").evaluate_all(
            "all => all.filter(one => one.checkVisibility() && !one.closest('dd')).map("
            "one => one.getBoundingClientRect().height / parseFloat(getComputedStyle(one).lineHeight))"
        )
        assert lines or name == "users", name
        assert all(one < 2.1 for one in lines), (name, lines)
    page.goto(f"/jumpcloud/{pages['application']}")
    heading = page.locator("h1 .long")
    before = heading.bounding_box()
    heading.focus()
    after = heading.bounding_box()
    assert before
    assert after
    assert after["height"] > before["height"]


@pytest.mark.parametrize("look", ["light", "dark", "phone"])
def test_every_page_in_every_look(
    page: Page, warehouse: Path, browser_airflow: BrowserAirflow, tmp_path: Path, look: str
) -> None:
    problems: list[str] = []
    page.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.emulate_media(color_scheme="dark" if look == "dark" else "light")
    if look == "dark":
        page.evaluate("localStorage.setItem('theme', 'dark')")
    window = PHONE if look == "phone" else {"width": WIDTH, "height": HEIGHT}
    page.set_viewport_size(window)  # type: ignore[arg-type]
    for name, address in addresses(warehouse).items():
        page.goto(f"/jumpcloud/{address}")
        page.locator("main h1").wait_for()
        assert _overflow(page) <= 0, f"{name} is wider than the window"
        if name == "usage":
            # To its end: what has been read stands there.
            page.set_viewport_size({"width": page.evaluate("innerWidth"), "height": _height(page)})
        screenshot(page, f"dashboard-{name}-{look}")
        page.set_viewport_size(window)  # type: ignore[arg-type]
    browser_airflow.use_data_root(publish_without_gap(warehouse, tmp_path))
    inside(page).locator(".card.green", has_text="Northwind Traders").wait_for()
    if look != "phone":
        page.set_viewport_size({"width": WIDTH, "height": _height(page)})
    screenshot(page, f"dashboard-airflow-{look}")
    page.goto("/jumpcloud/")
    page.locator(".card.green", has_text="Northwind Traders").wait_for()
    screenshot(page, f"dashboard-integrations-{look}")
    # A frame's console is the page's: nothing was refused by the policy, nothing was thrown, nothing was missing.
    assert [text for text in problems if "sandbox attribute" not in text] == []


def test_no_address_outside_is_asked(page: Page, warehouse: Path, browser_airflow: BrowserAirflow) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    for address in addresses(warehouse).values():
        page.goto(f"/jumpcloud/{address}")
        page.locator("main h1").wait_for()
    assert asked
    assert [url for url in asked if not url.startswith(browser_airflow.server.url)] == []


def publish_without_gap(warehouse: Path, data_root: Path) -> Path:
    """Publish that warehouse as if all days of Northwind had been read; returns the data root."""
    published = data_root / "warehouse" / "jumpcloud.duckdb"
    published.parent.mkdir()
    shutil.copyfile(warehouse, published)
    with duckdb.connect(str(published)) as connection:
        connection.execute(
            "update organizations set usage_from = $1 where organization_id = $2", [TODAY - 20 * DAY, NORTHWIND]
        )
        connection.execute(
            "update usage_coverage_daily set covered_seconds = 86400, is_known = true where organization_id = $1",
            [NORTHWIND],
        )
    return data_root


def _cut_off(page: Page) -> list[str]:
    """The tables that are wider than their frame and cannot be scrolled, by keyboard too."""
    found: list[str] = page.locator(".table-frame").evaluate_all(
        "all => all.filter(one => one.scrollWidth > one.clientWidth"
        " && !(getComputedStyle(one).overflowX === 'auto' && one.tabIndex === 0)).map(one => one.ariaLabel)"
    )
    return found


def _height(page: Page) -> int:
    """How high the pages' document is, in whichever frame it lies."""
    (frame,) = [frame for frame in page.frames if "/jumpcloud/" in frame.url and "/plugin/" not in frame.url]
    height: int = frame.evaluate("document.documentElement.scrollHeight")
    return height


def _overflow(page: Page) -> int:
    """By how much the widest frame's content is wider than the frame."""
    frames = [frame for frame in page.frames if "/jumpcloud/" in frame.url]
    return max(
        frame.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
        for frame in frames
    )
