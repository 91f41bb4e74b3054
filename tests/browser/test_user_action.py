"""The form of jumpcloud_user_action in a real browser before a running Airflow.

The picture of the README's "Act on users" is taken here.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from jumpcloud_elt.core.action_names import ACTIONS
from support.browser import WIDTH, BrowserAirflow, screenshot

if TYPE_CHECKING:
    from playwright.sync_api import Page

ACTION = "jumpcloud_user_action"
DESCRIPTIONS = (
    "Airflow connection (type JumpCloud) with Permission read_and_act.",
    "The organization (id of 24 hexadecimal digits). Every user must belong to it.",
    "Show what would be called for whom, and change nothing.",
)


def test_the_form_offers_every_action_and_begins_dry(page: Page, browser_airflow: BrowserAirflow) -> None:
    page.set_viewport_size({"width": WIDTH, "height": 1400})
    page.goto(f"/dags/{ACTION}")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[name=element_organization_id]").fill("5f0a1c2e9d3b4a0011223301")
    assert dialog.locator("input[name=element_dry_run]").is_checked()
    for description in DESCRIPTIONS:
        assert dialog.get_by_text(description).first.is_visible(), description
    dialog.get_by_role("combobox").first.click()
    for action in ACTIONS:
        assert page.get_by_role("option", name=action, exact=True).count() == 1, action
    page.get_by_role("option", name="suspend", exact=True).click()
    page.get_by_text("Show what would be called for whom, and change nothing.").first.scroll_into_view_if_needed()
    screenshot(page, "user-action-form", of=dialog)
