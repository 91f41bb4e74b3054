"""The assets that the Dags emit and run on, declared once: an asset is the same only with the same name and URI.

What an event carries in `extra` is set by the tasks. The scheme begins with `x-`: for any other, Airflow imports what
every installed provider has to say about addresses whenever a Dag file is read.
"""

from __future__ import annotations

from airflow.sdk import Asset

DIRECTORY_LANDING = Asset("jumpcloud_directory_landing", uri="x-jumpcloud://landing/directory")
USAGE_LANDING = Asset("jumpcloud_usage_landing", uri="x-jumpcloud://landing/usage")
USER_ACTION_LANDING = Asset("jumpcloud_user_action_landing", uri="x-jumpcloud://landing/user_actions")
WAREHOUSE = Asset("jumpcloud_warehouse", uri="x-jumpcloud://warehouse")
