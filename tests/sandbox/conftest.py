"""One sandbox process for all of these tests; each test begins with its initial world."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from jumpcloud_sandbox.client import Sandbox
from support.sandbox_api import NOW, Api, small_world


@pytest.fixture(scope="session")
def running() -> Iterator[Sandbox]:
    with Sandbox.start(small_world(), now=NOW) as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(running: Sandbox) -> Sandbox:
    running.reset()
    return running


@pytest.fixture
def api(sandbox: Sandbox) -> Iterator[Api]:
    client = Api(sandbox)
    yield client
    client.close()
