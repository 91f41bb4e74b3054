"""Airflow connections, read and opened: the one place where a client is made, and its secrets are masked in logs."""

from __future__ import annotations

import base64
import os

from airflow.sdk import Connection
from airflow.sdk.log import mask_secret

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.core.account import Account, read_account
from jumpcloud_elt.core.airflow_compat import AirflowNotFoundException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import ConfigurationError


def open_client(connection_id: str, settings: Settings) -> JumpCloudClient:
    """Return a client of an Airflow connection, to be closed. Raises ConfigurationError as `open_account` does."""
    return JumpCloudClient(open_account(connection_id), settings, mask_secret)


def open_account(connection_id: str) -> Account:
    """Return what an Airflow connection says, with its secrets masked in logs.

    Raises ConfigurationError where there is no such connection, where it cannot be read, or naming every wrong field.
    """
    try:
        connection = Connection.get(connection_id)
    except AirflowNotFoundException as error:
        # What Airflow says, too, of an environment variable that it cannot parse.
        variable = f"AIRFLOW_CONN_{connection_id.upper()}"
        if (given := os.environ.get(variable)) is not None:
            raise ConfigurationError(
                f"Connection {connection_id!r} cannot be read: {variable}: {len(given)} characters given; allowed: a "
                "JSON object with conn_type, host, login, password, port (a number) and extra (an object), or a URI "
                "with its parts percent-encoded"
            ) from error
        raise ConfigurationError(
            f"There is no connection {connection_id!r}. Create it under Admin > Connections "
            "(type JumpCloud, with an API key), or name another in [jumpcloud_elt] connections."
        ) from error
    account = read_account(connection)
    mask_secret(account.secret)
    if account.client_id is not None:
        # What the token request sends.
        mask_secret(base64.b64encode(f"{account.client_id}:{account.secret}".encode()).decode())
    return account
