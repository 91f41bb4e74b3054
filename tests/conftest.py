"""One Airflow home and one sandbox process for the whole session; a fresh data root for each test."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest

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
    # Tests that run shortly after midnight do not wait for yesterday's events.
    "AIRFLOW__JUMPCLOUD_ELT__USAGE_ARRIVAL_LAG_MINUTES": "0",
}

from jumpcloud_elt.core.settings import Settings, read_settings  # noqa: E402
from jumpcloud_sandbox.client import Sandbox  # noqa: E402
from support.browser import browser_airflow, browser_process, page  # noqa: E402, F401 - fixtures, for every test module
from support.connections import API_KEY, connection_json  # noqa: E402

# A busy machine is no failure, and a run that fails must fail again.
hypothesis.settings.register_profile("tests", deadline=None, derandomize=True)
hypothesis.settings.load_profile("tests")


@pytest.fixture(scope="session")
def migrated_database() -> Path:
    """An empty Airflow metadata database, to be copied."""
    database = Path(_HOME.name, "migrated.db")
    subprocess.run(
        [Path(sys.executable).with_name("airflow"), "db", "migrate"],
        env=os.environ | {"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{database}"},
        capture_output=True,
        check=True,
    )
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
