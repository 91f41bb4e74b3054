"""What the task of jumpcloud_check_connection does: log what a connection can and cannot do."""

from __future__ import annotations

import logging

from jumpcloud_elt.connections import check
from jumpcloud_elt.connections import report as connection_check_report
from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.tasks.common import settings_or_fail

log = logging.getLogger(__name__)


def check_connection(connection_id: str) -> str:
    """Log what a connection can do, and return it. Fails where an organization of it could not be synced."""
    report = check.inspect_connection(connection_id, check.patient_for_seconds(settings_or_fail()), utc_now())
    text = connection_check_report.as_text(report)
    if not report.works:
        raise AirflowFailException(text)
    log.info("%s", text)
    return text
