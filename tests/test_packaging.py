"""What an installation without a checkout has: the wheel, built here, its metadata, and the Dags that it brings."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tarfile
import zipfile
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from support.paths import ROOT

DAG_IDS = sorted(path.stem for path in (ROOT / "dags").glob("jumpcloud_*.py"))
TWO_LINES = '"""The Dags of jumpcloud-elt, for Airflow."""\nfrom jumpcloud_elt.dags import *\n'
READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
import jumpcloud_elt
bag = DagBag(sys.argv[1])
again = DagBag(sys.argv[1])
print(json.dumps({
    "package": jumpcloud_elt.__file__, "errors": [*bag.import_errors.items(), *again.import_errors.items()],
    "dags": {dag_id: dag.fileloc.rpartition('/')[2] for dag_id, dag in bag.dags.items()}, "again": sorted(again.dags),
}))
"""

pytestmark = pytest.mark.slow


def build(source: Path, target: Path, kind: str) -> Path:
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(target)],
        cwd=source,
        capture_output=True,
        text=True,
        check=True,
    )
    (built,) = target.glob("*.whl" if kind == "wheel" else "*.tar.gz")
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(ROOT, tmp_path_factory.mktemp("wheel"), "wheel")


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel would put into site-packages, and nothing of the checkout."""
    folder = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


@pytest.fixture(scope="module")
def metadata(installed: Path) -> Message:
    (path,) = installed.glob("*.dist-info/METADATA")
    return Parser().parsestr(path.read_text("utf-8"))


def read_dags(installed: Path, dags: Path, home: Path) -> dict[str, object]:
    ended = subprocess.run(
        [sys.executable, "-c", READ, str(dags)],
        env=os.environ | {"PYTHONPATH": str(installed), "AIRFLOW_HOME": str(home)},
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    assert Path(str(found["package"])).is_relative_to(installed)
    assert found["errors"] == []
    return found


def test_a_file_of_two_lines_brings_every_dag_whenever_it_is_read(installed: Path, tmp_path: Path) -> None:
    dags = tmp_path / "dags"
    dags.mkdir()
    (dags / "jumpcloud.py").write_text(TWO_LINES)
    found = read_dags(installed, dags, tmp_path)
    assert found["dags"] == dict.fromkeys(DAG_IDS, "jumpcloud.py")
    assert found["again"] == DAG_IDS


def test_a_dag_bundle_may_name_the_folder_in_the_package(installed: Path, tmp_path: Path) -> None:
    found = read_dags(installed, installed / "jumpcloud_elt" / "dags", tmp_path)
    assert found["dags"] == {dag_id: f"{dag_id}.py" for dag_id in DAG_IDS}


def test_the_wheel_carries_the_package_its_sql_and_its_dags_and_nothing_else(installed: Path) -> None:
    package = {
        str(path.relative_to(ROOT / "plugins"))
        for path in (ROOT / "plugins" / "jumpcloud_elt").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    sql = {f"jumpcloud_elt/sql/{path.relative_to(ROOT / 'include' / 'sql')}"
           for path in (ROOT / "include" / "sql").rglob("*") if path.is_file()}  # fmt: skip
    dags = {f"jumpcloud_elt/dags/{path.name}" for path in (ROOT / "dags").iterdir() if path.is_file()}
    assert "jumpcloud_elt/py.typed" in package and "jumpcloud_elt/dags/.airflowignore" in dags
    carried = {str(path.relative_to(installed)) for path in installed.rglob("*") if path.is_file()}
    assert {path for path in carried if ".dist-info/" not in path} == package | sql | dags


def test_the_metadata_say_what_an_index_and_an_installer_look_for(metadata: Message, installed: Path) -> None:
    assert metadata["License-Expression"] == "Apache-2.0"
    assert "LICENSE" in metadata.get_all("License-File", []) and "NOTICE" in metadata.get_all("License-File", [])
    (license_text,) = installed.glob("*.dist-info/licenses/LICENSE")
    assert "Apache License" in license_text.read_text() and "END OF TERMS AND CONDITIONS" in license_text.read_text()
    assert metadata["Author"] and metadata["Keywords"] and metadata.get_all("Project-URL")
    required = {re.split(r"[<>=!~\[; ]", one, maxsplit=1)[0]: one for one in metadata.get_all("Requires-Dist", [])}
    # Neither 3.0, which has no approvals by people, nor what is not known yet.
    assert required["apache-airflow"].removeprefix("apache-airflow") == "<4,>=3.1"


def test_no_link_or_picture_of_the_description_needs_the_repository(metadata: Message) -> None:
    text = metadata.get_payload()
    links = re.findall(r"\]\(([^)\s]+)\)", str(text))
    assert "https://jumpcloud.com" in links
    assert [link for link in links if not link.startswith("https://")] == []
    assert "# JumpCloud ELT for Apache Airflow" in str(text) and metadata["Description-Content-Type"] == "text/markdown"


def test_the_source_distribution_and_a_clone_without_tags_build_the_same_package(wheel: Path, tmp_path: Path) -> None:
    source = build(ROOT, tmp_path, "sdist")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path / "source", filter="data")
    (unpacked,) = (tmp_path / "source").iterdir()
    again = build(unpacked, tmp_path / "again", "wheel")
    assert again.name == wheel.name
    with zipfile.ZipFile(again) as one, zipfile.ZipFile(wheel) as other:
        assert sorted(one.namelist()) == sorted(other.namelist())
    if (ROOT / ".git").exists():
        clone = tmp_path / "clone"
        subprocess.run(["git", "clone", "--quiet", "--no-tags", "--depth", "1", ROOT.as_uri(), clone], check=True)
        assert build(clone, tmp_path / "cloned", "wheel").name.startswith("jumpcloud_elt-0.")
        subprocess.run(["git", "-C", clone, "tag", "v0.1.0"], check=True)
        assert build(clone, tmp_path / "tagged", "wheel").name == "jumpcloud_elt-0.1.0-py3-none-any.whl"
