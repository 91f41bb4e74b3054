"""All of these Dags at once, where the package is installed: `from jumpcloud_elt.dags import *`."""

from __future__ import annotations

from .jumpcloud_check_connection import jumpcloud_check_connection_dag
from .jumpcloud_directory import jumpcloud_directory_dag
from .jumpcloud_forget import jumpcloud_forget_dag
from .jumpcloud_usage import jumpcloud_usage_dag
from .jumpcloud_user_action import jumpcloud_user_action_dag
from .jumpcloud_warehouse import jumpcloud_warehouse_dag

__all__ = [
    "jumpcloud_check_connection_dag",
    "jumpcloud_directory_dag",
    "jumpcloud_forget_dag",
    "jumpcloud_usage_dag",
    "jumpcloud_user_action_dag",
    "jumpcloud_warehouse_dag",
]
