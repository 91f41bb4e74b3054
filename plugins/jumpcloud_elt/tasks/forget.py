"""What the tasks of jumpcloud_forget do: find one person, erase them, finish."""

from __future__ import annotations

import logging
from typing import Any

from jumpcloud_elt.core.airflow_compat import AirflowSkipException
from jumpcloud_elt.privacy import forget
from jumpcloud_elt.tasks.common import or_fail, run_in_landing, settings_or_fail

log = logging.getLogger(__name__)


def find_person(params: dict[str, Any]) -> forget.Found:
    """How much has landed of the person whom the params name; nobody's name is in it, nor in the log."""
    settings = settings_or_fail()
    found = or_fail(lambda: forget.find(settings, params["organization_id"].lower(), params["target"].strip()))
    log.info("To be rewritten: %s", found)
    return found


def forget_person(params: dict[str, Any], run_of: dict[str, str], requested_by: str) -> forget.Found:
    """Rewrite what has landed of that person; return how much it was. Skipped where the run is dry."""
    if params["dry_run"]:
        raise AirflowSkipException("dry_run is true: nothing is changed. Run it with dry_run false to forget.")
    settings = settings_or_fail()
    organization_id, target = params["organization_id"].lower(), params["target"].strip()
    return or_fail(
        lambda: forget.forget(settings, organization_id, target, run_in_landing(settings, run_of), requested_by)
    )


def finish_forgetting(params: dict[str, Any]) -> None:
    """Fail unless nothing of the person is left; then let go of what was kept to be able to go on."""
    settings = settings_or_fail()
    or_fail(lambda: forget.finish(settings, params["organization_id"].lower(), params["target"].strip()))
