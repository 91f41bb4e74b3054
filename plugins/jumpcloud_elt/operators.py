"""Operators for Dags of your own: sync the directory, sync usage, build the warehouse, each in one task.

    JumpCloudDirectoryOperator(task_id="directory", connections=["jumpcloud_eu"])
        >> JumpCloudWarehouseOperator(task_id="warehouse")

The ready Dags show each organization as a task; these sync them in turn, one after the other. They land, record and
check exactly as the ready Dags do. `dag_factory` makes whole Dags of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from jumpcloud_elt.core.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)
from jumpcloud_elt.core.assets import DIRECTORY_LANDING, USAGE_LANDING, WAREHOUSE
from jumpcloud_elt.core.settings import other_options
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.provider_info import CONFIG

if TYPE_CHECKING:
    from jumpcloud_elt.core.organization import Organization
    from jumpcloud_elt.tasks.common import Failure

_OPTIONS = frozenset(CONFIG["jumpcloud_elt"]["options"])


class _Event:
    """Keeps what an asset event will say, until it is known whether there is one."""

    extra: dict[str, Any]


class _Operator(BaseOperator):
    """What the operators have in common.

    :param connections: ids of the Airflow connections (type JumpCloud); those of the configuration where None.
    :param options: other options of the section ``[jumpcloud_elt]``, as texts, for this task alone, such as
        ``{"data_root": "s3://bucket/eu"}``. Raises ConfigurationError for a name that is no option.
    """

    template_fields: Sequence[str] = ("connections", "options")

    def __init__(
        self,
        *,
        connections: Sequence[str] | None = None,
        options: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        unknown = sorted(set(options or ()) - _OPTIONS)
        if unknown:
            raise ConfigurationError(f"options: {', '.join(unknown)} given; allowed: {', '.join(sorted(_OPTIONS))}")
        self.connections = connections
        self.options = options

    def execute(self, context: Any) -> Any:
        """Do the work, with the task's own connections and options."""
        given = dict(self.options or {})
        if self.connections is not None:
            given["connections"] = ",".join(self.connections)
        with other_options(given):
            return self.run_task(context)

    def run_task(self, context: Any) -> Any:
        """What `execute` does with the options in force."""
        raise NotImplementedError

    def run_of(self, context: Any) -> dict[str, str]:
        """Under what the task's outcomes are recorded: two tasks of one run have a manifest each."""
        return {"dag_id": context["ti"].dag_id, "run_id": context["run_id"], "task_id": self.task_id}

    def tell_assets(self, context: Any, extra: dict[str, Any]) -> None:
        """Set the extra of the events of all outlets."""
        for asset in self.outlets:
            context["outlet_events"][asset].extra = extra


class _SyncOperator(_Operator):
    """What the two syncing operators have in common.

    :param is_failed_by_organizations: whether the task fails, once all others have landed, where an organization could
        not be synced. Where False it succeeds, emits its asset, and returns the organizations that failed: for a task
        after it that fails, so that what has landed is built all the same.
    """

    def __init__(self, *, is_failed_by_organizations: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.is_failed_by_organizations = is_failed_by_organizations

    def sync_each(self, context: Any, listed: Sequence[Organization], sync: Callable[[Any], object]) -> None:
        """Sync one organization after the other; then raise what makes Airflow try the task again, if anything does.

        What cannot heal is in the manifest, and raises nothing here.
        """
        from jumpcloud_elt.tasks import common  # noqa: PLC0415

        again: AirflowException | None = None
        for organization in listed:
            try:
                sync(organization)
            except AirflowSkipException as skipped:
                self.log.info("%s", skipped)
            except AirflowRescheduleException as put_off:
                again = put_off
            except AirflowFailException as failed:
                self.log.error("%s", failed)
            except AirflowException as failed:
                self.log.error("%s", failed)
                if not common.is_last_try(context):
                    again = again or failed
        if again is not None:
            raise again

    def finish(self, context: Any, failures: list[Failure], extra: Mapping[str, Any]) -> list[Failure]:
        """Fail, or return the failures, as was asked for; skipped where nothing has landed and nothing failed."""
        if failures and (self.is_failed_by_organizations or not extra["organizations"]):
            told = "\n".join(f"- {one['organization_name']}: {one['reason']}" for one in failures)
            raise AirflowFailException(f"{len(failures)} failed; all others have landed:\n{told}")
        if not extra["organizations"]:
            raise AirflowSkipException("Nothing has landed: no organization has anything to read.")
        self.tell_assets(context, dict(extra))
        return failures


class JumpCloudDirectoryOperator(_SyncOperator):
    """Land one snapshot of every organization, one after the other, as `jumpcloud_directory` does.

    :param organization_ids: only these; all that the connections see where empty.
    :param accept_drop: organizations whose snapshot is accepted although the drift guard would hold it.

    Returns the organizations that failed (`organization_name`, `reason`). Emits ``jumpcloud_directory_landing``, with
    what has landed in the event's `extra`, unless `outlets` names other assets. A run with connections or
    organization_ids of its own makes no organization `stale` that it does not see.
    """

    template_fields: Sequence[str] = (*_Operator.template_fields, "organization_ids", "accept_drop")

    def __init__(self, *, organization_ids: Sequence[str] = (), accept_drop: Sequence[str] = (), **kwargs: Any) -> None:
        super().__init__(**{"outlets": [DIRECTORY_LANDING], **kwargs})
        self.organization_ids = organization_ids
        self.accept_drop = accept_drop

    def run_task(self, context: Any) -> list[Failure]:
        from jumpcloud_elt.tasks import common, directory  # noqa: PLC0415 - heavy, and a Dag file is read all the time

        run_of, event = self.run_of(context), _Event()
        listed = common.list_organizations(
            self.organization_ids, with_credentials=True, is_last_try=common.is_last_try(context)
        )
        self.sync_each(context, listed, lambda one: directory.extract_directory(one, run_of, self.accept_drop))
        is_restricted = self.connections is not None or bool(self.organization_ids)
        failures = common.record_run(listed, run_of, common.DIRECTORY, is_restricted=is_restricted, event=event)
        return self.finish(context, failures, event.extra)


class JumpCloudUsageOperator(_SyncOperator):
    """Land the Directory Insights events of one interval for every organization, as `jumpcloud_usage` does.

    :param start: from this time (UTC, ISO 8601), with `end`; without both the run's data interval, else the last
        complete interval of `usage_schedule`.
    :param end: up to, not including, this time.

    Scheduled runs, and runs by hand without interval, catch up afterwards, for `usage_catch_up_minutes`. Returns the
    organizations that failed. Emits ``jumpcloud_usage_landing``, with what has landed in the event's `extra`, unless
    `outlets` names other assets. Skipped where no organization has Directory Insights.
    """

    template_fields: Sequence[str] = (*_Operator.template_fields, "start", "end")

    def __init__(self, *, start: str | None = None, end: str | None = None, **kwargs: Any) -> None:
        super().__init__(**{"outlets": [USAGE_LANDING], **kwargs})
        self.start = start
        self.end = end

    def run_task(self, context: Any) -> list[Failure]:
        from jumpcloud_elt.tasks import common, usage  # noqa: PLC0415 - heavy, and a Dag file is read all the time

        run_of, event, dag_run = self.run_of(context), _Event(), context["dag_run"]
        asked_for = {"start": self.start, "end": self.end}
        units = usage.plan_units(dag_run, asked_for)
        listed = common.list_organizations([], is_last_try=common.is_last_try(context))
        probed = usage.probe_directory_insights(listed)
        self.sync_each(context, probed, lambda one: usage.extract_events(one, run_of, units))
        chosen = usage.choose_organizations_to_catch_up(probed, run_of, dag_run, asked_for)
        self.sync_each(context, chosen, lambda one: usage.catch_up_events(one, run_of, units, dag_run))
        failures = usage.record_usage_run(
            listed, run_of, units, is_restricted=self.connections is not None, event=event
        )
        return self.finish(context, failures, event.extra)


class JumpCloudWarehouseOperator(_Operator):
    """Build the warehouse of a data root aside, check it and swap it in, as `jumpcloud_warehouse` does.

    :param rebuild_runs: first record what lies in landing and no run has recorded.
    :param is_failed_by_organizations: whether the task fails, once all is published, where a file is damaged or an
        organization's rows broke a check.

    Returns the path of the published file. Emits ``jumpcloud_warehouse`` unless `outlets` names other assets. One at a
    time for each data root: give its Dag ``max_active_runs=1``.
    """

    template_fields: Sequence[str] = (*_Operator.template_fields, "rebuild_runs")

    def __init__(self, *, rebuild_runs: bool = False, is_failed_by_organizations: bool = True, **kwargs: Any) -> None:
        super().__init__(**{"outlets": [WAREHOUSE], **kwargs})
        self.rebuild_runs = rebuild_runs
        self.is_failed_by_organizations = is_failed_by_organizations

    def run_task(self, context: Any) -> str:
        from jumpcloud_elt.tasks import warehouse  # noqa: PLC0415 - heavy, and a Dag file is read all the time

        built = warehouse.build_warehouse(context["run_id"], rebuild_runs=bool(self.rebuild_runs))
        event = _Event()
        published = warehouse.publish_warehouse(warehouse.check_warehouse(built), event)
        self.tell_assets(context, event.extra)
        try:
            warehouse.prune_snapshots()
        except AirflowSkipException as skipped:
            self.log.info("%s", skipped)
        if self.is_failed_by_organizations:
            warehouse.report_unpublished(context["run_id"])
        return published
