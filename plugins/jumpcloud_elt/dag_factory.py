"""Makes Dags like the ready ones, several of a kind: each with its own connections, schedule, owner and callbacks.

    for region in ("us", "eu"):
        directory_dag(f"jumpcloud_{region}_directory", connections=[f"jumpcloud_{region}"], owner="it")

Read when a Dag file is parsed: imports nothing heavy, and reads settings only. Airflow finds the Dags in the file that
makes them, and reads a file only if it has the words *airflow* and *dag*. What the tasks do is in `operators`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from airflow.sdk import DAG, BaseOperator, TriggerRule, get_current_context, task

from jumpcloud_elt.core.assets import DIRECTORY_LANDING, USAGE_LANDING, USER_ACTION_LANDING
from jumpcloud_elt.core.dag_defaults import run_timeout, task_defaults
from jumpcloud_elt.core.intervals import timetable
from jumpcloud_elt.core.settings import Settings, other_options, settings_of_dags
from jumpcloud_elt.operators import (
    JumpCloudDirectoryOperator,
    JumpCloudUsageOperator,
    JumpCloudWarehouseOperator,
)

_TAGS = ("jumpcloud", "runs by itself")


def directory_dag(
    dag_id: str,
    *,
    schedule: str | None = None,
    connections: Sequence[str] | None = None,
    options: Mapping[str, str] | None = None,
    outlets: Sequence[Any] | None = None,
    owner: str | None = None,
    default_args: Mapping[str, Any] | None = None,
    **dag_arguments: Any,
) -> DAG:
    """A Dag that syncs the directory of the organizations that `connections` see.

    `schedule` is a cron expression, a preset or `none`, as the option `directory_schedule`, whose value it has where
    None. `connections`, `options` and `outlets` are the operator's; `owner` and `default_args` the tasks'. All other
    arguments are the DAG's own, such as `on_failure_callback`, `tags`, `dag_display_name`.
    """
    own = {**(options or {}), **({"directory_schedule": schedule} if schedule is not None else {})}
    settings = _settings(own)
    ticks = timetable(settings.directory_schedule, "directory_schedule")
    arguments = {"schedule": ticks, "max_active_runs": 1, **dag_arguments}
    with _dag(dag_id, settings, owner, default_args, arguments) as dag:
        _report(JumpCloudDirectoryOperator(**_given("sync_directory", own, outlets), connections=connections), own)
    return dag


def usage_dag(
    dag_id: str,
    *,
    schedule: str | None = None,
    connections: Sequence[str] | None = None,
    options: Mapping[str, str] | None = None,
    outlets: Sequence[Any] | None = None,
    owner: str | None = None,
    default_args: Mapping[str, Any] | None = None,
    **dag_arguments: Any,
) -> DAG:
    """A Dag that syncs the Directory Insights events of each interval of `schedule`; the arguments are those of
    `directory_dag`, with the option `usage_schedule`.
    """
    own = {**(options or {}), **({"usage_schedule": schedule} if schedule is not None else {})}
    settings = _settings(own)
    arguments = {"schedule": timetable(settings.usage_schedule, "usage_schedule"), **dag_arguments}
    with _dag(dag_id, settings, owner, default_args, arguments) as dag:
        _report(JumpCloudUsageOperator(**_given("sync_usage", own, outlets), connections=connections), own)
    return dag


def warehouse_dag(
    dag_id: str,
    *,
    schedule: Any = DIRECTORY_LANDING | USAGE_LANDING | USER_ACTION_LANDING,
    options: Mapping[str, str] | None = None,
    outlets: Sequence[Any] | None = None,
    owner: str | None = None,
    default_args: Mapping[str, Any] | None = None,
    **dag_arguments: Any,
) -> DAG:
    """A Dag that builds, checks and publishes the warehouse of one data root (`options`), one run at a time.

    `schedule` is Airflow's own: the landing assets, unless others are given. The other arguments are those of
    `directory_dag`. The ready Dag `jumpcloud_warehouse` does this for the configured data root.
    """
    own = dict(options or {})
    arguments = {"schedule": schedule, "max_active_runs": 1, **dag_arguments}
    with _dag(dag_id, _settings(own), owner, default_args, arguments, asks_jumpcloud=False) as dag:
        published = JumpCloudWarehouseOperator(**_given("publish_warehouse", own, outlets))

        @task(retries=0)
        def report_failures() -> None:
            from jumpcloud_elt.tasks import warehouse  # noqa: PLC0415 - heavy, and a Dag file is read all the time

            with other_options(own):
                warehouse.report_unpublished(get_current_context()["run_id"])

        published >> report_failures()
    return dag


def _settings(options: Mapping[str, str]) -> Settings:
    with other_options(options):
        return settings_of_dags()


def _dag(
    dag_id: str,
    settings: Settings,
    owner: str | None,
    default_args: Mapping[str, Any] | None,
    arguments: dict[str, Any],
    *,
    asks_jumpcloud: bool = True,
) -> DAG:
    given = {**task_defaults(settings, asks_jumpcloud=asks_jumpcloud), **(default_args or {})}
    return DAG(
        dag_id,
        **{
            "catchup": False,
            "dagrun_timeout": run_timeout(settings),
            "tags": list(_TAGS),
            "default_args": given | ({"owner": owner} if owner is not None else {}),
            **arguments,
        },
    )


def _given(task_id: str, options: dict[str, str], outlets: Sequence[Any] | None) -> dict[str, Any]:
    """What the factory's operators have in common: what fails them is told by a task of its own."""
    given = {"task_id": task_id, "options": options, "is_failed_by_organizations": False}
    return given if outlets is None else {**given, "outlets": list(outlets)}


def _report(sync: BaseOperator, options: dict[str, str]) -> None:
    """A task after the sync that fails, naming what failed: what has landed has been told by then."""

    @task(trigger_rule=TriggerRule.NONE_SKIPPED, retries=0)
    def report_failures(failures: list[Any] | None) -> None:
        from jumpcloud_elt.tasks import common  # noqa: PLC0415 - heavy, and a Dag file is read all the time

        with other_options(options):
            common.report_failures(failures, get_current_context())

    report_failures(sync.output)  # type: ignore[arg-type] # what a task returns is handed on
