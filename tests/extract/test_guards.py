"""What is missing from a snapshot and what could not be asked: held, failed or as it was, never "there is none"."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable
from datetime import datetime
from typing import Any

import pytest

from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.landing.snapshots import Accepted
from jumpcloud_elt.tasks import common, directory
from jumpcloud_elt.warehouse import checkpoints
from jumpcloud_sandbox.client import Sandbox
from support.evolving import ORGANIZATIONS, EvolvingWorld
from support.expectations import Snapshot
from support.pipeline import assert_warehouse_is, discard_builds, query, run_directory, run_warehouse, snapshots_of
from support.worlds import DAY, ORGANIZATION, OTHER, organization, serve, users

Json = dict[str, Any]
Clock = Callable[[datetime], None]
FIRST = datetime(2026, 3, 1, 6)
DIRECTORY_TABLES = ("organizations", "users", "applications", "application_users", "user_history", "access_history")
REFUSED = {"status": 403, "body": {"message": "Forbidden"}}
BROKEN = {"status": 503}

pytestmark = pytest.mark.slow


@pytest.fixture
def set_clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return lambda moment: monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda: moment)


@pytest.fixture(autouse=True)
def few_attempts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__REQUEST_ATTEMPTS", "2")


def ids(kind: str, count: int) -> list[str]:
    return [f"{kind}{n:023x}" for n in range(count)]


def full(count: int, organization_id: str = ORGANIZATION) -> Json:
    """An organization with `count` of everything: each user in one group, each application given to one of each."""
    world = organization(count, organization_id)
    people = [user["_id"] for user in world["users"]]
    world["administrators"] = [
        {"_id": one, "email": f"{one}@admin.io", "roleName": "Manager"} for one in ids("2", count)
    ]
    world["applications"] = [
        {"_id": one, "name": f"app{n}", "organization": organization_id} for n, one in enumerate(ids("3", count))
    ]
    world["usergroups"] = [{"id": one, "name": f"g{n}", "type": "user_group"} for n, one in enumerate(ids("4", count))]
    world["roles"] = [{"id": "5" * 24, "name": "Fleet Custodian", "description": "", "scopes": []}]
    world["memberships"] = {group: [people[n]] for n, group in enumerate(ids("4", count))}
    world["application_users"] = {one: [people[n]] for n, one in enumerate(ids("3", count))}
    world["application_groups"] = {}
    return world


def without(world: Json, kind: str, number: int) -> Json:
    """The same without the first `number` of one kind: what leads to them stays listed by others."""
    changed = copy.deepcopy(world)
    if kind in ("memberships", "application_users"):
        for parent in list(changed[kind])[:number]:
            changed[kind][parent] = []
    else:
        changed[kind] = changed[kind][number:]
    return changed


def run_twice(sandbox: Sandbox, set_clock: Clock, first: Json, second: Json) -> None:
    for number, world in enumerate((first, second)):
        serve(sandbox, world)
        set_clock(FIRST + number * DAY)
        assert run_directory(f"directory-{number}") == []


def status_of(run_id: str = "build", organization_id: str = ORGANIZATION) -> tuple[str, str | None]:
    [row] = query(
        run_warehouse(run_id),
        "select sync_status, sync_message from organizations where organization_id = ?",
        [organization_id],
    )
    return row["sync_status"], row["sync_message"]


# ---- what is missing --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("users", "users"),
        ("administrators", "administrators"),
        ("applications", "applications"),
        ("usergroups", "groups"),
        ("memberships", "memberships"),
        ("application_users", "application bindings"),
    ],
)
def test_each_stream_is_guarded_by_itself(
    kind: str, name: str, sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    run_twice(sandbox, set_clock, full(36), without(full(36), kind, 11))
    status, message = status_of()
    assert status == "held" and message is not None
    assert f"11 of 36 {name} (31%) are missing (25 listed now)" in message
    set_clock(FIRST + 2 * DAY)
    assert run_directory("accepting", accept_drop=[ORGANIZATION]) == []
    assert status_of("accepted") == ("ok", None)


def test_few_may_go_as_long_as_something_is_left(sandbox: Sandbox, settings: Settings, set_clock: Clock) -> None:
    kinds = ("administrators", "applications", "usergroups", "memberships", "application_users")
    cases = [(36, 10, "ok"), (40, 12, "ok"), (3, 3, "held"), (3, 2, "ok"), (2, 2, "ok")]
    each = {f"{number:024x}": case for number, case in enumerate(itertools.product(kinds, cases), start=1)}
    for number in range(2):
        worlds = [
            without(full(before, identifier), kind, missing * number)
            for identifier, (kind, (before, missing, _)) in each.items()
        ]
        serve(sandbox, *worlds)
        set_clock(FIRST + number * DAY)
        assert run_directory(f"directory-{number}") == []
    rows = query(run_warehouse("build"), "select organization_id, sync_status from organizations")
    assert {row["organization_id"]: row["sync_status"] for row in rows} == {
        identifier: outcome for identifier, (_, (_, _, outcome)) in each.items()
    }


def test_those_who_are_missing_count_and_not_how_many_there_are(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    """Another organization's users in place of one's own are as many."""
    first, second = organization(40), organization(40)
    second["users"] = users(40, first=500)
    run_twice(sandbox, set_clock, first, second)
    status, message = status_of()
    assert status == "held" and "40 of 40 users (100%) are missing (40 listed now)" in str(message)


def test_a_snapshot_is_compared_with_the_last_accepted_one(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    run_twice(sandbox, set_clock, full(36), without(full(36), "usergroups", 20))
    set_clock(FIRST + 2 * DAY)
    assert run_directory("the same again") == []
    assert status_of()[0] == "held"


def test_what_a_run_has_removed_itself_is_not_missing(sandbox: Sandbox, settings: Settings, set_clock: Clock) -> None:
    world = full(36)
    serve(sandbox, world)
    set_clock(FIRST)
    assert run_directory("before") == []
    gone = [user["_id"] for user in world["users"][:20]]
    left = without(world, "users", 20)
    left["memberships"] = {
        group: [one for one in members if one not in gone] for group, members in left["memberships"].items()
    }
    left["application_users"] = {
        one: [user for user in those if user not in gone] for one, those in left["application_users"].items()
    }
    serve(sandbox, left)
    run_of = {"dag_id": "jumpcloud_user_action", "run_id": "acting"}
    for number, (own, outcome) in enumerate(
        [
            (Accepted("acting", users=frozenset(gone[:9])), "held"),
            (Accepted("acting", users=frozenset(gone[:10])), "ok"),
        ]
    ):
        set_clock(FIRST + (number + 1) * DAY)
        [listed] = common.list_organizations([])
        directory.extract_directory(listed, run_of, own=own)
        common.record_run([listed], run_of, common.DIRECTORY, is_restricted=True)
        assert status_of(f"build-{number}")[0] == outcome


# ---- edges of what is not there -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("path", "named"),
    [
        (f"usergroups/4{1:023x}/members", "usergroup_members"),
        (f"applications/3{1:023x}/associations", "application_associations"),
    ],
)
def test_edges_that_are_not_found_of_what_is_still_listed_fail_the_organization(
    path: str, named: str, sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    serve(sandbox, full(3), organization(3, OTHER))
    set_clock(FIRST)
    assert run_directory("good") == []
    set_clock(FIRST + DAY)
    not_found = {"status": 404, "body": {"message": "Not Found"}}
    sandbox.set_faults({"match": {"path_regex": path, "organization_id": ORGANIZATION}, "do": not_found})
    [failure] = run_directory("bad")
    assert failure["organization_name"] == "Org c"
    assert (
        "404 Not Found" in failure["reason"] and f"still listed, so that its {named} are not known" in failure["reason"]
    )
    assert len(query(run_warehouse("build"), "from application_users where access <> 'none'")) == 3


@pytest.mark.parametrize(
    ("kind", "parent", "path"),
    [
        ("usergroups", f"4{1:023x}", f"usergroups/4{0:023x}/members"),
        ("applications", f"3{1:023x}", f"applications/3{0:023x}/associations"),
    ],
)
def test_what_is_removed_between_its_listing_and_its_edges_has_none(
    kind: str, parent: str, path: str, sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__REQUEST_THREADS", "1")
    serve(sandbox, full(3))
    change = {f"delete_{kind}": [parent], "organization_id": ORGANIZATION}
    sandbox.set_faults({"match": {"path_regex": path, "times": 1}, "do": {"mutate": change}})
    assert run_directory("directory") == []
    warehouse = run_warehouse("build")
    groups = query(warehouse, "select unnest(groups) as name from users order by all")
    applications = query(warehouse, "select application_id from application_users order by all")
    assert [row["name"] for row in groups] == (["g0", "g2"] if kind == "usergroups" else ["g0", "g1", "g2"])
    assert len(applications) == (2 if kind == "applications" else 3)


# ---- what could not be asked --------------------------------------------------------------------------------------


def fault(stream: str, do: Json, organization_id: str = ORGANIZATION) -> Json:
    paths = {"administrators": "^/api/users$", "roles": "^/api/v2/roles$"}
    return {"match": {"path_regex": paths[stream], "organization_id": organization_id}, "do": do}


def test_organizations_sync_without_what_could_not_be_asked_and_say_so(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    answers = [
        (REFUSED, "no"),
        ({"status": 404}, "no"),
        ({"status": 501}, "no"),
        (BROKEN, "unknown"),
        ({"status": 403, "html_body": True}, "unknown"),
        ({"drop_connection": True}, "unknown"),
        ({"wrong_total": 3}, "unknown"),
        ({"body": ["no", "rows"]}, "unknown"),
    ]
    cases = itertools.product(("administrators", "roles"), answers)
    each = {f"{number:024x}": (stream, *answer) for number, (stream, answer) in enumerate(cases, start=1)}
    serve(sandbox, organization(2, OTHER), *(full(5, one) for one in each))
    set_clock(FIRST)
    assert run_directory("first") == []
    seen = snapshots_of(sandbox, settings)
    changed = [without(full(5, one), "users", 1) | {"roles": []} for one in each]
    for world in changed:
        if each[world["id"]][0] == "administrators":
            world["administrators"] = []
    serve(sandbox, organization(2, OTHER), *changed)
    sandbox.set_faults(*(fault(stream, answer, one) for one, (stream, answer, _) in each.items()))
    set_clock(FIRST + DAY)
    assert run_directory("second") == []
    for one in snapshots_of(sandbox, settings):
        is_unread = each.get(one.organization_id, ("",))[0] == "administrators"
        seen.append(Snapshot(**{**one.__dict__, "administrators": None if is_unread else one.administrators}))
    warehouse = run_warehouse("build")
    assert_warehouse_is(warehouse, seen, [], [], DIRECTORY_TABLES)
    status = {row["organization_id"]: row for row in query(warehouse, "select * from organizations")}
    capabilities = query(warehouse, "select * from capabilities where kind = 'sync'")
    for organization_id, (stream, _, state) in each.items():
        assert not list(settings.landing.glob(f"{stream}/organization_id={organization_id}/snapshot_at=20260302*"))
        row = status[organization_id]
        assert row["sync_status"] == "ok"
        assert row["sync_message"].startswith(f"The {stream} were not read: ")
        assert row["sync_message"].endswith("They are as of 2026-03-01 06:00:00 UTC.")
        own = {one["capability"]: one for one in capabilities if one["organization_id"] == organization_id}
        states = {name: one["state"] for name, one in own.items()}
        assert states.pop("directory_insights") in ("yes", "unknown")
        every = ["users", "administrators", "roles", "groups", "applications", "access"]
        assert states == dict.fromkeys(every, "yes") | {stream: state}
        assert own[stream]["reason"]
    assert status[OTHER]["sync_message"] is None
    skipped = "select organization_id, stream, rows, reason from sync_log where outcome = 'skipped' order by all"
    logged = query(warehouse, skipped)
    assert [tuple(row.values()) for row in logged] == [
        (one, stream, None, status[one]["sync_message"]) for one, (stream, _, _) in sorted(each.items())
    ]

    # A rebuild from landing, and one of which the manifests are lost, make the same of it.
    discard_builds(settings)
    assert_warehouse_is(run_warehouse("rebuilt"), seen, [], [], DIRECTORY_TABLES)
    for manifest in settings.landing.glob("_runs/*/*.parquet"):
        manifest.unlink()
    warehouse = run_warehouse("runs rebuilt", rebuild_runs=True)
    assert_warehouse_is(warehouse, seen, [], [], ("users", "user_history"))
    assert query(warehouse, skipped) == logged

    # Once it can be asked again, what has gone meanwhile is gone as of then.
    sandbox.set_faults()
    set_clock(FIRST + 2 * DAY)
    assert run_directory("third", accept_drop=[*each]) == []
    seen += snapshots_of(sandbox, settings)
    warehouse = run_warehouse("asked again")
    assert_warehouse_is(warehouse, seen, [], [], ("users", "user_history"))
    assert query(warehouse, "select distinct sync_message from organizations") == [{"sync_message": None}]


def test_a_key_that_may_never_read_administrators_or_roles_syncs_the_rest(sandbox: Sandbox, settings: Settings) -> None:
    world = full(4)
    world["users"][0]["admin"] = {"roleName": "Help Desk"}
    serve(sandbox, world)
    sandbox.set_faults(fault("administrators", REFUSED), fault("roles", REFUSED))
    assert run_directory("directory") == []
    warehouse = run_warehouse("build")
    rows = query(warehouse, "select account_type, roles, count(*) as accounts from users group by all order by 2")
    assert [tuple(row.values()) for row in rows] == [("user", ["Help Desk"], 1), ("user", ["User"], 3)]
    assert query(warehouse, "select count(*) as n from application_users") == [{"n": 4}]
    [row] = query(warehouse, "select sync_status, sync_message from organizations")
    assert row["sync_status"] == "ok"
    assert str(row["sync_message"]).count("They have never been read.") == 2


def test_roles_are_named_as_the_last_list_of_them_names_them(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    world = full(2)
    world["administrators"] = [{"_id": "2" * 24, "email": "by-id@x.io", "role": "5" * 24}]
    serve(sandbox, world)
    set_clock(FIRST)
    assert run_directory("first") == []
    sandbox.set_faults(fault("roles", BROKEN))
    set_clock(FIRST + DAY)
    assert run_directory("second") == []
    rows = query(run_warehouse("build"), "select roles, valid_to from user_history where email = 'by-id@x.io'")
    assert rows == [{"roles": ["Fleet Custodian"], "valid_to": None}]


def test_pruning_does_not_lose_what_later_snapshots_are_without(
    sandbox: Sandbox, settings: Settings, set_clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolving = EvolvingWorld(7)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__SNAPSHOT_RETENTION_DAYS", "1")
    snapshots: list[Snapshot] = []
    for number in range(4):
        sandbox.set_world(evolving.world())
        if number:
            sandbox.set_faults(fault("administrators", BROKEN, "a" * 24), fault("roles", BROKEN, "a" * 24))
        set_clock(FIRST + number * DAY)
        assert run_directory(f"directory-{number}", accept_drop=[*ORGANIZATIONS]) == []
        for one in snapshots_of(sandbox, settings):
            is_unread = number > 0 and one.organization_id == "a" * 24
            snapshots.append(Snapshot(**{**one.__dict__, "administrators": None if is_unread else one.administrators}))
        evolving.step()
        run_warehouse(f"build-{number}")
    monkeypatch.setattr("jumpcloud_elt.warehouse.checkpoints.utc_now", lambda: FIRST + 30 * DAY)
    assert checkpoints.prune_landed_snapshots(read_settings()) == 2 * 3
    discard_builds(settings)
    assert_warehouse_is(run_warehouse("rebuilt"), snapshots, [], [], ("users", "user_history"))


# ---- a provider's administrators ----------------------------------------------------------------------------------


PROVIDER = "e" * 24
LINKS = "administratorlinks"
LIST = f"providers/{PROVIDER}/administrators"


def serve_of_provider(sandbox: Sandbox, *organizations: Json) -> None:
    links = {one["id"]: ["7" * 24] for one in organizations}
    sandbox.set_world(
        {
            "organizations": list(organizations),
            "keys": [
                {"key": "sandbox-key", "organizations": [one["id"] for one in organizations], "provider_id": PROVIDER}
            ],
            "providers": [{"id": PROVIDER, "administrators": [{"_id": "7" * 24, "email": "p@msp.io"}], "links": links}],
        }
    )


def present_administrators(run_id: str, organization_id: str = ORGANIZATION) -> list[str]:
    rows = query(
        run_warehouse(run_id),
        "select email from users "
        "where account_type = 'admin' and status <> 'deleted' and organization_id = ? order by 1",
        [organization_id],
    )
    return [row["email"] for row in rows]


def of_provider() -> tuple[Json, Json]:
    first, second = organization(3), organization(3, OTHER)
    first["administrators"] = [{"_id": "2" * 24, "email": "own@x.io"}, {"_id": "3" * 24, "email": "other@x.io"}]
    return first, second


def test_administrators_of_a_provider_who_could_not_be_asked_for_stay(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    serve_of_provider(sandbox, *of_provider())
    set_clock(FIRST)
    assert run_directory("first") == []
    assert present_administrators("first") == ["other@x.io", "own@x.io", "p@msp.io"]
    answers = (REFUSED, BROKEN, {"status": 404}, {"status": 404, "html_body": True})
    for number, (path, answer) in enumerate(itertools.product((LINKS, LIST, "getSelf"), answers), start=1):
        sandbox.set_faults({"match": {"path_regex": path}, "do": answer})
        set_clock(FIRST + number * DAY)
        assert run_directory(f"directory-{number}") == []
        [row] = query(
            run_warehouse(f"build-{number}"),
            "select sync_status, sync_message, (select list(email order by email) from users "
            "where account_type = 'admin' and status <> 'deleted' and organization_id = ?) as administrators "
            "from organizations where organization_id = ?",
            [ORGANIZATION, ORGANIZATION],
        )
        assert row["administrators"] == ["other@x.io", "own@x.io", "p@msp.io"], (path, answer)
        assert row["sync_status"] == "ok" and "The administrators were not read" in str(row["sync_message"])


@pytest.mark.parametrize("answer", [REFUSED, {"status": 400, "body": {"message": "Bad Request"}}])
@pytest.mark.parametrize("path", [LINKS, LIST, "getSelf"])
def test_a_key_that_may_not_ask_for_the_provider_lists_the_organizations_own_administrators(
    path: str, answer: Json, sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    serve_of_provider(sandbox, *of_provider())
    sandbox.set_faults({"match": {"path_regex": path}, "do": answer})
    set_clock(FIRST)
    assert run_directory("first") == []
    assert present_administrators("first") == ["other@x.io", "own@x.io"]
    first, second = of_provider()
    serve_of_provider(sandbox, without(first, "administrators", 1), second)
    sandbox.set_faults({"match": {"path_regex": path}, "do": answer})
    set_clock(FIRST + DAY)
    assert run_directory("second") == []
    assert present_administrators("second") == ["other@x.io"]
    assert status_of("status") == ("ok", None)


def test_a_provider_that_is_left_with_one_client_still_administers_it(
    sandbox: Sandbox, settings: Settings, set_clock: Clock
) -> None:
    first, second = of_provider()
    serve_of_provider(sandbox, first, second)
    set_clock(FIRST)
    assert run_directory("first") == []
    serve_of_provider(sandbox, first)
    set_clock(FIRST + DAY)
    assert run_directory("second") == []
    assert present_administrators("build") == ["other@x.io", "own@x.io", "p@msp.io"]
