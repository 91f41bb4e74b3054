"""
### JumpCloud: check a connection

What a connection can and cannot do, organization by organization: users, administrators, groups, applications,
access and Directory Insights; whether its key may change users, as far as that can be told without changing any; and
when the key or secret ends. It reads a little of each, and lands and changes nothing.

Started by hand, with `connection_id`. The report is in the log and the return value of the task. The run is green
when every organization can be synced, even where one has no Directory Insights; else it fails with the same report:
what does not work, why, and what to do. It says what the form's Test button says, which Airflow switches off by
default, and of every organization.
"""

from __future__ import annotations

from airflow.sdk import Param, dag, get_current_context, task

from jumpcloud_elt.core.dag_defaults import run_timeout, task_defaults
from jumpcloud_elt.core.settings import settings_of_dags

SETTINGS = settings_of_dags()


@dag(
    dag_display_name="JumpCloud, by hand: check a connection",
    schedule=None,
    catchup=False,
    dagrun_timeout=run_timeout(SETTINGS),
    doc_md=__doc__,
    tags=["jumpcloud", "by hand"],
    default_args=task_defaults(SETTINGS),
    params={
        "connection_id": Param(
            SETTINGS.connections[0],
            type="string",
            minLength=1,
            examples=list(SETTINGS.connections),
            description="The connection (type JumpCloud) to look into: a configured one, or any other.",
        ),
    },
)
def jumpcloud_check_connection() -> None:
    # The report is in the log once, as the package writes it.
    @task(show_return_value_in_logs=False)
    def check_connection() -> str:
        """Look into the connection and say what was found."""
        from jumpcloud_elt.tasks import check_connection

        return check_connection.check_connection(get_current_context()["params"]["connection_id"].strip())

    check_connection()


jumpcloud_check_connection_dag = jumpcloud_check_connection()
