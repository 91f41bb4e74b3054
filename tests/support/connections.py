"""Airflow connections as environment variables hold them."""

from __future__ import annotations

import json

API_KEY = "sandbox-key"


def connection_json(host: str, password: str | None, **fields: object) -> str:
    """An AIRFLOW_CONN_* value; `fields` may hold `login` and `extra`."""
    return json.dumps({"conn_type": "jumpcloud", "host": host, "password": password, **fields})
