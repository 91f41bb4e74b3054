"""Organizations as mapped tasks: one each, under its name, as far as Airflow maps tasks; beyond, several share a task.

One that fails or is skipped leaves the others of its task to be done.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Generic, TypedDict, TypeVar

from jumpcloud_elt.core.airflow_compat import (
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
    conf,
)
from jumpcloud_elt.core.organization import Organization

log = logging.getLogger(__name__)

# What a mapped task is called is cut by no database: Postgres refuses a longer text, and with it the task.
LABEL_LENGTH = 250

_Organization = TypeVar("_Organization", bound=Organization)


class Batch(TypedDict, Generic[_Organization]):
    """The organizations of one mapped task, nearly always one, and what Airflow shows the task as."""

    label: str
    organizations: list[_Organization]


def in_batches(organizations: Sequence[_Organization]) -> list[Batch[_Organization]]:
    """One mapped task for each organization; of more than `[core] max_map_length`, so many tasks, evenly filled."""
    names = Counter(one["organization_name"] for one in organizations)
    size = min(len(organizations), conf.getint("core", "max_map_length", fallback=1024))
    batches = [organizations[first::size] for first in range(size)]
    return [Batch(label=_label(batch, names), organizations=list(batch)) for batch in batches]


def flat(batches: Sequence[Batch[_Organization]] | None) -> list[_Organization] | None:
    """The organizations of all batches; None where the task that makes them has failed."""
    return None if batches is None else [one for batch in batches for one in batch["organizations"]]


def each(batch: Batch[_Organization], work: Callable[[_Organization], int]) -> int:
    """The sum of `work` of every organization of a mapped task.

    Raises what `work` raised. Where several did: what Airflow tries again before what it does not, and
    AirflowSkipException only where every organization is skipped.
    """
    rows, raised = 0, []
    for organization in batch["organizations"]:
        try:
            rows += work(organization)
        except Exception as error:
            raised.append(error)
            if len(batch["organizations"]) > 1:
                log.warning("%s: %s", organization["organization_name"], error)
    skipped = [error for error in raised if isinstance(error, AirflowSkipException)]
    if len(raised) > len(skipped) or len(skipped) == len(batch["organizations"]):
        raise min(raised, key=_urgency)
    return rows


def _urgency(error: Exception) -> int:
    later = (AirflowRescheduleException, AirflowFailException, AirflowSkipException)
    return next((place for place, kind in enumerate(later, start=1) if isinstance(error, kind)), 0)


def _label(batch: Sequence[_Organization], names: Counter[str]) -> str:
    """A name of its own, no longer than Airflow can keep."""
    first = batch[0]
    name = first["organization_name"]
    ending = f" and {len(batch) - 1} more" if len(batch) > 1 else ""
    if names[name] > 1 or len(name + ending) > LABEL_LENGTH:
        ending = f" ({first['organization_id'] or first['connection_id']})"[: LABEL_LENGTH // 2] + ending
    return name[: LABEL_LENGTH - len(ending)] + ending
