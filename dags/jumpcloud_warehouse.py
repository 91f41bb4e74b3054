"""
### JumpCloud warehouse

Runs when the directory or the usage Dag has landed something, or users were acted on: builds the DuckDB warehouse
aside, checks it, and swaps it in by rename. One run at a time; landings that arrive meanwhile share the next one. A
build that fails leaves the last good warehouse where it is. Old snapshots are pruned last, where that is configured.

A file of landing that is damaged or missing, and an organization whose rows break a check, hold up nobody else: such a
file is set aside, such an organization is shown as it was last, everything is published, and the run ends failed in
*report_failures*, naming them.

Started by hand with `rebuild_runs` it first records what lies in landing and no run has recorded: all of it where
`landing/_runs` is lost.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task

from jumpcloud_elt.core.assets import DIRECTORY_LANDING, USAGE_LANDING, USER_ACTION_LANDING, WAREHOUSE
from jumpcloud_elt.core.dag_defaults import run_timeout, task_defaults
from jumpcloud_elt.core.settings import settings_of_dags

SETTINGS = settings_of_dags()


@dag(
    dag_display_name="JumpCloud: warehouse",
    schedule=DIRECTORY_LANDING | USAGE_LANDING | USER_ACTION_LANDING,
    catchup=False,
    dagrun_timeout=run_timeout(SETTINGS),
    max_active_runs=1,
    doc_md=__doc__,
    tags=["jumpcloud", "runs by itself"],
    default_args=task_defaults(SETTINGS, asks_jumpcloud=False),
    params={
        "rebuild_runs": Param(
            False,
            type="boolean",
            description="First list landing, and record every unit and snapshot that no run has recorded.",
        ),
    },
)
def jumpcloud_warehouse() -> None:
    @task
    def build() -> str:
        """Compute every table into a file beside the published one."""
        from jumpcloud_elt.tasks import warehouse

        context = get_current_context()
        return warehouse.build_warehouse(context["run_id"], rebuild_runs=context["params"]["rebuild_runs"])

    @task
    def check(built: str) -> str:
        """Hold the built tables against what must be true of them."""
        from jumpcloud_elt.tasks import warehouse

        return warehouse.check_warehouse(built)

    @task(outlets=[WAREHOUSE])
    def publish(checked: str) -> str:
        """Swap the built warehouse in."""
        from jumpcloud_elt.tasks import warehouse

        return warehouse.publish_warehouse(checked, get_current_context()["outlet_events"][WAREHOUSE])

    @task
    def prune_snapshots() -> int:
        """Remove old snapshots, if that is configured."""
        from jumpcloud_elt.tasks import warehouse

        return warehouse.prune_snapshots()

    @task(retries=0)
    def report_failures() -> None:
        """Fail if a file was damaged, or an organization could not be published anew."""
        from jumpcloud_elt.tasks import warehouse

        warehouse.report_unpublished(get_current_context()["run_id"])

    publish(check(build())) >> [prune_snapshots(), report_failures()]


jumpcloud_warehouse_dag = jumpcloud_warehouse()
