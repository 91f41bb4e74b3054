"""`JumpCloudHook`: Airflow's face of the client, for Dags of your own and for the Test button."""

from __future__ import annotations

from datetime import UTC, datetime

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.connections import check
from jumpcloud_elt.connections import report as reports

TESTED_ORGANIZATIONS = 5


class JumpCloudHook(JumpCloudClient):
    """Interact with one JumpCloud account.

    :param jumpcloud_conn_id: id of an Airflow connection of type ``jumpcloud``.
    :param settings: time limits and retry bounds; the ``[jumpcloud_elt]`` section where None.
    """

    def test_connection(self) -> tuple[bool, str]:
        """Airflow's Test button: whether every organization can be synced, and what the key can and cannot do.

        Looks into the first TESTED_ORGANIZATIONS only, for somebody is waiting; jumpcloud_check_connection looks
        into all.
        """
        settings = check.patient_for_seconds(self.settings)
        now = datetime.now(UTC).replace(tzinfo=None)
        with JumpCloudHook(self.jumpcloud_conn_id, settings) as hook:
            report = check.inspect_connection(hook, now, at_most=TESTED_ORGANIZATIONS)
        # The form tests under an id of the moment, which would tell nobody anything.
        message = reports.summarise(report).replace(f"onnection {self.jumpcloud_conn_id!r}", "onnection")
        return report.works, message
