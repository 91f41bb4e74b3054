"""`make matrix`: the wheel under each supported Airflow, in an environment of its own under `.matrix/`.

    python -m matrix [CELL ...] [--tests | --all-tests]

A cell installs the wheel alone under its constraints, imports every module, and runs the demo's three Dags against the
sandbox, from a Dags folder that holds nothing but a file of two lines. `--tests` then installs the checkout in place of
the wheel and runs `test-fast`, `--all-tests` the whole suite. Each result replaces the cell's row in
docs/compatibility.md. Needs the cells' Pythons on the PATH.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
ENVIRONMENTS = ROOT / ".matrix"
TOOLS = ENVIRONMENTS / "tools" / "bin"
TABLE = ROOT / "docs" / "compatibility.md"
# Airflow looks for the words `dag` and `airflow` in a file before it reads it.
TWO_LINES = '"""The Dags of jumpcloud-elt, for Airflow."""\nfrom jumpcloud_elt.dags import *  # noqa: F403\n'
IMPORT_ALL = """
import importlib, pkgutil, jumpcloud_elt
names = [one.name for one in pkgutil.walk_packages(jumpcloud_elt.__path__, "jumpcloud_elt.")]
for name in names:
    importlib.import_module(name)
print(len(names))
"""
VERSIONS = """
from importlib.metadata import version
names = "apache-airflow", "apache-airflow-providers-http", "apache-airflow-providers-standard", "duckdb", "pandas"
print(" | ".join(version(name) for name in (*names, "pyarrow")))
"""
BUILD_WITH = ["hatchling", "editables", "hatch-vcs", "hatch-fancy-pypi-readme"]
FAST = ["-n", "2", "-m", "not system and not browser and not slow"]


@dataclass(frozen=True)
class Cell:
    """One environment: an Airflow, a Python, and the constraints under which the wheel is installed into it."""

    airflow: str
    python: str
    constraints: str


CELLS = {
    "3.1.8": Cell("==3.1.8", "3.12", "matrix/constraints/airflow-3.1.8-python3.12.txt"),
    "3.2.1": Cell("==3.2.1", "3.12", "matrix/constraints/airflow-3.2.1-python3.12.txt"),
    "3.3.1": Cell("==3.3.1", "3.12", "matrix/constraints/airflow-3.3.1-python3.12.txt"),
    "lowest": Cell("", "3.11", "matrix/constraints/lowest-direct-python3.11.txt"),
    "newest": Cell("", "3.13", "constraints.txt"),
}


class CellFailedError(Exception):
    """A step of a cell failed; the text is the row's result."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="matrix", description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("cells", nargs="*", metavar="CELL", help=f"of {', '.join(CELLS)}; all where none is given")
    tests = parser.add_mutually_exclusive_group()
    tests.add_argument("--tests", action="store_const", const=FAST, dest="tests", help="and what make test-fast runs")
    tests.add_argument("--all-tests", action="store_const", const=[], dest="tests", help="and the whole suite")
    options = parser.parse_args()
    if unknown := sorted(set(options.cells) - set(CELLS)):
        parser.error(f"CELL: {', '.join(unknown)} given; allowed: {', '.join(CELLS)}")
    ENVIRONMENTS.mkdir(exist_ok=True)
    wheel = build_wheel()
    failed = False
    for name in options.cells or CELLS:
        try:
            versions, result = run_cell(name, CELLS[name], wheel, options.tests)
        except CellFailedError as error:
            versions, result, failed = " | " * 5, f"**failed**: {error}", True
        write_row(name, CELLS[name], versions, result)
    return int(failed)


def build_wheel() -> Path:
    """The wheel of this checkout, built in an environment of its own, which has what installs the cells, too."""
    run([sys.executable, "-m", "venv", "--clear", TOOLS.parent], "venv")
    run([TOOLS / "pip", "install", "--quiet", "build", "uv"], "tools")
    for old in (ENVIRONMENTS / "dist").glob("*.whl"):
        old.unlink()
    run([TOOLS / "python", "-m", "build", "--wheel", "--outdir", ENVIRONMENTS / "dist", ROOT], "build")
    (wheel,) = (ENVIRONMENTS / "dist").glob("*.whl")
    return wheel


def run_cell(name: str, cell: Cell, wheel: Path, tests: list[str] | None) -> tuple[str, str]:
    """Run one cell; return the versions that it has and its result, in words."""
    folder = ENVIRONMENTS / name
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    python = folder / "venv" / "bin" / "python"
    run([f"python{cell.python}", "-m", "venv", "--clear", folder / "venv"], f"venv with Python {cell.python}")
    install = [TOOLS / "uv", "pip", "install", "--python", python, "--constraint", ROOT / cell.constraints]
    run([*install, wheel, f"apache-airflow{cell.airflow}"], "install", folder)
    versions = run([python, "-c", VERSIONS], "versions", folder)
    modules = run([python, "-W", "ignore", "-c", IMPORT_ALL], "import of all modules", folder).splitlines()[-1]
    result = [f"{modules} modules imported", f"{run_dags(folder, python)} of 3 Dags succeeded"]
    if tests is not None:
        run([*install, *BUILD_WITH], "install what builds", folder)
        run([*install, "--no-build-isolation", "--editable", f"{ROOT}[test]"], "install the checkout", folder)
        # Newer Airflows warn of what older ones have: here it is told, and no failure.
        told = run([python, "-m", "pytest", "-W", "default", *tests], "tests", folder, cwd=ROOT)
        result.append(told.splitlines()[-1])
    return versions, ", ".join(result)


def run_dags(folder: Path, python: Path) -> int:
    """Run the three Dags by `airflow dags test`, from the wheel and a file of two lines; how many succeeded."""
    dags = folder / "dags"
    dags.mkdir()
    (dags / "jumpcloud.py").write_text(TWO_LINES)
    environment = {
        "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT": str(folder / "data"),
        # The sandbox alone, which is no part of the package.
        "PYTHONPATH": str(ROOT / "include" / "sandbox"),
    }
    run([python.with_name("airflow"), "db", "migrate"], "airflow db migrate", folder, environment)
    told = run([python, "-m", "jumpcloud_sandbox.demo"], "the three Dags", folder, environment)
    return len(re.findall(r"(?m)^jumpcloud_\w+ +succeeded in", told))


def run(
    command: list[str | Path],
    what: str,
    folder: Path = ENVIRONMENTS,
    environment: dict[str, str] | None = None,
    cwd: Path | None = None,
) -> str:
    """Run a command, its output into a log; return what it wrote to standard output. Raises CellFailedError."""
    print(f"  {what}", flush=True)
    # No setting, path or package of the caller's.
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "PYTHON"))}
    ended = subprocess.run(
        command,
        cwd=cwd or folder,
        env=inherited | {"AIRFLOW_HOME": str(folder / "home")} | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
    )
    log = folder / re.sub(r"\W+", "-", f"{what} log")
    log.write_text(f"{ended.stdout}\n{ended.stderr}")
    if ended.returncode:
        print(f"{ended.stdout[-3000:]}\n{ended.stderr[-3000:]}", file=sys.stderr)
        raise CellFailedError(f"{what} (exit code {ended.returncode})")
    return ended.stdout.strip()


def write_row(name: str, cell: Cell, versions: str, result: str) -> None:
    """Replace the cell's row of the table."""
    today = datetime.now(UTC).date().isoformat()
    row = f"| {name} | {cell.python} | {versions} | {result} | {today} |"
    print(row)
    lines = [row if line.startswith(f"| {name} |") else line for line in TABLE.read_text("utf-8").splitlines()]
    TABLE.write_text("\n".join(lines) + "\n", "utf-8")


if __name__ == "__main__":
    sys.exit(main())
