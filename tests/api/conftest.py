"""The sandbox as `jumpcloud_default`, for the tests of the client."""

from __future__ import annotations

import pytest

from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json


@pytest.fixture
def sandbox(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Sandbox:
    """The sandbox as `jumpcloud_default`."""
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY))
    return sandbox
