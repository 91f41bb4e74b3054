"""The dashboard as a browser gets it, in this process: mounted as Airflow mounts it, behind Airflow's sign-in."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import airflow.api_fastapi.app as api
from airflow.api_fastapi.auth.managers.base_auth_manager import COOKIE_NAME_JWT_TOKEN
from airflow.api_fastapi.auth.managers.simple.simple_auth_manager import SimpleAuthManager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from fastapi import FastAPI
from starlette.testclient import TestClient

from jumpcloud_elt.core.urls import URL_PREFIX
from jumpcloud_elt.dashboard.app import create_app

PAGES = ("", "users", "applications", "access", "usage")
FILES = (
    "users.csv",
    "users.parquet",
    "users.json",
    "applications.csv",
    "applications.parquet",
    "access.csv",
    "access.parquet",
)


@contextlib.contextmanager
def visitor(*, role: str | None = "VIEWER", is_signed_in: bool = True, path: str = "") -> Iterator[TestClient]:
    """A browser, signed in with a role of Airflow's simple auth manager (None: without any right) or not at all.

    Needs a migrated metadata database. `path` is what Airflow is served below.
    """
    # One that Airflow makes up is shorter than its own library likes.
    os.environ.setdefault("AIRFLOW__API_AUTH__JWT_SECRET", "signed-in-for-tests-" * 4)
    api.create_auth_manager()
    airflow = FastAPI(root_path=path)
    airflow.mount(URL_PREFIX, create_app())
    with TestClient(airflow, base_url=f"http://airflow.example{path}{URL_PREFIX}/", follow_redirects=False) as client:
        if is_signed_in:
            manager = api.get_auth_manager()
            assert isinstance(manager, SimpleAuthManager)
            user = SimpleAuthManagerUser(username="somebody", role=role)
            client.cookies.set(COOKIE_NAME_JWT_TOKEN, manager.generate_jwt(user))
        yield client
