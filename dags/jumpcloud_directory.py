"""
### JumpCloud directory

One snapshot of every organization that the configured connections see: users, administrators, applications,
groups, and who can reach which application.
Each organization is one mapped task, shown by its name (more than Airflow maps share tasks); one that fails does not
hold up the others, and ends the run failed, by name, after they have landed.

Started by hand it takes `organization_ids`: only these; and `accept_drop`: organizations whose snapshot is
accepted although the drift guard would hold it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Param, TriggerRule, dag, get_current_context, task

from jumpcloud_elt.core.assets import DIRECTORY_LANDING
from jumpcloud_elt.core.dag_defaults import NOTIFY_TIMEOUT, run_timeout, task_defaults
from jumpcloud_elt.core.intervals import timetable
from jumpcloud_elt.core.settings import settings_of_dags

if TYPE_CHECKING:
    from jumpcloud_elt.core.organization import Organization
    from jumpcloud_elt.tasks.common import Failure
    from jumpcloud_elt.tasks.mapping import Batch

NAMES = "{{ task.op_kwargs['batch']['label'] }}"
RUN = {"dag_id": "{{ dag.dag_id }}", "run_id": "{{ run_id }}"}
SETTINGS = settings_of_dags()


@dag(
    dag_display_name="JumpCloud: directory",
    schedule=timetable(SETTINGS.directory_schedule, "directory_schedule"),
    catchup=False,
    dagrun_timeout=run_timeout(SETTINGS),
    max_active_runs=1,
    doc_md=__doc__,
    tags=["jumpcloud", "runs by itself"],
    default_args=task_defaults(SETTINGS),
    params={
        "organization_ids": Param(
            [],
            type=["array", "null"],
            items={"type": "string", "pattern": "^[0-9a-fA-F]{24}$"},
            description="Only these organizations (ids of 24 hexadecimal digits). Empty: all.",
        ),
        "accept_drop": Param(
            [],
            type=["array", "null"],
            items={"type": "string", "pattern": "^[0-9a-fA-F]{24}$"},
            description="Organizations (ids) whose snapshot is accepted although their users have dropped.",
        ),
    },
)
def jumpcloud_directory() -> None:
    @task
    def list_organizations() -> list[Batch[Organization]]:
        """Which organizations there are to sync."""
        from jumpcloud_elt.tasks import common, mapping

        context = get_current_context()
        only = context["params"]["organization_ids"] or []
        return mapping.in_batches(
            common.list_organizations(only, with_credentials=True, is_last_try=common.is_last_try(context))
        )

    @task(map_index_template=NAMES)
    def extract_directory(batch: Batch[Organization], run_of: dict[str, str]) -> int:
        """Land one snapshot of one organization, and what can be done with it."""
        from jumpcloud_elt.tasks import directory, mapping

        accept_drop = get_current_context()["params"]["accept_drop"] or []
        return mapping.each(batch, lambda one: directory.extract_directory(one, run_of, accept_drop))

    @task(trigger_rule=TriggerRule.ALL_DONE, outlets=[DIRECTORY_LANDING])
    def record_run(listed: list[Batch[Organization]] | None, run_of: dict[str, str]) -> list[Failure]:
        """Write what happened, and tell the warehouse."""
        from jumpcloud_elt.tasks import common, mapping

        context = get_current_context()
        is_restricted = bool(context["params"]["organization_ids"])
        event = context["outlet_events"][DIRECTORY_LANDING]
        listed_one_by_one = mapping.flat(listed)
        return common.record_run(listed_one_by_one, run_of, common.DIRECTORY, is_restricted=is_restricted, event=event)

    @task(trigger_rule=TriggerRule.ALL_DONE, retries=0)
    def report_failures(failures: list[Failure] | None) -> None:
        """Fail if any organization or any other task did."""
        from jumpcloud_elt.tasks import common

        common.report_failures(failures, get_current_context())

    @task(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=NOTIFY_TIMEOUT)
    def notify(listed: list[Batch[Organization]] | None, run_of: dict[str, str]) -> None:
        """Notify of new problems and of those that are over, each once."""
        from jumpcloud_elt.tasks import alerts, mapping

        is_restricted = bool(get_current_context()["params"]["organization_ids"])
        alerts.notify_of_directory(mapping.flat(listed), run_of, is_restricted=is_restricted)

    listed = list_organizations()
    extracted = extract_directory.partial(run_of=RUN).expand(batch=listed)
    recorded = record_run(listed, RUN)
    reported = report_failures(recorded)
    # Side by side: notifying neither waits for the report nor hides that it failed.
    extracted >> recorded >> [reported, notify(listed, RUN)]
    # Where failed tasks alone are cleared, record_run is not: the report waits for the others itself.
    extracted >> reported


jumpcloud_directory_dag = jumpcloud_directory()
