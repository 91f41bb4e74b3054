"""What the mapped task of jumpcloud_directory does: land one snapshot of one organization."""

from __future__ import annotations

from collections.abc import Sequence

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.connections import capabilities
from jumpcloud_elt.core.airflow_compat import AirflowRescheduleException
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.errors import JumpCloudError
from jumpcloud_elt.extract import directory
from jumpcloud_elt.landing.manifests import Outcome
from jumpcloud_elt.landing.snapshots import Accepted
from jumpcloud_elt.tasks.common import DIRECTORY, leaving_outcomes, settings_or_fail


def extract_directory(
    organization: Organization, run_of: dict[str, str], accept_drop: Sequence[str] = (), own: Accepted | None = None
) -> int:
    """Land one snapshot of an organization, and what can be done with it; return the number of rows.

    `accept_drop` names the organizations (by id) of which this run accepts whatever is missing; `own` is what it has
    removed itself.
    """
    settings = settings_or_fail()

    unread: dict[str, JumpCloudError] = {}

    def extract(client: JumpCloudClient) -> list[Outcome]:
        is_accepted = str(organization["organization_id"]) in [one.lower() for one in accept_drop]
        accepted = Accepted(run_of["run_id"], is_everything=True) if is_accepted else own
        return directory.land_directory(client, organization, settings, accepted, unread)

    def land_capabilities(*, is_synced: bool) -> None:
        # One that was asked for and that nobody sees has no connection.
        if organization["organization_id"] and organization["connection_id"]:
            capabilities.land_capabilities(settings, organization, run_of["run_id"], is_synced=is_synced, unread=unread)

    try:
        outcomes = leaving_outcomes(organization, run_of, DIRECTORY, settings, extract)
    except AirflowRescheduleException:
        # JumpCloud asked for a pause.
        raise
    except Exception:
        # Not where Airflow ends the task, which is no `Exception`: there is no time left to ask.
        land_capabilities(is_synced=False)
        raise
    land_capabilities(is_synced=True)
    return sum(outcome.rows or 0 for outcome in outcomes)
