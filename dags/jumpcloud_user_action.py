"""
### JumpCloud: act on users

One action on one or more users of one organization, started by hand. **A dry run is the default**: it shows in the log
of `plan_action`, and in the table `user_actions`, what would be called for whom, and calls nothing that writes. With
`dry_run` switched off the action is done.

- The connection must say *Permission: read_and_act*. Everything that is wrong is named at once, before any call.
- Users are named by `targets` (user ids, user names, e-mails) or found by `filters` over the published warehouse:
  `unused_days`, `status`, `role`, `group`, `department`, `lifecycle`.
- `delete`, and more users than configured, wait for an **approval** (task `approve`, *Required actions*), which names
  everybody. Rejected, or not answered in time, nothing is done.
- Each user is looked at again right before the call. What is so already is not called again, so a run that failed
  halfway is finished by running it again with the same params.

Afterwards the organization's directory is synced, and the warehouse built.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from airflow.sdk import Param, TriggerRule, dag, get_current_context, task

from jumpcloud_elt.actions.operator import ANSWER, AnsweredApproval
from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_elt.core.assets import USER_ACTION_LANDING
from jumpcloud_elt.core.dag_defaults import run_timeout, task_defaults
from jumpcloud_elt.core.settings import settings_of_dags

RUN = {"dag_id": "{{ dag.dag_id }}", "run_id": "{{ run_id }}"}
SETTINGS = settings_of_dags()
APPROVERS = [{"id": one, "name": one} for one in SETTINGS.actions_approvers]


@dag(
    dag_display_name="JumpCloud, by hand: act on users",
    schedule=None,
    catchup=False,
    dagrun_timeout=run_timeout(SETTINGS, waits_hours=SETTINGS.actions_approval_timeout_hours),
    doc_md=__doc__,
    tags=["jumpcloud", "by hand", "changes JumpCloud"],
    default_args=task_defaults(SETTINGS),
    params={
        "connection_id": Param(
            SETTINGS.connections[0] if len(SETTINGS.connections) == 1 else None,
            type=["null", "string"],
            maxLength=250,
            title="Connection",
            description="Airflow connection (type JumpCloud) with Permission read_and_act.",
        ),
        "organization_id": Param(
            type="string",
            pattern="^[0-9a-fA-F]{24}$",
            title="Organization",
            description="The organization (id of 24 hexadecimal digits). Every user must belong to it.",
        ),
        "action": Param(type="string", enum=list(ACTIONS), title="Action", description="What is done to the users."),
        "dry_run": Param(
            True, type="boolean", title="Dry run", description="Show what would be called for whom, and change nothing."
        ),
        "targets": Param(
            [],
            type=["array", "null"],
            items={"type": "string", "minLength": 1},
            title="Users",
            description="User ids, user names or e-mails, one per line. Empty for create, and with filters.",
            section="Whom",
        ),
        "filters": Param(
            {},
            type=["object", "null"],
            title="Filters",
            description_md="Instead of users: all who are so in the published warehouse, such as "
            '`{"unused_days": 90, "status": "active"}`. Allowed: `unused_days` (a number); `status`, `role`, `group`, '
            "`department`, `lifecycle` (a text, or a list of which any will do). All that are given must hold.",
            section="Whom",
        ),
        "fields": Param(
            {},
            type=["object", "null"],
            title="Fields",
            description_md="`create`, `update`: profile fields under JumpCloud's names, such as "
            '`{"username": "ada.lovelace", "email": "ada@example.com", "firstname": "Ada"}`. `delete` of a manager: '
            '`{"cascade_manager": null}`, or the next manager. `activate`: `{"email": false}` sends no e-mail. '
            '`reset_mfa`: `{"exclusionDays": 3}`.',
            section="What",
        ),
        "group": Param(
            None,
            type=["null", "string"],
            title="Group",
            description="add_to_group, remove_from_group: id or name of the user group.",
            section="What",
        ),
    },
)
def jumpcloud_user_action() -> None:
    @task
    def plan_action(run_of: dict[str, str]) -> dict[str, Any]:
        """Check what was asked for, find whom it is about, and look at everybody. Changes nothing."""
        from jumpcloud_elt.tasks import user_action

        context = get_current_context()
        requested_by = context["dag_run"].triggering_user_name or "somebody without a name"
        return user_action.plan_action(context["params"], run_of, requested_by)

    @task.branch
    def choose_path(planned: dict[str, Any]) -> str:
        """Ask for an approval where one is needed."""
        from jumpcloud_elt.tasks import user_action

        return user_action.choose_path(planned, "approve", "act")

    # Asked once: no answer is not an error that may heal.
    approve = AnsweredApproval(
        task_id="approve",
        subject="{{ ti.xcom_pull(task_ids='plan_action')['subject'] }}",
        body="{{ ti.xcom_pull(task_ids='plan_action')['body'] }}",
        response_timeout=timedelta(hours=SETTINGS.actions_approval_timeout_hours),
        assigned_users=APPROVERS or None,
        retries=0,
    )

    # Runs may wait for an approval beside each other; they act, and sync, in turn.
    @task(trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, max_active_tis_per_dag=1)
    def act(planned: dict[str, Any]) -> dict[str, int]:
        """Look at each user again, and call what is to be called."""
        from jumpcloud_elt.tasks import user_action

        context = get_current_context()
        approval = context["ti"].xcom_pull(task_ids="approve", key=ANSWER)
        return user_action.act(planned, approval, context["ti"].try_number)

    @task(trigger_rule=TriggerRule.ALL_DONE, max_active_tis_per_dag=1)
    def sync_directory(planned: dict[str, Any] | None, run_of: dict[str, str]) -> int:
        """Land a new snapshot of the organization, if anything was changed."""
        from jumpcloud_elt.tasks import user_action

        return user_action.sync_directory(planned, run_of)

    @task(trigger_rule=TriggerRule.ALL_DONE, outlets=[USER_ACTION_LANDING])
    def record_outcomes(planned: dict[str, Any] | None) -> int:
        """Record what was not begun, and tell the warehouse."""
        from jumpcloud_elt.tasks import user_action

        context = get_current_context()
        approval = context["ti"].xcom_pull(task_ids="approve", key=ANSWER)
        event = context["outlet_events"][USER_ACTION_LANDING]
        return user_action.record_outcomes(
            planned, approval, str(context["params"]["organization_id"]), context["run_id"], event
        )

    @task(trigger_rule=TriggerRule.ALL_DONE, retries=0)
    def report(planned: dict[str, Any] | None) -> str:
        """Say what was done and what was not; fail unless everything was."""
        from jumpcloud_elt.tasks import common, user_action

        context = get_current_context()
        approval = context["ti"].xcom_pull(task_ids="approve", key=ANSWER)
        told = user_action.report(planned, approval, str(context["params"]["organization_id"]), context["run_id"])
        common.fail_unless_all_ran(context)
        return told

    planned = plan_action(RUN)
    acted = act(planned)
    choose_path(planned) >> [approve, acted]
    approve >> acted >> sync_directory(planned, RUN) >> record_outcomes(planned) >> report(planned)


jumpcloud_user_action_dag = jumpcloud_user_action()
