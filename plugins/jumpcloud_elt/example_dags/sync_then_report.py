"""
### Example: JumpCloud in a Dag of your own

Syncs the directory and a day of usage beside each other, builds the warehouse, and goes on with what it holds: how many
accounts have been idle for 90 days, in each organization.
"""

from __future__ import annotations

from airflow.sdk import dag, task

from jumpcloud_elt.operators import (
    JumpCloudDirectoryOperator,
    JumpCloudUsageOperator,
    JumpCloudWarehouseOperator,
)


@dag(schedule="0 6 * * 1", catchup=False, max_active_runs=1, doc_md=__doc__, tags=["example"])
def report_idle_accounts() -> None:
    directory = JumpCloudDirectoryOperator(task_id="directory", retries=2)
    usage = JumpCloudUsageOperator(task_id="usage", retries=2)
    # Without usage there is a warehouse all the same.
    warehouse = JumpCloudWarehouseOperator(task_id="warehouse", trigger_rule="none_failed")

    @task
    def count_idle() -> dict[str, int]:
        """How many current accounts have been idle for 90 days, by organization."""
        # Here, and not above: a Dag file is read all the time.
        from jumpcloud_elt.reading import read_mart

        users = read_mart("users")
        idle = users[(users["lifecycle"] == "current") & (users["idle_days"] >= 90)]
        return {str(name): int(number) for name, number in idle.groupby("organization_id").size().items()}

    [directory, usage] >> warehouse >> count_idle()


report_idle_accounts()
