"""What the package adds to the Airflow UI, for an Airflow that finds it in its plugins folder only.

Where the package is installed its entry point brings the plugin, and Airflow would refuse the second one of the same
name as an import error: then there is nothing to do here.
"""

from __future__ import annotations

from importlib.metadata import entry_points

if not entry_points(group="airflow.plugins", name="jumpcloud"):
    from jumpcloud_elt.plugin import JumpCloudPlugin

    __all__ = ["JumpCloudPlugin"]
