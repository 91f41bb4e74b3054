"""Whole snapshots or none: listings that move, the drift guard, unchanged streams, pruning, what is left out."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.api.client import JumpCloudClient
from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.landing.files import read_metadata
from jumpcloud_elt.warehouse import checkpoints
from jumpcloud_sandbox.client import Sandbox
from support.evolving import ORGANIZATIONS, EvolvingWorld
from support.expectations import Snapshot
from support.pipeline import assert_warehouse_is, discard_builds, query, run_directory, run_warehouse, snapshots_of
from support.worlds import DAY, ORGANIZATION, OTHER, organization, serve, users

FIRST = datetime(2026, 3, 1, 6)
Clock = Callable[[datetime], None]


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return lambda moment: monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda: moment)


def landed_users(settings: Settings, organization_id: str = ORGANIZATION) -> list[str]:
    files = sorted(settings.landing.glob(f"systemusers/organization_id={organization_id}/*/*.parquet"))
    return pq.read_table(files[-1], columns=["user_id"], partitioning=None)["user_id"].to_pylist() if files else []


@pytest.mark.parametrize("page", [1, 2, 3])
def test_a_listing_from_which_a_user_goes_while_another_comes_is_read_again_until_it_is_whole(
    page: int, sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, organization(250))
    # The total stays the same: only the row that moves up tells.
    change = {"delete_users": [f"1{3:023x}"], "add_users": users(1, first=900), "organization_id": ORGANIZATION}
    sandbox.set_faults({"match": {"path_regex": "/api/systemusers", "nth": page, "times": 1}, "do": {"mutate": change}})
    assert run_directory("directory") == []
    truth = {user["_id"] for user in sandbox.organization(ORGANIZATION)["users"]}
    found = set(landed_users(settings))
    if page < 3:
        assert found == truth
    else:
        # The list was complete before it changed.
        assert found == {user["_id"] for user in users(250)}


def test_rows_that_are_added_at_the_end_while_a_list_is_read_are_no_fault(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, organization(250))
    change = {"add_users": users(3, first=900), "organization_id": ORGANIZATION}
    sandbox.set_faults({"match": {"path_regex": "/api/systemusers", "nth": 1}, "do": {"mutate": change}})
    assert run_directory("directory") == []
    assert len(landed_users(settings)) == 253
    asked = [entry for entry in sandbox.requests() if entry["path"].endswith("/systemusers")]
    assert len(asked) == 3


def test_readings_of_a_list_that_moves_are_given_time_to_settle(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, organization(250))
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__RETRY_WAIT_SECONDS", "1")
    waits: list[float] = []
    monkeypatch.setattr(JumpCloudClient, "pause", lambda _, seconds: waits.append(seconds))
    sandbox.set_faults({"match": {"path_regex": "/api/systemusers"}, "do": {"wrong_total": 7}})
    assert len(run_directory("directory")) == 1
    assert waits == [5.0, 25.0]


def test_a_listing_that_never_stands_still_fails_with_the_numbers_and_lands_nothing(
    sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, organization(250), organization(5, OTHER))
    sandbox.set_faults(
        {
            "match": {"path_regex": "/api/systemusers", "organization_id": ORGANIZATION},
            "do": {"wrong_total": 7},
        }
    )
    failures = run_directory("directory")
    assert [one["organization_name"] for one in failures] == ["Org c"]
    assert "250 of 257 rows" in failures[0]["reason"] and "tried 3 times" in failures[0]["reason"]
    assert not list(settings.landing.glob(f"*/organization_id={ORGANIZATION}/*/*.parquet"))
    assert len(landed_users(settings, OTHER)) == 5


def test_a_failure_after_the_users_leaves_no_snapshot_that_anybody_reads(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    serve(sandbox, organization(20))
    set_clock(FIRST)
    run_directory("good")
    snapshots = snapshots_of(sandbox, settings)
    serve(sandbox, organization(40))
    set_clock(FIRST + DAY)
    sandbox.set_faults({"match": {"path_regex": "/api/v2/usergroups"}, "do": {"status": 403}})
    (failure,) = run_directory("bad")
    assert "403" in failure["reason"]
    warehouse = run_warehouse("warehouse")
    assert_warehouse_is(warehouse, snapshots, [], [], ("users", "user_history"))
    (row,) = query(warehouse, "select sync_status, sync_message, directory_synced_at from organizations")
    assert (row["sync_status"], row["directory_synced_at"]) == ("failed", FIRST)
    assert "403" in row["sync_message"]


def test_a_drop_in_users_is_held_until_a_run_accepts_it(sandbox: Sandbox, settings: Settings, set_clock: Clock) -> None:
    serve(sandbox, organization(100), organization(30, OTHER))
    set_clock(FIRST)
    assert run_directory("first") == []
    before = snapshots_of(sandbox, settings)
    run_warehouse("first")

    serve(sandbox, organization(60), organization(25, OTHER))
    set_clock(FIRST + DAY)
    assert run_directory("second") == []
    after = snapshots_of(sandbox, settings)
    warehouse = run_warehouse("second")
    seen = [*before, *(one for one in after if one.organization_id == OTHER)]
    assert_warehouse_is(warehouse, seen, [], [], ("users", "user_history"))
    statuses = query(warehouse, "select organization_id, sync_status, sync_message from organizations order by 1")
    assert [row["sync_status"] for row in statuses] == ["held", "ok"]
    assert "40 of 100 users (40%) are missing (60 listed now)" in statuses[0]["sync_message"]
    assert ORGANIZATION in statuses[0]["sync_message"]

    # The held snapshot has landed whole, with its decision; a rebuild from landing makes the same of it.
    assert len(landed_users(settings)) == 60
    discard_builds(settings)
    assert_warehouse_is(run_warehouse("rebuilt"), seen, [], [], ("users", "user_history"))

    set_clock(FIRST + 2 * DAY)
    assert run_directory("third", accept_drop=[ORGANIZATION.upper()]) == []
    seen = [*seen, *snapshots_of(sandbox, settings)]
    warehouse = run_warehouse("third")
    assert_warehouse_is(warehouse, seen, [], [], ("users", "user_history"))
    accepted = query(
        warehouse,
        "select distinct organization_id, decision from sync_log where run_id = 'third' order by 1",
    )
    assert [row["decision"] for row in accepted] == ["accepted by third", "accepted"]


def test_runs_that_begin_in_one_second_do_not_write_into_each_others_snapshots(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    """The second is held, and the first stays what it was."""
    set_clock(FIRST)
    for run_id, count in (("first", 30), ("second", 1)):
        serve(sandbox, organization(count))
        assert run_directory(run_id) == []
    partitions = settings.landing.glob("organizations/*/*")
    assert sorted(one.name for one in partitions) == ["snapshot_at=20260301T060000Z", "snapshot_at=20260301T060001Z"]
    warehouse = run_warehouse("build")
    ((status,),) = [row.values() for row in query(warehouse, "select sync_status from organizations")]
    assert status == "held"
    assert len(query(warehouse, "select * from users where status <> 'deleted'")) == 30


def test_a_clock_that_has_gone_back_makes_no_snapshot_older_than_the_last(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    """An older one would never be folded: the warehouse would stay as it was, and say that all is well."""
    for number, moment in enumerate((FIRST, FIRST - DAY, FIRST - DAY)):
        serve(sandbox, organization(5 + number))
        set_clock(moment)
        assert run_directory(f"directory-{number}") == []
    [row] = query(run_warehouse("build"), "select count(*) as users, max(last_seen_at) as last from users")
    assert row == {"users": 7, "last": FIRST + timedelta(seconds=2)}


@pytest.mark.parametrize(
    ("before", "after", "outcome"),
    [
        (100, 70, "ok"),  # 30 %, and not more
        (100, 69, "held"),
        (12, 2, "ok"),  # ten users, and not more
        (12, 1, "held"),
        (0, 0, "ok"),
        (40, 0, "held"),
        (2, 0, "held"),  # nobody is left, however few they were
        (1, 0, "held"),
        (10, 500, "ok"),
    ],
)
def test_a_drop_is_held_when_it_exceeds_the_share_and_the_number(
    before: int, after: int, outcome: str, sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    for number, count in enumerate((before, after)):
        serve(sandbox, organization(count))
        set_clock(FIRST + number * DAY)
        assert run_directory(f"directory-{number}") == []
    rows = query(run_warehouse("warehouse"), "select distinct outcome from sync_log where run_id = 'directory-1'")
    assert rows == [{"outcome": outcome}]


def test_a_stream_that_has_not_changed_is_not_stored_again(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    world = organization(50)
    for number in range(3):
        if number == 2:
            world["users"][0]["department"] = "New"
        serve(sandbox, world)
        set_clock(FIRST + number * DAY)
        run_directory(f"directory-{number}")
    files = sorted(settings.landing.glob(f"systemusers/organization_id={ORGANIZATION}/*/*.parquet"))
    first, second, third = (file.stat().st_ino for file in files)
    assert first == second != third
    assert len({file.stat().st_ino for file in settings.landing.glob("applications/*/*/*.parquet")}) == 1


@pytest.mark.parametrize("count", [30, 31])
def test_rows_that_cannot_be_read_again_are_not_handed_on_to_the_next_snapshot(
    count: int, sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    """The file's own end is whole, and says which rows it holds."""
    set_clock(FIRST)
    serve(sandbox, organization(30))
    assert run_directory("first") == []
    (damaged,) = settings.landing.glob("systemusers/*/*/*.parquet")
    content = damaged.read_bytes()
    end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    damaged.write_bytes(content[:4] + bytes(end - 4) + content[end:])
    serve(sandbox, organization(count))
    set_clock(FIRST + DAY)
    assert run_directory("second") == []
    assert len(landed_users(settings)) == count
    assert [path.name for path in damaged.parent.iterdir()] == ["systemusers.parquet.damaged"]


def _without_pages(content: bytes) -> bytes:
    """The end of the file, which says what it holds, is whole; the rows cannot be read."""
    end = len(content) - 8 - int.from_bytes(content[-8:-4], "little")
    return content[:4] + bytes(end - 4) + content[end:]


@pytest.mark.parametrize("stream", ["systemusers", "organizations"])
@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda content: content[:-9], _without_pages],
    ids=["no bytes", "no end", "no pages"],
)
def test_a_damaged_snapshot_stops_no_run_and_takes_no_other_with_it(
    damage: Callable[[bytes], bytes], stream: str, sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    taken = []
    for number in range(4):
        serve(sandbox, organization(5 + min(number, 2)))
        set_clock(FIRST + number * DAY)
        assert run_directory(f"directory-{number}") == []
        assert len(landed_users(settings)) == 5 + min(number, 2)
        if number != 1:
            taken += snapshots_of(sandbox, settings)
            continue
        last = max(settings.landing.glob(f"{stream}/*/*/*.parquet"))
        last.write_bytes(damage(last.read_bytes()))
    assert_warehouse_is(run_warehouse("build"), taken, [], [], ("users", "user_history"))
    assert last.with_name(f"{last.name}.damaged").exists()
    assert not last.exists()


def test_pruning_old_snapshots_changes_no_history_even_when_everything_is_built_from_landing(
    sandbox: Sandbox, settings: Settings, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolving = EvolvingWorld(5)
    snapshots: list[Snapshot] = []
    tables = ("users", "applications", "application_users", "user_history", "access_history")

    def step(number: int) -> Path:
        sandbox.set_world(evolving.world())
        set_clock(FIRST + number * DAY)
        run_directory(f"directory-{number}", accept_drop=[*ORGANIZATIONS])
        snapshots.extend(snapshots_of(sandbox, settings))
        evolving.step()
        return run_warehouse(f"warehouse-{number}")

    def prune() -> int:
        return checkpoints.prune_landed_snapshots(dataclasses.replace(settings, snapshot_retention_days=2))

    for number in range(4):
        step(number)
    monkeypatch.setattr("jumpcloud_elt.warehouse.checkpoints.utc_now", lambda: FIRST + 4 * DAY)
    assert prune() == 2 * 2
    assert len(list(settings.landing.glob("systemusers/*/*/*.parquet"))) == 2 * 2
    assert prune() == 0
    assert_warehouse_is(step(4), snapshots, [], [], tables)
    monkeypatch.setattr("jumpcloud_elt.warehouse.checkpoints.utc_now", lambda: FIRST + 40 * DAY)
    assert prune() == 2 * 2
    discard_builds(settings)
    assert_warehouse_is(run_warehouse("rebuilt"), snapshots, [], [], tables)
    assert_warehouse_is(step(5), snapshots, [], [], tables)


def test_a_pruning_that_is_killed_before_its_checkpoint_is_whole_removes_nothing(
    sandbox: Sandbox, settings: Settings, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        serve(sandbox, organization(5 + number))
        set_clock(FIRST + number * DAY)
        run_directory(f"directory-{number}")
    run_warehouse("warehouse")
    before = sorted(settings.landing.rglob("*.parquet"))

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("jumpcloud_elt.core.folder.FolderPath.put", killed)
    with pytest.raises(KeyboardInterrupt):
        checkpoints.prune_landed_snapshots(dataclasses.replace(settings, snapshot_retention_days=1))
    assert sorted(settings.landing.rglob("*.parquet")) == before
    assert checkpoints.latest_checkpoint(settings.landing) is None


def test_a_checkpoint_says_its_version_and_one_that_is_not_known_is_refused(
    sandbox: Sandbox, settings: Settings, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(3):
        serve(sandbox, organization(5 + number))
        set_clock(FIRST + number * DAY)
        run_directory(f"directory-{number}")
    run_warehouse("warehouse")
    prune = dataclasses.replace(settings, snapshot_retention_days=1)
    assert checkpoints.prune_landed_snapshots(prune) == 2
    (last,) = settings.landing.glob("_checkpoints/*/snapshots.parquet")
    assert read_metadata(last) == {"state_version": checkpoints.STATE_VERSION}
    discard_builds(settings)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoints, "STATE_VERSION", 7)
        told = r"_checkpoints/.*: state version 3 found; allowed: 1, 2, 7\. Another"
        with pytest.raises(AirflowFailException, match=told):
            run_warehouse("of another version")
    # Those of before versions were written down are of the first.
    pq.write_table(pq.ParquetFile(last).read().replace_schema_metadata(), last)
    assert checkpoints.latest_checkpoint(settings.landing) == last.parent


def test_what_is_left_out_leaves_the_warehouse_and_comes_back_whole(
    sandbox: Sandbox, settings: Settings, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, organization(5), organization(6, OTHER))
    set_clock(FIRST)
    run_directory("first")
    snapshots = snapshots_of(sandbox, settings)
    run_warehouse("first")
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", OTHER)
    set_clock(FIRST + DAY)
    assert run_directory("second") == []
    assert not list(settings.landing.glob(f"*/organization_id={OTHER}/snapshot_at=20260302*"))
    warehouse = run_warehouse("second")
    for table in ("organizations", "users", "user_history", "sync_log"):
        assert {row["organization_id"] for row in query(warehouse, f"from {table}")} == {ORGANIZATION}
    assert list(settings.landing.glob(f"systemusers/organization_id={OTHER}/*"))
    monkeypatch.delenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE")
    warehouse = run_warehouse("third")
    mine = [one for one in snapshots if one.organization_id == OTHER]
    rows = query(warehouse, "select user_id from users where organization_id = ?", [OTHER])
    assert sorted(row["user_id"] for row in rows) == sorted(user["_id"] for user in mine[0].users)
    statuses = query(warehouse, "select organization_id, sync_status from organizations order by 1")
    assert [row["sync_status"] for row in statuses] == ["ok", "stale"]


def test_a_connection_that_is_left_out_takes_its_organizations_with_it(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    serve(sandbox, organization(5))
    run_directory("first")
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", "jumpcloud_default")
    assert query(run_warehouse("second"), "from organizations") == []


def test_an_organization_that_is_revoked_fails_alone_and_is_stale_once_it_is_no_longer_listed(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    serve(sandbox, organization(5), organization(6, OTHER))
    set_clock(FIRST)
    run_directory("first")
    snapshots = snapshots_of(sandbox, settings)
    set_clock(FIRST + DAY)
    sandbox.set_faults(
        {
            "match": {"organization_id": OTHER, "path_regex": "/api/v2/usergroups"},
            "do": {"status": 404, "body": {"message": "Not Found"}},
        }
    )
    (failure,) = run_directory("second")
    assert failure["organization_name"] == "Org d"
    sandbox.set_faults()
    serve(sandbox, organization(5))
    set_clock(FIRST + 2 * DAY)
    assert run_directory("third") == []
    warehouse = run_warehouse("third")
    rows = query(warehouse, "select organization_id, sync_status, directory_synced_at from organizations order by 1")
    assert [(row["sync_status"], row["directory_synced_at"]) for row in rows] == [
        ("ok", FIRST + 2 * DAY),
        ("stale", FIRST),
    ]
    others = query(warehouse, "select user_id from users where organization_id = ? and status <> 'deleted'", [OTHER])
    assert len(others) == len(snapshots[1].users) == 6


def test_a_restricted_run_makes_nobody_stale(sandbox: Sandbox, settings: Settings, set_clock: Clock) -> None:
    serve(sandbox, organization(5), organization(6, OTHER))
    set_clock(FIRST)
    run_directory("first")
    set_clock(FIRST + DAY)
    run_directory("second", only=[ORGANIZATION])
    rows = query(run_warehouse("w"), "select sync_status, directory_synced_at from organizations order by all")
    assert rows == [
        {"sync_status": "ok", "directory_synced_at": FIRST},
        {"sync_status": "ok", "directory_synced_at": FIRST + DAY},
    ]


def test_lists_are_read_beside_each_other_up_to_the_configured_number(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__REQUEST_THREADS", "3")
    world = organization(120)
    ids = [user["_id"] for user in world["users"]]
    world["usergroups"] = [{"id": f"4{n:023x}", "name": f"G{n}", "type": "user_group"} for n in range(12)]
    world["memberships"] = {group["id"]: ids[n:] for n, group in enumerate(world["usergroups"])}
    serve(sandbox, world)
    sandbox.set_latency(20)
    sandbox.clear_requests()
    assert run_directory("directory") == []
    assert sandbox.request_log()["max_in_flight"] == 3
    files = settings.landing.glob("usergroup_members/*/*/*.parquet")
    rows = [row for file in files for row in pq.read_table(file, partitioning=None).to_pylist()]
    pairs = {(row["group_id"], row["user_id"]) for row in rows}
    assert len(rows) == len(pairs)
    assert pairs == {(group, user) for group, members in world["memberships"].items() for user in members}


def test_a_role_that_only_the_list_of_roles_names_is_named(sandbox: Sandbox, settings: Settings) -> None:
    world = organization(1)
    world["roles"] = [
        {"id": "5" * 24, "name": "Fleet Custodian", "description": "", "scopes": []},
        {"id": "6" * 24, "name": "Not taken", "description": "", "scopes": []},
    ]
    world["administrators"] = [
        {"_id": "2" * 24, "email": "by-id@x.io", "role": "5" * 24},
        {"_id": "3" * 24, "email": "by-name@x.io", "role": "5" * 24, "roleName": "Help Desk"},
        {"_id": "4" * 24, "email": "nobody@x.io", "role": "7" * 24},
    ]
    serve(sandbox, world)
    assert run_directory("directory") == []
    rows = query(run_warehouse("w"), "select email, roles from users where account_type = 'admin' order by email")
    assert [(row["email"], row["roles"]) for row in rows] == [
        ("by-id@x.io", ["Fleet Custodian"]),
        ("by-name@x.io", ["Help Desk"]),
        ("nobody@x.io", ["Unknown"]),
    ]
