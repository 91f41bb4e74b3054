"""What no linter holds: one meaning for each public name of the package, one place that tells a folder
from a bucket, and test modules that know only tests/support.

The arrows between the package's floors are held by import-linter, in `make lint`.
"""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

from support.definitions import PACKAGE, public_names
from support.paths import ROOT

# Each module has its own, by convention of `logging` and of FastAPI.
IN_EVERY_MODULE = {"log", "router"}


def test_no_two_modules_of_the_package_define_the_same_public_name() -> None:
    homes: dict[str, list[str]] = defaultdict(list)
    for path in PACKAGE.rglob("*.py"):
        for name in public_names(path) - IN_EVERY_MODULE:
            homes[name].append(str(path.relative_to(PACKAGE)))
    assert len(homes) > 400
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_no_other_module_asks_whether_it_has_a_folder_or_a_bucket() -> None:
    asking = re.compile(r"\b(isinstance|issubclass)\([^)]*Path\b|\btype\(.*Path\b|\bcase \w*Path\(")
    found = [
        (path.relative_to(PACKAGE).as_posix(), line.strip())
        for path in sorted(PACKAGE.rglob("*.py"))
        for line in path.read_text().splitlines()
        if asking.search(line)
    ]
    assert [name for name, _ in found] == ["core/data_root.py"], found


def test_one_module_knows_where_a_name_lives_in_which_airflow() -> None:
    compat = PACKAGE / "core" / "airflow_compat.py"
    homes = _imports_of_airflow(compat)
    moved = {name for _, name in homes}
    # `airflow.sdk` is the home of many names that have not moved.
    modules = {module for module, _ in homes} - {"airflow.sdk"}
    assert {"conf", "AirflowSkipException", "CronDataIntervalTimetable"} <= moved
    others = [path for path in [*PACKAGE.rglob("*.py"), *(ROOT / "dags").glob("*.py")] if path != compat]
    found = {
        str(path.relative_to(ROOT)): [
            (module, name) for module, name in _imports_of_airflow(path) if name in moved or module in modules
        ]
        for path in others
    }
    assert {path: imports for path, imports in found.items() if imports} == {}


def test_no_test_module_imports_from_another() -> None:
    modules = sorted((ROOT / "tests").rglob("*.py"))
    names = {path.stem for path in modules if path.stem.startswith("test_")} | {"conftest", "tests"}
    assert len(names) > 40
    found = {str(path.relative_to(ROOT)): _imported(path) & names for path in modules}
    assert {path: imported for path, imported in found.items() if imported} == {}


def _imported(path: Path) -> set[str]:
    """Every part of every dotted name that a module imports, at whatever depth of its code."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {part for alias in node.names for part in alias.name.split(".")}
        elif isinstance(node, ast.ImportFrom):
            names |= {*(node.module or "").split("."), *(alias.name for alias in node.names)}
    return names


def _imports_of_airflow(path: Path) -> list[tuple[str, str]]:
    """Module and name of everything that a module imports from Airflow; the name of a whole module is empty."""
    found: list[tuple[str, str]] = []
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found += [(alias.name, "") for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            found += [(str(node.module), alias.name) for alias in node.names]
    return [(module, name) for module, name in found if module.partition(".")[0] == "airflow"]
