"""What all Dags give their runs and tasks: owner, retries with growing pauses, and time limits.

Read when a Dag file is parsed: imports nothing heavy, and reads settings only.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from jumpcloud_elt.core.airflow_compat import DOUBLED_RETRY_DELAYS
from jumpcloud_elt.core.settings import Settings

# Telling people must not take as long as what they are told of.
NOTIFY_TIMEOUT = timedelta(minutes=10)


def task_defaults(settings: Settings, *, asks_jumpcloud: bool = True) -> dict[str, Any]:
    """The `default_args` of a Dag. Tasks that ask JumpCloud share the configured pool."""
    defaults = {
        "owner": "jumpcloud_elt",
        "retries": 3,
        "retry_delay": timedelta(seconds=30),
        "retry_exponential_backoff": DOUBLED_RETRY_DELAYS,
        "max_retry_delay": timedelta(minutes=15),
        "execution_timeout": timedelta(minutes=settings.task_timeout_minutes),
    }
    return defaults | {"pool": settings.pool} if asks_jumpcloud else defaults


def run_timeout(settings: Settings, *, waits_hours: float = 0) -> timedelta:
    """The `dagrun_timeout` of a Dag whose runs may also wait so long for somebody."""
    return timedelta(hours=settings.run_timeout_hours + waits_hours)
