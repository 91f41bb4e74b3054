"""One Airflow with sign-in for all of these tests, and a page of a real browser for each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.airflow_server import AirflowServer
from support.browser import HEIGHT, PASSWORDS, WAIT_MILLISECONDS, WIDTH, BrowserAirflow, find_chromium, sign_in

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page


@pytest.fixture(scope="package")
def browser_airflow(tmp_path_factory: pytest.TempPathFactory, migrated_database: Path) -> Iterator[BrowserAirflow]:
    """An Airflow with sign-in, and with the test of connections switched on. It starts once, with empty data."""
    find_chromium()
    home = tmp_path_factory.mktemp("browser-airflow")
    link = home / "data"
    options = {"AIRFLOW__CORE__TEST_CONNECTION": "Enabled"}
    with AirflowServer.start(home, migrated_database, link, passwords=PASSWORDS, options=options) as server:
        airflow = BrowserAirflow(server, link)
        airflow.use_data_root(tmp_path_factory.mktemp("no-data"))
        yield airflow


@pytest.fixture(scope="module")
def browser_process() -> Iterator[Browser]:
    """Chromium. Not for the whole session: while it is there, this thread cannot run other event loops."""
    executable = find_chromium()
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - needed only where there is a browser

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser_airflow: BrowserAirflow, browser_process: Browser) -> Iterator[Page]:
    """A page that is signed in as `admin`, with the browser's state of this test only."""
    context = browser_process.new_context(
        base_url=browser_airflow.server.url,
        viewport={"width": WIDTH, "height": HEIGHT},
        color_scheme="light",
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(WAIT_MILLISECONDS)
    page = context.new_page()
    sign_in(page)
    yield page
    context.close()
