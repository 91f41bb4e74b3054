"""A real browser before a running Airflow with sign-in switched on, for the tests of what people see.

    def test_something(browser_airflow: BrowserAirflow, page: Page) -> None:
        browser_airflow.server.set_connection("jumpcloud_default", host=..., password=...)
        browser_airflow.use_data_root(settings.data_root)   # where this Airflow's Dags and pages find their data
        page.goto("/connections")                           # signed in as `admin`; relative to Airflow
        screenshot(page, "connection-form")

One Airflow serves every module of tests/browser, whose fixtures these are; each test gets a page with cookies of its
own. The tests are skipped where there is no Chromium, unless REQUIRE_BROWSER is set. Does not know what the pages show.
"""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from support.airflow_server import AirflowServer

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
# Each has the role of their name.
PASSWORDS = {"admin": "admins-password", "viewer": "viewers-password"}
WIDTH, HEIGHT = 1280, 860
WAIT_MILLISECONDS = 30_000
# Shown to nobody unless asked for: refreshing pictures at each run would change them for no reason.
SCREENSHOTS = os.environ.get("SCREENSHOTS")


@dataclass(frozen=True)
class BrowserAirflow:
    """The Airflow that the browser is before; `server` speaks to its REST API, as `admin`."""

    server: AirflowServer
    data_root: Path

    def use_data_root(self, folder: Path) -> None:
        """Let this Airflow find its landing and its warehouse in `folder`, until it is told otherwise."""
        self.data_root.unlink(missing_ok=True)
        self.data_root.symlink_to(folder, target_is_directory=True)


def sign_in(page: Page, user: str = "admin") -> None:
    """Sign in through Airflow's own form."""
    page.goto("/")
    page.locator("input[name=username]").fill(user)
    page.locator("input[name=password]").fill(PASSWORDS[user])
    page.locator("button[type=submit]").click()
    page.wait_for_url(lambda url: "/auth/login" not in url)


def screenshot(page: Page, name: str, *, of: Locator | None = None) -> None:
    """Take `docs/images/<name>.png`, of one element or what the window shows, when pictures are asked for."""
    if SCREENSHOTS:
        path = Path(SCREENSHOTS, f"{name}.png")
        # A spinner or a fade in the picture would be another picture each time.
        (of or page).screenshot(path=path, animations="disabled", caret="hide")


def find_chromium() -> str:
    """The browser's executable; skips the test where there is none, or fails it where one is required."""
    found = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if found:
        return found
    reason = f"no browser: none of {', '.join(CHROMIUM_NAMES)} is on the PATH (Debian: apt install chromium)"
    if os.environ.get("REQUIRE_BROWSER"):
        pytest.fail(f"REQUIRE_BROWSER is set, and there is {reason}")
    pytest.skip(reason)
