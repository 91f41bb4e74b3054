"""`JumpCloudHook` as an `HttpHook`: `run`, `run_with_advanced_retry` and `get_conn` keep the client's rules."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.providers.common.compat.sdk import AirflowException

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY
from support.loopback import ORGANIZATION, USERS, reply

# ---- the stock interface of HttpHook --------------------------------------------------------------------------------


def test_the_stock_run_answers_from_the_same_account(settings: Settings, sandbox: Sandbox, hook: JumpCloudHook) -> None:
    answer = hook.run(USERS, data={"limit": 1}, headers={"x-org-id": ORGANIZATION})
    assert answer.json()["totalCount"] == len(sandbox.organization(ORGANIZATION)["users"])


def test_the_stock_run_leaves_nothing_behind_on_the_session(serve: Any, hook: JumpCloudHook) -> None:
    server = serve()
    hook.run(USERS, headers={"x-org-id": ORGANIZATION})
    hook.get("/api/organizations")
    hook.get_conn({"x-other": "1"}).get(f"{server.url}/api")
    hook.get("/api/organizations")
    sent = [(headers.get("x-org-id"), headers.get("x-other")) for _, _, headers in server.received]
    assert sent == [(ORGANIZATION, None), (None, None), (None, "1"), (None, None)]
    assert {headers["x-api-key"] for _, _, headers in server.received} == {API_KEY}
    assert server.connections == 1


def test_the_stock_run_checks_the_status_unless_told_not_to(serve: Any, hook: JumpCloudHook) -> None:
    serve(reply({"message": "no"}, 400))
    with pytest.raises(AirflowException, match="400"):
        hook.run(USERS)
    assert hook.run(USERS, extra_options={"check_response": False}).status_code == 400
