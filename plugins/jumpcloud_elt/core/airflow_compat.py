"""Names that have moved between the supported versions of Airflow (3.1 to 3.3).

The only module that knows which Airflow has a name where; all others import these names from here. What lives in one
place in every supported version is imported from Airflow itself.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow import __version__

AIRFLOW_VERSION = tuple(int(part) for part in __version__.split(".")[:2])

if TYPE_CHECKING or AIRFLOW_VERSION >= (3, 2):
    from airflow.sdk import CronDataIntervalTimetable
    from airflow.sdk.configuration import conf
    from airflow.sdk.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowSkipException,
        AirflowTaskTimeout,
        DownstreamTasksSkipped,
    )
else:
    from airflow.configuration import conf
    from airflow.exceptions import (
        AirflowException,
        AirflowFailException,
        AirflowNotFoundException,
        AirflowRescheduleException,
        AirflowSkipException,
        AirflowTaskTimeout,
        DownstreamTasksSkipped,
    )
    from airflow.timetables.interval import CronDataIntervalTimetable

# `retry_exponential_backoff`: the factor by which each pause is longer than the last; a switch in Airflow 3.1.
DOUBLED_RETRY_DELAYS: float = 2.0 if AIRFLOW_VERSION >= (3, 2) else True

__all__ = [
    "AIRFLOW_VERSION",
    "DOUBLED_RETRY_DELAYS",
    "AirflowException",
    "AirflowFailException",
    "AirflowNotFoundException",
    "AirflowRescheduleException",
    "AirflowSkipException",
    "AirflowTaskTimeout",
    "CronDataIntervalTimetable",
    "DownstreamTasksSkipped",
    "conf",
]
