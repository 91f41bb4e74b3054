"""The whole pipeline in an object store, against a server of the S3 protocol on loopback."""

from __future__ import annotations

import contextlib
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from jumpcloud_elt.core.airflow_compat import AirflowFailException
from jumpcloud_elt.core.data_root import open_data_root
from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.core.storage import Place, PutRefusedError, name_within
from jumpcloud_elt.errors import ConfigurationError, WarehouseError
from jumpcloud_elt.landing.files import read_metadata, write_table
from jumpcloud_elt.landing.layout import unit_path
from jumpcloud_elt.reading import open_warehouse, read_mart
from jumpcloud_elt.tasks import common, forget, warehouse
from jumpcloud_elt.warehouse.checks import Violation
from jumpcloud_elt.warehouse.files import state_file_of
from jumpcloud_elt.warehouse.publish import publisher
from jumpcloud_sandbox.client import Sandbox
from support.connections import API_KEY, connection_json
from support.evolving import ORGANIZATIONS, EvolvingWorld
from support.forgetting import (
    LAST_STEP,
    ORGANIZATION,
    USER,
    WorldWithPerson,
    traces_in_landing,
)
from support.object_store import CONNECTION_ID, connection_to, make_bucket
from support.paths import LAKE
from support.pipeline import marts, rows_of, run_directory, run_usage

TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0, tzinfo=None)
DAY = timedelta(days=1)
START = TODAY - 5 * DAY
Json = dict[str, Any]


@pytest.fixture
def store(
    s3: str, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Settings:
    """Settings with a bucket of this test's own as data root, and the sandbox as `jumpcloud_default`."""
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION_ID.upper()}", connection_to(s3))
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_DEFAULT", connection_json(sandbox.url, API_KEY))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "host"))
    (tmp_path / "host").mkdir()
    bucket = f"bucket-{abs(hash(request.node.name)):x}"
    use(monkeypatch, f"s3://{CONNECTION_ID}@{bucket}/{LAKE}/some/prefix")
    make_bucket(bucket)
    return read_settings()


def use(monkeypatch: pytest.MonkeyPatch, data_root: object) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT", str(data_root))


def run_warehouse(run_id: str, *, rebuild_runs: bool = False) -> str:
    """As three common on three hosts: nothing but what they return is handed on."""
    built = warehouse.build_warehouse(run_id, rebuild_runs=rebuild_runs)
    move_to_another_host()
    checked = warehouse.check_warehouse(built)
    move_to_another_host()
    return warehouse.publish_warehouse(checked)


def move_to_another_host() -> None:
    """Forget what has been fetched and built here, where the data root is a store."""
    settings = read_settings()
    if isinstance(settings.data_root, str):
        for file in files_here(settings):
            file.unlink()


def files_here(settings: Settings) -> list[Path]:
    """What has been fetched and built on this host."""
    return [path for path in publisher(settings).building_path("x").parent.rglob("*") if path.is_file()]


def write(path: Place, content: bytes) -> None:
    with path.temporary() as temporary:
        temporary.write_bytes(content)
        path.put(temporary)


def run_evolving(sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, list[Json]]]:
    """Directory, usage and warehouse, twice: the second build stands on the first."""
    evolving = EvolvingWorld(5)
    seen = []
    for step in range(2):
        evolving.add_events(START + step * DAY, days=1, per_day=30)
        sandbox.set_world(evolving.world())
        monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda step=step: START + step * DAY)
        assert run_directory(f"directory-{step}", accept_drop=[*ORGANIZATIONS]) == []
        assert run_usage(f"usage-{step}", START + step * DAY, START + (step + 1) * DAY) == []
        run_warehouse(f"warehouse-{step}")
        seen.append(marts())
        evolving.step()
    return seen


def test_every_mart_is_what_it_is_on_a_local_disk_build_after_build(
    store: Settings, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_store = run_evolving(sandbox, monkeypatch)
    use(monkeypatch, tmp_path / "data")
    on_disk = run_evolving(sandbox, monkeypatch)
    for there, here in zip(in_store, on_disk, strict=True):
        for mart in here:
            # Mart by mart: a difference of everything would be too long to be shown.
            assert there[mart] == here[mart], mart
    first, second = in_store
    assert len(second["user_history"]) > len(first["user_history"]) > 0
    assert len(second["events"]) > len(first["events"]) > 0
    names = {name_within(path, store.landing) for path in store.landing.find_files("**/*.parquet")}
    on_disk_names = {
        name_within(path, read_settings().landing) for path in read_settings().landing.find_files("**/*.parquet")
    }
    assert names == on_disk_names


def test_a_query_of_one_organization_and_some_days_does_not_touch_other_objects(
    store: Settings, sandbox: Sandbox
) -> None:
    evolving = EvolvingWorld(5)
    evolving.add_events(START, days=4, per_day=10)
    sandbox.set_world(evolving.world())
    assert run_usage("usage", START, START + 4 * DAY) == []
    run_warehouse("warehouse")
    # Neither the first organization nor the first day: whatever sorts first would be opened for its columns.
    organization_id, days = max(ORGANIZATIONS), [START + DAY, START + 2 * DAY]
    of_organization = f"directory_insights_events/organization_id={organization_id}"
    wanted = tuple(f"{of_organization}/date={day:%Y-%m-%d}/" for day in days)
    poisoned = 0
    for path in store.landing.find_files("directory_insights_events/**/*.parquet"):
        if not name_within(path, store.landing).startswith(wanted):
            write(path, b"not Parquet")
            poisoned += 1
    assert poisoned == 6
    with open_warehouse() as connection:
        for of in (f"events where organization_id = '{organization_id}' and", f"events_of('{organization_id}') where"):
            sql = f"select count(distinct date), count(payload) > 2 from {of} date between ?::date and ?::date"
            assert connection.execute(sql, days).fetchall() == [(2, True)]


def test_snapshots_are_pruned_and_the_histories_come_out_of_the_checkpoint(
    store: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_evolving(sandbox, monkeypatch)
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__SNAPSHOT_RETENTION_DAYS", "1")
    before = marts()
    assert warehouse.prune_snapshots() == 2
    assert len(store.landing.find_files("organizations/*/*/*.parquet")) == 2
    store.warehouse.with_name("jumpcloud.json").unlink()
    with pytest.raises(WarehouseError, match="There is no warehouse at s3://"):
        read_mart("users")
    run_warehouse("from nothing")
    assert marts() == before


def test_what_builds_carry_on_is_found_by_another_host_and_by_no_reader(
    store: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_evolving(sandbox, monkeypatch)
    before = marts()
    # Whoever folds snapshots from the start fails, and whoever takes the published file for what was carried on.
    for path in store.landing.find_files("systemusers/**/*.parquet"):
        write(path, b"not Parquet")
    (published,) = [path for path in store.warehouse.parent.find_files("*.duckdb") if "warehouse-1" in path.name]
    write(published, b"written over by somebody")
    run_warehouse("third")
    after = marts()
    for mart in set(before) - {"sync_log"}:
        assert after[mart] == before[mart], mart


def test_an_organization_whose_rows_break_a_check_is_as_it_was_last_on_whatever_host(
    store: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    evolving = EvolvingWorld(5)
    for step in range(2):
        sandbox.set_world(evolving.world())
        monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda step=step: START + step * DAY)
        assert run_directory(f"directory-{step}", accept_drop=[*ORGANIZATIONS]) == []
        if not step:
            run_warehouse("good")
            before = rows_of("users")
        evolving.step()
    broken, other = ORGANIZATIONS
    found = [[Violation(broken, "planted", "planted")], []]
    monkeypatch.setattr("jumpcloud_elt.warehouse.holding.find_broken", lambda *_: found.pop(0))
    run_warehouse("broken")
    after = rows_of("users")
    for one, is_same in ((broken, True), (other, False)):
        of = [[row for row in rows if row["organization_id"] == one] for rows in (before, after)]
        assert (of[0] == of[1]) is is_same
    assert found == []


def test_lost_manifests_are_found_again_in_a_store(
    store: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_evolving(sandbox, monkeypatch)
    before = marts()
    (store.landing / "_runs").remove_folder()
    run_warehouse("found", rebuild_runs=True)
    after = marts()
    for mart in set(before) - {"sync_log"}:
        assert after[mart] == before[mart], mart
    assert len(before["events"]) > 0
    assert [path.parent.name for path in (store.landing / "_runs").find_files("*/*.parquet")] == ["jumpcloud_warehouse"]


def test_late_events_and_gaps_are_found_in_a_store(store: Settings, sandbox: Sandbox) -> None:
    organization_id = sandbox.world()["organizations"][0]["id"]
    events = [
        {"id": name, "event_type": "user_login_attempt", "service": "directory", "success": True,
         "initiated_by": {"id": "1" * 24, "type": "user"}, "timestamp": f"{at.isoformat()}Z"}
        for name, at in (("late", START + DAY / 2), ("in a gap", START + DAY + DAY / 2))
    ]  # fmt: skip
    sandbox.add_events(organization_id, events[1:])
    run_usage("first", START, START + DAY, run_type="scheduled")
    sandbox.add_events(organization_id, events[:1])
    run_usage("third", START + 2 * DAY, START + 3 * DAY, run_type="scheduled")
    run_warehouse("warehouse")
    assert {"late", "in a gap"} <= {row["event_id"] for row in rows_of("events")}


def test_a_person_is_forgotten_in_every_object_that_is_left(
    store: Settings, sandbox: Sandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = WorldWithPerson(3)
    # There in one snapshot, gone in the next.
    world.step = LAST_STEP - 1
    for step in range(2):
        world.advance(START + step * DAY)
        sandbox.set_world(world.world())
        monkeypatch.setattr("jumpcloud_elt.extract.directory.utc_now", lambda step=step: START + step * DAY)
        assert run_directory(f"directory-{step}", accept_drop=[*ORGANIZATIONS]) == []
    assert run_usage("usage", START, START + 2 * DAY) == []
    run_warehouse("before")
    warehouse.build_warehouse("never published")
    before = read_mart("users").groupby(["organization_id", "status"]).size()
    files = {name.split("/")[0] for name, _ in traces_in_landing(downloaded(store, tmp_path / "before"))}
    assert files >= {"systemusers", "administrators", "usergroup_members", "directory_insights_events"}
    given = {"organization_id": ORGANIZATION, "target": USER, "dry_run": False}
    assert forget.find_person(given)["rows"] > 0
    assert forget.forget_person(given, {"dag_id": "jumpcloud_forget", "run_id": "forget"}, "Olga")["rows"] > 0
    run_warehouse("forgotten")
    forget.finish_forgetting(given)
    left = downloaded(store, tmp_path / "after")
    assert traces_in_landing(left) == []
    warehouses = sorted((left.parent / "warehouse").glob("*.duckdb"))
    assert len(warehouses) == 1
    assert not list(left.glob("_forgetting/*"))
    for file in (one for one in left.parent.rglob("*") if one.is_file()):
        assert USER.encode() not in file.read_bytes(), file
    for file in files_here(store):
        assert USER.encode() not in file.read_bytes(), file
    assert published_here(store) in files_here(store)
    assert read_mart("users").groupby(["organization_id", "status"]).size().equals(before)


def published_here(store: Settings) -> Path | None:
    return publisher(store).published_file()


def downloaded(store: Settings, folder: Path) -> Path:
    """All objects of the data root, on this disk; returns the landing."""
    root = open_data_root(store.data_root)
    for place in root.find_files("**/*"):
        path = folder / name_within(place, root)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(place.read_bytes())
    return folder / "landing"


def test_of_two_who_land_the_same_unit_the_second_finds_what_the_first_has_landed(store: Settings) -> None:
    table = pa.table({"event_id": ["a"]})
    path = unit_path(store.landing, ORGANIZATION, START, START + DAY)

    def land(received: int, meanwhile: int) -> None:
        with path.temporary() as temporary, path.one_writer() as put:
            write_table(FolderPath(temporary), table, {"received": received})
            write_table(path, table, {"received": meanwhile})
            put(temporary)

    for there, meanwhile in enumerate((8, 9)):
        assert path.exists() is bool(there)
        with pytest.raises(PutRefusedError, match="has been written meanwhile"):
            land(3, meanwhile)
        assert read_metadata(path)["received"] == meanwhile
    with path.temporary() as temporary, path.one_writer() as put:
        write_table(FolderPath(temporary), table, {"received": 12})
        put(temporary)
    assert read_metadata(path)["received"] == 12
    twin = path.with_name("twin.parquet")
    twin.create_hard_link_to(path)
    assert read_metadata(twin)["received"] == 12


def test_a_reader_of_a_store_never_fails_and_never_falls_behind_while_warehouses_are_published(
    store: Settings,
) -> None:
    publish_number(store, 0)
    published, ended, problems = [0], threading.Event(), []

    def read() -> None:
        try:
            while not ended.wait(0.01):
                at_least = published[-1]
                with open_warehouse() as connection:
                    ((number,),) = connection.execute("select run_id::int from warehouse_info").fetchall()
                    ((same,),) = connection.execute("select max(number) from numbers").fetchall()
                assert at_least <= number == same
        except Exception as error:
            problems.append(error)

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    try:
        for number in range(1, 16):
            publish_number(store, number)
            published.append(number)
    finally:
        ended.set()
        for reader in readers:
            reader.join()
    assert problems == []
    # The published one, and two before it for those who are fetching them.
    kept = [path.name for path in store.warehouse.parent.find_files("*.duckdb")]
    # Of what builds carry on, the last.
    state = [path.name for path in store.warehouse.parent.find_files("state/*.duckdb")]
    assert sorted(state) == [max(kept), f"last_good-{max(kept)}"]
    assert [name.split("-")[2] for name in sorted(kept)] == ["13", "14", "15"]


def publish_number(store: Settings, number: int) -> None:
    target = publisher(store).building_path(str(number))
    with contextlib.closing(duckdb.connect(str(target))) as connection:
        connection.execute(f"create table numbers as select {number} as number from range(10_000)")
        connection.execute(f"create table warehouse_info as select '{number}' as run_id, current_timestamp as built_at")
    state_file_of(target).write_bytes(b"")
    published = publisher(store).publish(publisher(store).hand_over(target))
    assert publisher(store).is_published(published)


def test_a_build_that_is_gone_or_that_never_was_is_told_from_a_published_one(store: Settings, sandbox: Sandbox) -> None:
    sandbox.set_world(EvolvingWorld(5).world())
    assert run_directory("directory") == []
    built = warehouse.build_warehouse("build")
    with pytest.raises(WarehouseError, match="There is no warehouse at s3://"):
        read_mart("users")
    publisher(store).discard(built)
    with pytest.raises(AirflowFailException, match="is not there any more: build it again"):
        warehouse.check_warehouse(built)


@pytest.mark.parametrize(
    ("data_root", "told"),
    [
        (f"s3://{CONNECTION_ID}@no-such-bucket/x", "there is no bucket 'no-such-bucket'"),
        ("s3://no_such_connection@bucket/x", "there is no connection 'no_such_connection'"),
    ],
)
def test_a_store_that_is_not_there_is_told_before_anything_is_asked_of_jumpcloud(
    data_root: str, told: str, store: Settings, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, data_root)
    with pytest.raises(AirflowFailException, match=f"^data_root: '{data_root}' given; {told}.*; allowed: "):
        common.list_organizations([])


def test_a_store_that_does_not_answer_is_no_mistake_of_the_settings(
    store: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    at_once = {"retries": {"max_attempts": 0}}
    monkeypatch.setenv("AIRFLOW_CONN_AWAY", connection_to("http://127.0.0.1:9", config_kwargs=at_once))
    use(monkeypatch, "s3://away@bucket/x")
    monkeypatch.setattr("s3fs.core.S3FileSystem.retries", 1)
    with pytest.raises(ConnectionError, match=r"^data_root: 's3://away@bucket/x' given; it cannot be reached: "):
        common.list_organizations([])


def test_an_installation_without_the_extra_names_it(store: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airflow.sdk.io.has_fs", lambda scheme: False)
    use(monkeypatch, "s3://bucket/x")
    with pytest.raises(AirflowFailException, match=r"^data_root: 's3://bucket/x' given; .* extra `s3`"):
        common.list_organizations([])


@pytest.mark.parametrize("data_root", ["gs://bucket/x", "s3://", "s3:///x", "s3://bucket/a*b", "s3://a b/x", "ftp://x"])
def test_an_address_of_another_kind_is_refused_with_what_is_allowed(
    data_root: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, data_root)
    with pytest.raises(ConfigurationError, match=r"data_root: .* given; allowed: a path on a local disk, s3://bucket"):
        read_settings()


def test_the_settings_ask_nothing_of_a_store(monkeypatch: pytest.MonkeyPatch) -> None:
    use(monkeypatch, "s3://no_such_connection@no-such-bucket/x")
    assert read_settings().data_root == "s3://no_such_connection@no-such-bucket/x"
