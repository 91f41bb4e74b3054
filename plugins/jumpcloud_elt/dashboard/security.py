"""Who may look: people signed in to Airflow who may read the Dags that the data come from.

Airflow serves a plugin's app to anybody who asks; this is what stands before every one of its routes. Does not sign
anybody in.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep
from airflow.models.dag import DagModel
from fastapi import HTTPException

if TYPE_CHECKING:
    from airflow.api_fastapi.auth.managers.models.batch_apis import IsAuthorizedDagRequest

# What these land and build is what the pages show.
DAG_IDS = ("jumpcloud_directory", "jumpcloud_usage", "jumpcloud_warehouse")


class NotAllowedError(HTTPException):
    """Somebody is signed in, and may not look."""


def require_reader(user: GetUserDep) -> None:
    """Let somebody pass who may read all of these Dags.

    Raises HTTPException for nobody, NotAllowedError for anybody else.
    """
    requests: list[IsAuthorizedDagRequest] = [
        {"method": "GET", "details": DagDetails(id=dag_id, team_name=DagModel.get_team_name(dag_id))}
        for dag_id in DAG_IDS
    ]
    if not get_auth_manager().batch_is_authorized_dag(requests, user=user):
        raise NotAllowedError(403, "Your Airflow user may not read the JumpCloud Dags.")
