"""The plugin as Airflow loads it: once, by whichever way, and light in every process that does not serve pages."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from jumpcloud_elt.plugin import JumpCloudPlugin
from support.paths import ROOT

LOAD = """
import importlib.metadata, json, sys
if "without-entry-point" in sys.argv:
    found = importlib.metadata.entry_points
    none = lambda **wanted: () if wanted.get("group") == "airflow.plugins" else found(**wanted)
    importlib.metadata.entry_points = none
    import airflow._shared.module_loading as loading
    loading.entry_points_with_dist = lambda group: iter(())
from airflow import plugins_manager
plugins_manager.ensure_plugins_loaded()
before = sorted(name for name in sys.modules if name.startswith("jumpcloud_elt.dashboard"))
apps, _ = plugins_manager.get_fastapi_plugins()
views, _ = plugins_manager._get_ui_plugins()
print(json.dumps({
    "errors": plugins_manager.get_import_errors(),
    "apps": [(app["url_prefix"], type(app["app"]).__name__) for app in apps if app["url_prefix"] == "/jumpcloud"],
    "views": [view for view in views if view["name"] == "JumpCloud"],
    "before": before,
}))
"""


def load(plugins: Path, *arguments: str) -> dict[str, object]:
    environment = os.environ | {"AIRFLOW__CORE__PLUGINS_FOLDER": str(plugins)}
    ended = subprocess.run(
        [sys.executable, "-c", LOAD, *arguments], env=environment, capture_output=True, text=True, check=True
    )
    found: dict[str, object] = json.loads(ended.stdout.splitlines()[-1])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("way", ["both", "installed", "folder"])
def test_the_plugin_is_registered_once(tmp_path: Path, way: str) -> None:
    plugins = tmp_path / "plugins"
    plugins.mkdir()
    if way != "installed":
        shutil.copyfile(ROOT / "plugins" / "jumpcloud_plugin.py", plugins / "jumpcloud_plugin.py")
    found = load(plugins, *(["without-entry-point"] if way == "folder" else []))
    assert found["errors"] == {}
    assert found["apps"] == [["/jumpcloud", "FastAPI"]]
    assert [view["url_route"] for view in found["views"]] == ["jumpcloud"]  # type: ignore[attr-defined]
    assert found["before"] == [], "tasks and schedulers would import the pages, too"


def test_the_view_is_below_airflows_own_path_and_its_icon_is_there() -> None:
    (view,) = JumpCloudPlugin.external_views
    (app,) = JumpCloudPlugin().fastapi_apps
    assert not view["href"].startswith("/")
    assert "/" + view["href"] == app["url_prefix"] + "/"
    name = view["icon"].removeprefix(f"{view['href']}static/")
    assert (ROOT / "plugins" / "jumpcloud_elt" / "dashboard" / "static" / name).is_file()


def test_the_package_declares_its_plugin() -> None:
    (declared,) = entry_points(group="airflow.plugins", name="jumpcloud")
    assert declared.load() is JumpCloudPlugin
