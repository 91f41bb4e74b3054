"""Which organizations share a mapped task, what it is called, and what becomes of one that fails beside others."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.timezone import utcnow

from jumpcloud_elt.core.airflow_compat import (
    AirflowException,
    AirflowFailException,
    AirflowRescheduleException,
    AirflowSkipException,
)
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.tasks.mapping import LABEL_LENGTH, each, flat, in_batches


def organizations(*names: str) -> list[Organization]:
    return [
        Organization(
            connection_id="jc", organization_id=f"{number:024x}", organization_name=name, payload="{}", error=None
        )
        for number, name in enumerate(names)
    ]


@pytest.mark.parametrize(("count", "tasks"), [(0, 0), (1, 1), (1023, 1023), (1024, 1024), (1025, 1024), (5000, 1024)])
def test_each_organization_has_a_task_until_airflow_maps_no_more(count: int, tasks: int) -> None:
    listed = organizations(*(f"Org {number}" for number in range(count)))
    batches = in_batches(listed)
    assert len(batches) == tasks
    found = flat(batches)
    assert found is not None and sorted(found, key=listed.index) == listed
    assert max((len(batch["organizations"]) for batch in batches), default=0) == -(-count // 1024)
    assert len({batch["label"] for batch in batches}) == tasks


def test_as_many_tasks_as_airflow_is_configured_to_map(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__CORE__MAX_MAP_LENGTH", "2")
    batches = in_batches(organizations("Alpha", "Bravo", "Charlie"))
    assert [batch["label"] for batch in batches] == ["Alpha and 1 more", "Bravo"]


def test_nothing_was_made_where_the_task_before_failed() -> None:
    assert flat(None) is None


def test_a_name_is_shown_as_it_is_unless_it_is_too_long_or_not_the_only_one() -> None:
    long, longer = "ä" * LABEL_LENGTH, "ä" * (LABEL_LENGTH + 1)
    labels = [one["label"] for one in in_batches(organizations("Alpha", long, longer, longer + "b", "Twin", "Twin"))]
    assert labels[:2] == ["Alpha", long]
    assert labels[2:4] == ["ä" * 223 + f" ({number:024x})" for number in (2, 3)]
    assert labels[4:] == [f"Twin ({number:024x})" for number in (4, 5)]


RETRIED, LATER = AirflowException("try again"), AirflowRescheduleException(utcnow())
FAILED, SKIPPED = AirflowFailException("no"), AirflowSkipException("nothing to do")


@pytest.mark.parametrize(
    ("ends", "raised"),
    [
        ([1, 2, 3], None),
        ([1, SKIPPED, 2], None),
        ([SKIPPED, SKIPPED], SKIPPED),
        ([SKIPPED], SKIPPED),
        ([FAILED, 1, 2], FAILED),
        ([SKIPPED, FAILED], FAILED),
        ([FAILED, RETRIED, SKIPPED], RETRIED),
        ([FAILED, LATER, SKIPPED], LATER),
        ([OSError("the disk is full"), LATER], OSError),
    ],
)
def test_one_that_fails_leaves_the_others_of_its_task_to_be_done(ends: list[Any], raised: Any) -> None:
    [batch] = in_batches(organizations("x"))
    batch["organizations"] = organizations(*map(str, range(len(ends))))
    done = []

    def work(organization: Organization) -> int:
        end = ends[int(organization["organization_name"])]
        done.append(organization["organization_name"])
        if isinstance(end, Exception):
            raise end
        return int(end)

    if raised is None:
        assert each(batch, work) == sum(end for end in ends if isinstance(end, int))
    else:
        with pytest.raises(raised if isinstance(raised, type) else type(raised)):
            each(batch, work)
    assert done == [str(number) for number in range(len(ends))]
