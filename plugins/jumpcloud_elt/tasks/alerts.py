"""What the task `notify` of the syncing Dags does: send notifications of new and of resolved problems."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from airflow.sdk import get_current_context

from jumpcloud_elt.alerts import notify, problems
from jumpcloud_elt.connections import organizations
from jumpcloud_elt.core.airflow_compat import AirflowSkipException
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import JumpCloudError
from jumpcloud_elt.tasks.common import run_in_landing, settings_or_fail

log = logging.getLogger(__name__)


def notify_of_directory(listed: Sequence[Organization] | None, run_of: dict[str, str], *, is_restricted: bool) -> None:
    """Tell the people whom the configuration names what has gone wrong since they were last told, and what is well.

    Skipped, saying why, where a notifier fails: the sync is as it is, and the next run tries again.
    """
    settings = settings_or_fail()
    if listed is None:
        view = problems.of_nothing(_why_nothing_is_listed())
    else:
        outcomes = run_in_landing(settings, run_of).read_manifest()
        view = problems.of_directory(listed, outcomes, utc_now(), is_restricted=is_restricted)
    _tell(settings, run_of, view)


def notify_of_usage(listed: Sequence[Organization] | None, run_of: dict[str, str]) -> None:
    """As `tell_of_directory`; of a run that could not begin the directory's next run tells."""
    if listed is None:
        raise AirflowSkipException("Nothing was tried; jumpcloud_directory tells why.")
    settings = settings_or_fail()
    _tell(settings, run_of, problems.of_usage(listed, run_in_landing(settings, run_of).read_manifest()))


def _why_nothing_is_listed() -> str:
    """What listing the organizations says now: what its task said is in that task's log only."""
    try:
        organizations.discover_organizations(settings_or_fail())
    except JumpCloudError as error:
        return str(error)
    return "The organizations could not be listed; see the log of list_organizations."


def _tell(settings: Settings, run_of: dict[str, str], view: problems.View) -> None:
    failures = notify.notify(settings, run_of["dag_id"], view, dict(get_current_context()))
    if failures:
        told = "\n".join(f"- {one}" for one in failures)
        log.error("Not everybody could be told; the next run tries again:\n%s", told)
        raise AirflowSkipException(f"Not everybody could be told; the next run tries again:\n{told}")
