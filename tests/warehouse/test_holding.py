"""An organization whose rows break a check is shown as it was last; every other is published new."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.files import METADATA_KEY
from jumpcloud_elt.reading import MARTS
from jumpcloud_elt.tasks import warehouse as tasks_warehouse
from jumpcloud_elt.warehouse import holding
from jumpcloud_elt.warehouse.checks import Violation
from jumpcloud_sandbox.client import Sandbox
from support.evolving import ORGANIZATIONS
from support.expectations import Snapshot
from support.pipeline import (
    Row,
    assert_warehouse_is,
    query,
    run_warehouse,
)
from support.worlds import DAY, FIRST_DAY, insights_of, units_of

BROKEN, OTHER = ORGANIZATIONS
ORGANIZATION_MARTS = [mart for mart in MARTS if mart not in ("warehouse_info",)]
BY_ORGANIZATION = "select * from {} where organization_id = '{}' order by all"


@pytest.fixture
def sabotage(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Makes the checks find that users of these organizations are as the build made them, where there are any."""

    def find(*organization_ids: str | None) -> None:
        def find_broken(connection: duckdb.DuckDBPyConnection, settings: Settings) -> list[Violation]:
            ((run_id,),) = connection.execute("select run_id from warehouse_info").fetchall()
            found = []
            for one in organization_ids:
                shown = connection.execute(
                    "select organization_id from users inner join organizations using (organization_id) "
                    "where organization_id = ? and coalesce(sync_message, '') not like 'Shown as it was last%'",
                    [one],
                ).fetchall()
                if shown or one is None:
                    found.append(Violation(one, "planted", f"planted in {run_id}"))
            return found

        monkeypatch.setattr(holding, "find_broken", find_broken)

    return find


def of(warehouse: Path, organization_id: str) -> dict[str, list[Row]]:
    rows = {mart: query(warehouse, BY_ORGANIZATION.format(mart, organization_id)) for mart in ORGANIZATION_MARTS}
    for row in rows["organizations"]:
        del row["sync_status"], row["sync_message"]
    return rows


def status_of(warehouse: Path, organization_id: str) -> tuple[str, str]:
    (row,) = query(warehouse, f"from organizations where organization_id = '{organization_id}'")
    return row["sync_status"], row["sync_message"]


def test_a_broken_organization_is_as_it_was_last_and_the_other_is_new(
    step: Callable[[int], list[Snapshot]], sabotage: Callable[..., None], settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = step(0)
    warehouse = run_warehouse("good")
    before = {one: of(warehouse, one) for one in ORGANIZATIONS}
    assert before[BROKEN]["users"] and before[BROKEN]["usage_daily"] and before[BROKEN]["sync_log"]
    snapshots += step(1)
    sabotage(BROKEN)
    for number in range(2):
        warehouse = run_warehouse(f"broken-{number}")
        assert of(warehouse, BROKEN) == before[BROKEN]
        after = of(warehouse, OTHER)
        assert after["users"] != before[OTHER]["users"] and len(after["usage_coverage"]) == 2
        status, message = status_of(warehouse, BROKEN)
        assert status == "failed" and f"planted in broken-{number}" in message
        assert status_of(warehouse, OTHER) == ("ok", None)
        with pytest.raises(AirflowFailException, match=f"planted in broken-{number}"):
            tasks_warehouse.report_unpublished(f"broken-{number}")
    sabotage()
    warehouse = run_warehouse("mended")
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 2 * DAY), insights_of(sandbox))
    assert status_of(warehouse, BROKEN) == ("ok", None)
    tasks_warehouse.report_unpublished("mended")


def test_an_organization_that_was_never_published_is_left_with_its_name(
    step: Callable[[int], list[Snapshot]], sabotage: Callable[..., None], settings: Settings
) -> None:
    step(0)
    sabotage(BROKEN)
    warehouse = run_warehouse("first")
    left = of(warehouse, BROKEN)
    assert {mart for mart, rows in left.items() if rows} == {"organizations"}
    assert status_of(warehouse, BROKEN)[0] == "failed"
    assert of(warehouse, OTHER)["users"]


def test_what_somebody_writes_into_the_published_file_is_not_what_an_organization_was_last(
    step: Callable[[int], list[Snapshot]], sabotage: Callable[..., None], settings: Settings
) -> None:
    step(0)
    warehouse = run_warehouse("good")
    before = of(warehouse, BROKEN)
    warehouse.chmod(0o644)
    with contextlib.closing(duckdb.connect(str(warehouse))) as connection:
        connection.execute("update users set department = 'planted'")
    sabotage(BROKEN)
    assert of(run_warehouse("broken"), BROKEN) == before


def test_both_may_be_broken(
    step: Callable[[int], list[Snapshot]], sabotage: Callable[..., None], settings: Settings
) -> None:
    step(0)
    warehouse = run_warehouse("good")
    before = {one: of(warehouse, one) for one in ORGANIZATIONS}
    step(1)
    sabotage(*ORGANIZATIONS)
    warehouse = run_warehouse("broken")
    assert {one: of(warehouse, one) for one in ORGANIZATIONS} == before
    with pytest.raises(AirflowFailException) as raised:
        tasks_warehouse.report_unpublished("broken")
    assert str(raised.value).count("planted in broken") == 2


def test_what_no_organization_explains_is_not_published(
    step: Callable[[int], list[Snapshot]], sabotage: Callable[..., None], settings: Settings
) -> None:
    step(0)
    warehouse = run_warehouse("good")
    published, state = warehouse.read_bytes(), (warehouse.parent / "state" / warehouse.name).read_bytes()
    step(1)
    sabotage(BROKEN, None)
    built = tasks_warehouse.build_warehouse("bad")
    with pytest.raises(AirflowFailException, match="not published: the warehouse's checks found\nplanted in bad"):
        tasks_warehouse.check_warehouse(built)
    assert warehouse.read_bytes() == published
    assert (warehouse.parent / "state" / warehouse.name).read_bytes() == state


def test_a_check_that_is_killed_and_tried_again_still_says_what_it_found(
    step: Callable[[int], list[Snapshot]], sabotage: Callable[..., None], settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    step(0)
    run_warehouse("good")
    sabotage(BROKEN)
    built = tasks_warehouse.build_warehouse("killed")
    let_go_of = holding.state_file.let_go_of

    def killed(*arguments: object) -> None:
        let_go_of(*arguments)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(holding.state_file, "let_go_of", killed)
        with pytest.raises(KeyboardInterrupt):
            tasks_warehouse.check_warehouse(built)
    warehouse = Path(tasks_warehouse.publish_warehouse(tasks_warehouse.check_warehouse(built)))
    assert status_of(warehouse, BROKEN)[0] == "failed"
    with pytest.raises(AirflowFailException, match="planted in killed"):
        tasks_warehouse.report_unpublished("killed")


def test_usage_that_does_not_add_up_holds_its_organization_whatever_is_rolled_up_by_now(
    step: Callable[[int], list[Snapshot]], settings: Settings
) -> None:
    step(0)
    before = of(run_warehouse("good"), BROKEN)
    step(1)
    built = tasks_warehouse.build_warehouse("spoilt")
    with contextlib.closing(duckdb.connect(built)) as connection:
        connection.execute(f"update usage_daily set successes = successes + 1 where organization_id = '{BROKEN}'")
    warehouse = Path(tasks_warehouse.publish_warehouse(tasks_warehouse.check_warehouse(built)))
    assert of(warehouse, BROKEN) == before
    assert "check_rollups: " in status_of(warehouse, BROKEN)[1]
    assert status_of(warehouse, OTHER) == ("ok", None)


@pytest.mark.parametrize("has_last", [True, False])
def test_a_file_that_lost_rows_holds_its_organization_until_it_has_them_again(
    has_last: bool, step: Callable[[int], list[Snapshot]], settings: Settings, sandbox: Sandbox
) -> None:
    snapshots = step(0)
    before = of(run_warehouse("good"), BROKEN) if has_last else {}
    snapshots += step(1)
    last = max(settings.landing.glob(f"systemusers/organization_id={BROKEN}/*/*.parquet"))
    whole = last.read_bytes()
    file = pq.ParquetFile(last)
    rows, metadata = file.read(), {key: file.metadata.metadata[key] for key in [METADATA_KEY]}
    last.unlink()
    with pq.ParquetWriter(last, file.schema_arrow) as writer:
        writer.write_table(rows.slice(1))
        writer.add_key_value_metadata(metadata)
    for number in range(2):
        warehouse = run_warehouse(f"lost-{number}")
        after = of(warehouse, BROKEN)
        if has_last:
            assert after == before
        else:
            assert {mart for mart, rows in after.items() if rows} == {"organizations"}
        status, message = status_of(warehouse, BROKEN)
        assert status == "failed" and "check_counts" in message and last.parent.name in message
        assert status_of(warehouse, OTHER) == ("ok", None)
        assert of(warehouse, OTHER)["users"]
        with pytest.raises(AirflowFailException, match="check_counts"):
            tasks_warehouse.report_unpublished(f"lost-{number}")
    last.write_bytes(whole)
    warehouse = run_warehouse("whole")
    assert_warehouse_is(warehouse, snapshots, units_of(sandbox, FIRST_DAY, FIRST_DAY + 2 * DAY), insights_of(sandbox))


def test_of_two_that_are_held_only_the_one_whose_last_rows_break_a_check_too_is_left_with_its_name(
    step: Callable[[int], list[Snapshot]], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    step(0)
    warehouse = run_warehouse("good")
    before = of(warehouse, OTHER)
    both = [Violation(one, "planted", "planted") for one in ORGANIZATIONS]
    found = [both, both[:1], []]
    monkeypatch.setattr(holding, "find_broken", lambda *_: found.pop(0))
    warehouse = run_warehouse("broken")
    assert of(warehouse, OTHER) == before
    assert {mart for mart, rows in of(warehouse, BROKEN).items() if rows} == {"organizations"}
