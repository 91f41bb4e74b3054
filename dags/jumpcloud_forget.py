"""
### JumpCloud: forget a person

Erases one person of one organization from landing, histories and the warehouse, and leaves every count as it was: a
random pseudonym stands wherever the person stood. Started by hand, with `organization_id`, `target` (the person's
user id, user name or e-mail) and `dry_run`, which is true by default: then the run shows how much has landed of the
person, and changes nothing.

The person must be gone from JumpCloud, or the next sync would bring them back: delete the account there and run
`jumpcloud_directory` first. Events that JumpCloud still keeps would come back if their days were loaded again.

A run that was killed is finished by running it again with the same params. The last tasks build, check and publish
the warehouse themselves instead of leaving it to `jumpcloud_warehouse`: once the run is green, neither landing nor
the published warehouse holds the person. Pause the other Dags meanwhile; what they land of the person while this
one runs makes it fail, to be run again.

What was done is recorded in `sync_log`: when, by whom, how many rows; not of whom. Airflow itself keeps the params
of this run: name the person by user id, or delete the run afterwards.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Param, dag, get_current_context, task

from jumpcloud_elt.core.assets import WAREHOUSE
from jumpcloud_elt.core.dag_defaults import run_timeout, task_defaults
from jumpcloud_elt.core.settings import settings_of_dags

if TYPE_CHECKING:
    from jumpcloud_elt.privacy.forget import Found

RUN = {"dag_id": "{{ dag.dag_id }}", "run_id": "{{ run_id }}"}
SETTINGS = settings_of_dags()


@dag(
    dag_display_name="JumpCloud, by hand: forget a person",
    schedule=None,
    catchup=False,
    dagrun_timeout=run_timeout(SETTINGS),
    max_active_runs=1,
    doc_md=__doc__,
    tags=["jumpcloud", "by hand"],
    default_args=task_defaults(SETTINGS, asks_jumpcloud=False),
    params={
        "organization_id": Param(
            type="string",
            pattern="^[0-9a-fA-F]{24}$",
            description="The organization (id of 24 hexadecimal digits).",
        ),
        "target": Param(
            type="string", minLength=1, description="The person's user id, user name or e-mail in that organization."
        ),
        "dry_run": Param(True, type="boolean", description="Show how much would be rewritten, and change nothing."),
    },
)
def jumpcloud_forget() -> None:
    @task
    def find_person() -> Found:
        """Find the person, and how much has landed of them."""
        from jumpcloud_elt.tasks import forget

        return forget.find_person(get_current_context()["params"])

    @task
    def forget_person(found: Found, run_of: dict[str, str]) -> Found:
        """Rewrite every landed file that holds the person."""
        from jumpcloud_elt.tasks import forget

        context = get_current_context()
        requested_by = context["dag_run"].triggering_user_name or "somebody without a name"
        return forget.forget_person(context["params"], run_of, requested_by)

    @task
    def build(forgotten: Found) -> str:
        """Compute every table of the rewritten landing, into a file beside the published one."""
        from jumpcloud_elt.tasks import warehouse

        return warehouse.build_warehouse(get_current_context()["run_id"])

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
    def finish() -> None:
        """Make sure that nothing is left, and delete the pseudonyms' key."""
        from jumpcloud_elt.tasks import forget

        forget.finish_forgetting(get_current_context()["params"])

    @task(retries=0)
    def report_failures() -> None:
        """Fail if a file was damaged, or an organization could not be published anew."""
        from jumpcloud_elt.tasks import warehouse

        warehouse.report_unpublished(get_current_context()["run_id"])

    publish(check(build(forget_person(find_person(), RUN)))) >> [finish(), report_failures()]


jumpcloud_forget_dag = jumpcloud_forget()
