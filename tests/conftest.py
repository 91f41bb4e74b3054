"""One Airflow home and one sandbox for each process that runs tests; a fresh data root for each test.

A module is run by one process. All that start servers are run by one: two schedulers beside each other run into time
limits on two cores.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from xdist.scheduler import LoadScopeScheduling

ROOT = Path(__file__).resolve().parents[1]
_HOME = tempfile.TemporaryDirectory(prefix="jumpcloud-elt-tests-", ignore_cleanup_errors=True)

# Airflow reads these when it is first imported, which the test modules do.
for name in [one for one in os.environ if one.startswith(("AIRFLOW", "JUMPCLOUD"))]:
    del os.environ[name]
os.environ |= {
    "AIRFLOW_HOME": _HOME.name,
    "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
    "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    "AIRFLOW__CORE__UNIT_TEST_MODE": "False",
    "AIRFLOW__LOGGING__LOGGING_LEVEL": "WARNING",
    # Retries are tested for what they do, not for how long they wait.
    "AIRFLOW__JUMPCLOUD_ELT__RETRY_WAIT_SECONDS": "0.001",
    "AIRFLOW__CORE__MAX_TASK_RETRY_DELAY": "1",
    # Tests that run shortly after midnight do not wait for yesterday's events.
    "AIRFLOW__JUMPCLOUD_ELT__USAGE_ARRIVAL_LAG_MINUTES": "0",
    # Processes share two cores: more threads cost a third more.
    "AIRFLOW__JUMPCLOUD_ELT__DUCKDB_THREADS": "1",
    # Scheduled runs load no history but where a test says so.
    "AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS": "0",
}

from jumpcloud_elt.core.settings import Settings, read_settings  # noqa: E402
from jumpcloud_sandbox.client import Sandbox  # noqa: E402
from support.connections import API_KEY, connection_json  # noqa: E402
from support.loopback import hook, serve, waits  # noqa: E402, F401 - fixtures, for every test module
from support.object_store import s3  # noqa: E402, F401 - a fixture, likewise

# A busy machine is no failure, and a run that fails must fail again.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")

SERVERS = ("tests/system/", "tests/browser/")


def group_of(nodeid: str) -> str:
    """What one process runs together: a module, or all that start servers."""
    return "servers" if nodeid.startswith(SERVERS) else nodeid.partition("::")[0]


class GroupScheduling(LoadScopeScheduling):
    """`--dist loadgroup` of pytest-xdist 3.8 does not see its groups under pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> GroupScheduling:
    # As they were collected, not the group with the most tests first.
    config.option.loadscopereorder = False
    return GroupScheduling(config, log)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark by folder and by fixture; begin with what takes longest, so that no process is left with it at the end."""
    for item in items:
        if item.nodeid.startswith("tests/warehouse/") or "airflow_database" in getattr(item, "fixturenames", ()):
            item.add_marker("slow")
        for folder in SERVERS:
            if item.nodeid.startswith(folder):
                item.add_marker(folder.split("/")[1])
    items.sort(key=lambda item: group_of(item.nodeid) != "servers")


@pytest.fixture(scope="session")
def migrated_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty Airflow metadata database, to be copied; made by the first process that needs it."""
    is_one_of_many = "PYTEST_XDIST_WORKER" in os.environ
    folder = tmp_path_factory.getbasetemp().parent if is_one_of_many else tmp_path_factory.mktemp("database")
    database = folder / "migrated.db"
    with (folder / "migrated.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not database.exists():
            new = folder / "new.db"
            subprocess.run(
                [Path(sys.executable).with_name("airflow"), "db", "migrate"],
                env=os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{new}"},
                capture_output=True,
                check=True,
            )
            new.rename(database)
    return database


@pytest.fixture(scope="session")
def airflow_database(migrated_database: Path) -> None:
    """The metadata database of this process, for `dag.test()`."""
    shutil.copyfile(migrated_database, Path(_HOME.name, "airflow.db"))


@pytest.fixture(scope="session")
def sandbox_process() -> Iterator[Sandbox]:
    with Sandbox.start("demo") as sandbox:
        yield sandbox


@pytest.fixture
def sandbox(sandbox_process: Sandbox) -> Sandbox:
    """The sandbox, as it was when it started."""
    sandbox_process.reset()
    return sandbox_process


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, sandbox: Sandbox) -> Settings:
    """Settings with a data root of this test's own, and the sandbox as `jumpcloud_default`."""
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(tmp_path / "data"))
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY))
    return read_settings()
