"""The benchmarks: each can still be imported, and the run of faults finds what it is there to find."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import fault_stories, faults
from support.paths import ROOT

# It has an environment of its own, with dlt.
ELSEWHERE = {"dlt_extract"}


def test_every_benchmark_can_be_imported(tmp_path: Path) -> None:
    """What they import within functions, mypy finds."""
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")} - ELSEWHERE - {"__init__", "__main__"}
    program = f"import importlib; [importlib.import_module(f'benchmarks.{{name}}') for name in {sorted(names)}]"
    environment = os.environ | {"AIRFLOW_HOME": str(tmp_path), "PYTHONPATH": f"{ROOT}/include/sandbox:{ROOT}/tests"}
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=environment, check=True)


@pytest.mark.slow
def test_faults_of_every_sort_are_equal_or_loud() -> None:
    wanted = (
        "503 of JumpCloud",
        "404 of a proxy",
        "empty list",
        "total too low",
        "killed in landing",
        "disk full in the",
    )
    kinds = [fault for fault in faults.faults() if fault.kind.startswith(wanted)]
    verdicts = list(faults.run_all(3, kinds, len(kinds)))
    assert len(verdicts) >= len(wanted)
    assert [one for one in verdicts if one.result == faults.SILENT] == []
    assert {one.result for one in verdicts} == {faults.EQUAL, faults.LOUD}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "name", "table"), [(faults.HIT, "Alpha", "users"), (faults.OTHER, "Bravo", "usage_daily")]
)
def test_a_lost_row_is_seen(
    one: str, name: str, table: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    read = fault_stories.read

    def read_all_but_one(organization_id: str) -> tuple[dict[str, list[dict[str, Any]]], str]:
        found, status = read(organization_id)
        if organization_id == one:
            found[table].pop(random.randrange(len(found[table])))
        return found, status

    monkeypatch.setattr(fault_stories, "read", read_all_but_one)
    monkeypatch.setattr(sys, "argv", ["faults", "--runs", "1", "--only", "slow answer"])
    assert faults.main() == 1
    assert f"{name}: {table}: 1 expected rows missing" in capsys.readouterr().out
