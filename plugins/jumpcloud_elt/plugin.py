"""The Airflow plugin: an entry in the navigation, and the pages behind it.

Airflow imports this in every process it starts, tasks too, so the pages are imported only when its API server asks for
them.
"""

from __future__ import annotations

from typing import Any

from airflow.plugins_manager import AirflowPlugin

from jumpcloud_elt.core.urls import NAME, URL_PREFIX


class _Apps:
    """The plugin's FastAPI apps, made when they are first asked for."""

    def __get__(self, instance: object, owner: type) -> list[dict[str, Any]]:
        from jumpcloud_elt.dashboard.app import app  # noqa: PLC0415 - heavy, and needed in one process only

        return [{"app": app, "url_prefix": URL_PREFIX, "name": NAME}]


class JumpCloudPlugin(AirflowPlugin):
    """The dashboard."""

    name = "jumpcloud"
    fastapi_apps = _Apps()
    external_views = [  # noqa: RUF012 - so does Airflow declare it
        {
            "name": NAME,
            # Relative: Airflow may be served below a path of its own.
            "href": f"{URL_PREFIX.removeprefix('/')}/",
            "destination": "nav",
            "url_route": "jumpcloud",
            "icon": f"{URL_PREFIX.removeprefix('/')}/static/icon.svg",
        }
    ]
