"""The connection form and its Test button, in a real browser before a running Airflow: what a person sees.

The pictures of the README's "Connect your account" are taken here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING
from urllib.parse import quote

import pytest

from jumpcloud_elt.provider_info import CONNECTION_TYPE_INFO
from jumpcloud_sandbox.client import Sandbox
from support.browser import WIDTH, BrowserAirflow, screenshot
from support.connections import API_KEY

if TYPE_CHECKING:
    from playwright.sync_api import Locator, Page

CONNECTION = "jumpcloud_default"
CHECK = "jumpcloud_check_connection"
# Airflow 3.3.1 and 3.3.2 test no stored connection without one.
PORT = 443


@pytest.fixture(autouse=True)
def no_connection(browser_airflow: BrowserAirflow) -> Iterator[None]:
    browser_airflow.server.delete_connection(CONNECTION)
    yield
    browser_airflow.server.delete_connection(CONNECTION)


@pytest.fixture
def form(page: Page) -> Locator:
    """The form for a new connection of type JumpCloud."""
    page.goto("/connections")
    page.get_by_role("button", name="Add Connection").click()
    dialog = page.get_by_role("dialog")
    dialog.locator("input[name=connection_id]").fill(CONNECTION)
    dialog.get_by_role("combobox").first.fill("JumpCloud")
    page.get_by_role("option", name="JumpCloud").click()
    dialog.locator("input[name=password]").wait_for()
    return dialog


def press_test(page: Page) -> str:
    """Press the Test button of the stored connection; returns the message that appears."""
    button = page.get_by_role("row").filter(has_text=CONNECTION).get_by_role("button", name="Test Connection")
    with page.expect_response("**/api/v2/connections/test") as answered:
        button.click()
    assert answered.value.status == 200, answered.value.text()
    # The pointer would leave its tooltip in the picture.
    page.mouse.move(640, 600)
    page.get_by_role("tooltip").wait_for(state="hidden")
    # That of saving may still be there.
    toast = page.locator("[data-scope=toast][data-part=root]").filter(has_text="Test Connection").last
    toast.wait_for()
    return toast.inner_text()


def test_the_form_names_explains_and_offers_every_field(form: Locator) -> None:
    behaviour = CONNECTION_TYPE_INFO["ui-field-behaviour"]
    for field, label in behaviour["relabeling"].items():
        assert form.get_by_text(label, exact=True).is_visible(), label
        assert form.locator(f"input[name={field}]").get_attribute("placeholder") == behaviour["placeholders"][field]
    assert form.locator("input[name=schema]").count() == 0
    screenshot(form.page, "connection-form", of=form)
    # The dialog is as high as its fields, and a picture as high as the window.
    form.page.set_viewport_size({"width": WIDTH, "height": 1150})
    form.get_by_role("button", name="Extra Fields", exact=True).click()
    for field in CONNECTION_TYPE_INFO["conn-fields"].values():
        form.get_by_text(field["description"], exact=True).wait_for()
        assert form.get_by_text(field["label"], exact=True).is_visible(), field["label"]
    screenshot(form.page, "connection-form-extra", of=form)


def test_a_connection_that_is_filled_in_and_saved_tests_green_and_says_what_it_can(
    form: Locator, page: Page, browser_airflow: BrowserAirflow, sandbox: Sandbox
) -> None:
    form.locator("input[name=host]").fill(sandbox.url)
    form.locator("input[name=password]").fill(API_KEY)
    form.locator("input[name=port]").fill(str(PORT))
    form.get_by_role("button", name="Save").click()
    form.wait_for(state="hidden")
    stored = browser_airflow.server.get(f"connections/{CONNECTION}")
    assert (stored["conn_type"], stored["host"], stored["port"]) == ("jumpcloud", sandbox.url, PORT)
    message = press_test(page)
    screenshot(page, "connection-test")
    assert "Test Connection Successful" in message
    assert "3 organizations: Northwind Traders, Blue Yonder Airlines" in message
    assert "Can be read: users, administrators, roles, groups, applications, access." in message
    assert "Blue Yonder Airlines: Directory Insights is not enabled for this organization (402)." in message
    assert "Permission: read. May the key write: no." in message


def test_a_key_that_jumpcloud_does_not_know_tests_red_with_what_to_do(
    page: Page, browser_airflow: BrowserAirflow, sandbox: Sandbox
) -> None:
    browser_airflow.server.set_connection(CONNECTION, host=sandbox.url, port=PORT, password="somebody-elses-key")
    page.goto("/connections")
    message = press_test(page)
    screenshot(page, "connection-test-refused")
    assert "Test Connection Failed" in message
    assert "JumpCloud does not know this API key (401" in message and "make a new key in JumpCloud" in message
    assert "somebody-elses-key" not in message


def test_all_that_is_missing_or_wrong_is_one_message_in_the_words_of_the_form(
    page: Page, browser_airflow: BrowserAirflow
) -> None:
    extra = '{"region": "mars", "organization_ids": "one"}'
    browser_airflow.server.set_connection(CONNECTION, port=PORT, extra=extra)
    page.goto("/connections")
    message = press_test(page)
    for problem in ("API key: missing", "Region: 4 characters given", "Organization ids: 1 of 1 are no ids (3"):
        assert problem in message


def test_the_dag_does_the_same_where_the_button_is_switched_off(
    page: Page, browser_airflow: BrowserAirflow, sandbox: Sandbox
) -> None:
    server = browser_airflow.server
    server.set_connection(CONNECTION, host=sandbox.url, password=API_KEY)
    server.unpause(CHECK)
    page.goto(f"/dags/{CHECK}")
    page.get_by_role("button", name="Trigger").first.click()
    dialog = page.get_by_role("dialog")
    field = dialog.locator("input[name=element_connection_id]")
    field.wait_for()
    assert field.input_value() == CONNECTION
    screenshot(page, "check-connection-form", of=dialog)
    dialog.locator("button", has_text="Trigger").last.click()
    dialog.wait_for(state="hidden")
    run = server.end_of(CHECK, server.first_run_id(CHECK))
    assert run.states == {"check_connection": "success"}
    page.goto(f"/dags/{CHECK}/runs/{quote(run.run_id)}/tasks/check_connection")
    page.get_by_text(f"Connection '{CONNECTION}' works.").first.wait_for()
    page.get_by_text("Northwind Traders (").first.wait_for()
    screenshot(page, "check-connection-log")

    server.set_connection(CONNECTION, host=sandbox.url, password="somebody-elses-key")
    run = server.end_of(CHECK, server.trigger(CHECK, connection_id=CONNECTION))
    assert run.state == "failed"
    assert "JumpCloud does not know this API key" in server.log_of(run, "check_connection")
