"""
### JumpCloud usage

Directory Insights events of one data interval (a day, by default), for every organization that has them. This is
the Dag to backfill. An organization without Directory Insights shows as *skipped* under its name; when none has
them, the branch leaves the whole extraction out. Either way the reason is recorded and the run is green.

Started by hand it takes `start` and `end` (UTC, both or neither): the whole range in one run. Without them, and
without a logical date, it reads the last complete interval and catches up, as scheduled runs do.

Events arrive minutes late, some hours: scheduled and backfill runs wait until `usage_arrival_lag_minutes` after the
interval's end (*up for reschedule*, without a worker).

**Catching up**: once every organization has landed the interval, what lacks of the time that JumpCloud still has is
read (`usage_initial_days`), newest first: days that no run has landed, units that are incomplete or damaged, and those
of the `usage_reconcile_days` before that have more events by now. No further unit begins once
`usage_catch_up_minutes` have passed; the next run goes on. So nobody has to backfill. Backfills, and runs with a
range or a date, land that only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import Param, TriggerRule, dag, get_current_context, task

from jumpcloud_elt.core.assets import USAGE_LANDING
from jumpcloud_elt.core.dag_defaults import NOTIFY_TIMEOUT, run_timeout, task_defaults
from jumpcloud_elt.core.intervals import timetable
from jumpcloud_elt.core.settings import settings_of_dags

if TYPE_CHECKING:
    from jumpcloud_elt.core.organization import Organization
    from jumpcloud_elt.tasks.common import Failure
    from jumpcloud_elt.tasks.mapping import Batch
    from jumpcloud_elt.tasks.usage import ProbedOrganization

NAMES = "{{ task.op_kwargs['batch']['label'] }}"
RUN = {"dag_id": "{{ dag.dag_id }}", "run_id": "{{ run_id }}"}
SETTINGS = settings_of_dags()


@dag(
    dag_display_name="JumpCloud: usage",
    schedule=timetable(SETTINGS.usage_schedule, "usage_schedule"),
    catchup=False,
    dagrun_timeout=run_timeout(SETTINGS),
    doc_md=__doc__,
    tags=["jumpcloud", "runs by itself"],
    default_args=task_defaults(SETTINGS),
    params={
        "start": Param(
            None, type=["null", "string"], format="date-time", description="From this time (UTC), with end."
        ),
        "end": Param(None, type=["null", "string"], format="date-time", description="Up to, not including, this time."),
    },
)
def jumpcloud_usage() -> None:
    @task
    def plan_units() -> list[tuple[str, str]]:
        """Which intervals to land."""
        from jumpcloud_elt.tasks import usage

        return usage.plan_units(get_current_context()["dag_run"], get_current_context()["params"])

    @task
    def list_organizations() -> list[Organization]:
        """Which organizations there are to sync."""
        from jumpcloud_elt.tasks import common

        return common.list_organizations([], is_last_try=common.is_last_try(get_current_context()))

    @task
    def probe_directory_insights(listed: list[Organization]) -> list[Batch[ProbedOrganization]]:
        """Which of them have Directory Insights."""
        from jumpcloud_elt.tasks import mapping, usage

        return mapping.in_batches(usage.probe_directory_insights(listed))

    @task.branch
    def choose_usage_branch(probed: list[Batch[ProbedOrganization]]) -> str:
        """Follow the extraction unless nobody has Directory Insights."""
        from jumpcloud_elt.tasks import mapping, usage

        return usage.choose_usage_branch(mapping.flat(probed) or [], "extract_events", "usage_unavailable")

    @task
    def usage_unavailable(probed: list[Batch[ProbedOrganization]], run_of: dict[str, str]) -> None:
        """No organization has Directory Insights: say so."""
        from jumpcloud_elt.tasks import mapping, usage

        usage.record_unavailable(mapping.flat(probed) or [], run_of)

    @task(map_index_template=NAMES)
    def extract_events(batch: Batch[ProbedOrganization], run_of: dict[str, str], units: list[tuple[str, str]]) -> int:
        """Land one organization's events."""
        from jumpcloud_elt.tasks import mapping, usage

        return mapping.each(batch, lambda one: usage.extract_events(one, run_of, units))

    @task(trigger_rule=TriggerRule.ALL_DONE)
    def choose_organizations_to_catch_up(
        probed: list[Batch[ProbedOrganization]] | None, run_of: dict[str, str]
    ) -> list[Batch[ProbedOrganization]]:
        """Of which organizations what lacks is to be read, in which order; of none in a backfill."""
        from jumpcloud_elt.tasks import mapping, usage

        context = get_current_context()
        return mapping.in_batches(
            usage.choose_organizations_to_catch_up(
                mapping.flat(probed) or [], run_of, context["dag_run"], context["params"]
            )
        )

    @task(map_index_template=NAMES)
    def catch_up(batch: Batch[ProbedOrganization], run_of: dict[str, str], units: list[tuple[str, str]]) -> int:
        """Land what lacks of one organization, newest first."""
        from jumpcloud_elt.tasks import mapping, usage

        return mapping.each(
            batch, lambda one: usage.catch_up_events(one, run_of, units, get_current_context()["dag_run"])
        )

    @task(trigger_rule=TriggerRule.ALL_DONE, outlets=[USAGE_LANDING])
    def record_run(
        listed: list[Organization] | None, units: list[tuple[str, str]] | None, run_of: dict[str, str]
    ) -> list[Failure]:
        """Write what happened, and tell the warehouse."""
        from jumpcloud_elt.tasks import usage

        return usage.record_usage_run(
            listed, run_of, units, event=get_current_context()["outlet_events"][USAGE_LANDING]
        )

    @task(trigger_rule=TriggerRule.ALL_DONE, retries=0)
    def report_failures(failures: list[Failure] | None) -> None:
        """Fail if any organization or any other task did."""
        from jumpcloud_elt.tasks import common

        common.report_failures(failures, get_current_context())

    @task(trigger_rule=TriggerRule.ALL_DONE, execution_timeout=NOTIFY_TIMEOUT)
    def notify(listed: list[Organization] | None, run_of: dict[str, str]) -> None:
        """Notify of new problems and of those that are over, each once."""
        from jumpcloud_elt.tasks import alerts

        alerts.notify_of_usage(listed, run_of)

    units = plan_units()
    listed = list_organizations()
    probed = probe_directory_insights(listed)
    extracted = extract_events.partial(run_of=RUN, units=units).expand(batch=probed)
    unavailable = usage_unavailable(probed, RUN)
    choose_usage_branch(probed) >> [extracted, unavailable]
    chosen = choose_organizations_to_catch_up(probed, RUN)
    extracted >> chosen
    caught_up = catch_up.partial(run_of=RUN, units=units).expand(batch=chosen)
    recorded = record_run(listed, units, RUN)
    reported = report_failures(recorded)
    # Side by side: notifying neither waits for the report nor hides that it failed. Where failed tasks alone are
    # cleared, record_run is not: the report waits for the others itself.
    [extracted, unavailable, caught_up] >> recorded >> [reported, notify(listed, RUN)]
    [extracted, unavailable, caught_up] >> reported


jumpcloud_usage_dag = jumpcloud_usage()
