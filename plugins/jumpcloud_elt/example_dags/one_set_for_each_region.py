"""
### Example: several Dags of a kind

Two accounts, each with its own schedule, owner and callback, into one warehouse: `jumpcloud_us_directory`,
`jumpcloud_us_usage`, `jumpcloud_eu_directory`, `jumpcloud_eu_usage`. The ready `jumpcloud_warehouse` runs after each of
them. Pause the ready `jumpcloud_directory` and `jumpcloud_usage`, or they sync the configured connections, too.

Airflow reads this file because it has the words *airflow* and *dag*.
"""

from __future__ import annotations

from typing import Any

from jumpcloud_elt.dag_factory import directory_dag, usage_dag

OWNERS = {"us": "it-austin", "eu": "it-berlin"}


def page_the_owner(context: dict[str, Any]) -> None:
    """Where your own paging goes; Airflow calls it when a run has failed."""
    print(f"{context['dag'].dag_id} failed: {context['run_id']}")


for region, owner in OWNERS.items():
    shared: dict[str, Any] = {
        "connections": [f"jumpcloud_{region}"],
        "owner": owner,
        "tags": ["jumpcloud", region],
        "on_failure_callback": page_the_owner,
    }
    directory_dag(f"jumpcloud_{region}_directory", schedule="0 5 * * *", **shared)
    usage_dag(f"jumpcloud_{region}_usage", schedule="@hourly", options={"usage_initial_days": "30"}, **shared)
