"""The organization that the action's tests act on."""

from __future__ import annotations

import pytest

from jumpcloud_elt.core.settings import Settings
from jumpcloud_sandbox.client import Sandbox
from support.acting import allow, world


@pytest.fixture
def acting(settings: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Settings whose connection may act on `world()`, where Ada's password has expired."""
    start = world()
    start["organizations"][0]["users"][0]["password_expired"] = True
    sandbox.set_world(start)
    allow(monkeypatch, sandbox)
    return settings
