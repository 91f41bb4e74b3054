"""Whoever reads while warehouses are published, and builds are killed, reads whole builds and never fails."""

from __future__ import annotations

import contextlib
import dataclasses
import shutil
import stat
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import pytest

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.reading import open_warehouse
from jumpcloud_elt.warehouse import checkpoints
from jumpcloud_sandbox.client import Sandbox
from support.paths import ROOT
from support.pipeline import query, run_directory, run_warehouse
from support.worlds import organization, serve

USERS = 30
PUBLISHES, KILLS = 15, 3
# Builds need a processor too.
PAUSE_SECONDS = 0.02
# Of three tables: all of one build, or the read has seen two.
READ = """
select
    (select run_id[9:]::int from warehouse_info) as number,
    (select count(*) from sync_log where dag_id = 'counted') as counted,
    (select count(*) from users) as users
"""
# A session of an analyst who may write, killed before it could tidy up.
KILLED_SESSION = """
import duckdb, os, signal, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("set checkpoint_threshold = '1GB'")
connection.execute("create table polluted as select 1 as one")
connection.execute("delete from users")
os.kill(os.getpid(), signal.SIGKILL)
"""
# One that is opened before a publish, and writes when it is told to.
OPEN_SESSION = """
import duckdb, sys
connection = duckdb.connect(sys.argv[1])
connection.execute("set checkpoint_threshold = '1GB'")
connection.execute("select count(*) from users")
print("open", flush=True)
sys.stdin.readline()
connection.execute("create table polluted as select 1 as one")
print("written", flush=True)
sys.stdin.readline()
"""
# Somebody who is not root, where the tests are.
UNPRIVILEGED = """
import duckdb, os, sys
if not os.getuid():
    os.setuid(65534)
try:
    duckdb.connect(sys.argv[1])
except duckdb.Error as error:
    print(error)
print(duckdb.connect(sys.argv[1], read_only=True).execute("select count(*) from users").fetchone())
"""


class Readers:
    """Reads in a loop, in this process: connecting each time, and in requests that overlap."""

    def __init__(self, warehouse: Path) -> None:
        self.warehouse = warehouse
        self.published = 1
        self.ended = threading.Event()
        self.problems: list[str] = []
        self.builds: set[int] = set()

    def connect_each_time(self) -> None:
        while not self.ended.wait(PAUSE_SECONDS):
            at_least = self.published
            with contextlib.closing(duckdb.connect(str(self.warehouse), read_only=True)) as connection:
                self._read(connection, at_least)

    def overlap(self) -> None:
        with contextlib.ExitStack() as requests:
            while not self.ended.wait(PAUSE_SECONDS):
                # The next request is there before the last one has gone: the warehouse is never closed.
                previous, at_least = requests.pop_all(), self.published
                self._read(requests.enter_context(open_warehouse()), at_least)
                previous.close()

    def _read(self, connection: duckdb.DuckDBPyConnection, at_least: int) -> None:
        number, counted, users = connection.execute(READ).fetchall()[0]
        self.builds.add(number)
        if (counted, users) != (number, USERS) or number < at_least:
            self.problems.append(f"build {number}: {counted} manifests, {users} users; {at_least} was published")

    def guarded(self, loop: str) -> None:
        try:
            getattr(self, loop)()
        except Exception as error:
            self.problems.append(f"{loop}: {error}")


def test_no_read_fails_lags_behind_or_sees_half_a_build_while_warehouses_are_published_and_builds_killed(
    sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, organization(USERS))
    assert run_directory("directory") == []
    command = [sys.executable, "-m", "benchmarks.publisher", str(PUBLISHES), str(KILLS), "1"]
    readers = Readers(Path(str(settings.warehouse)))
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as publisher:
        assert publisher.stdout
        assert publisher.stdout.readline() == "published 1\n"
        loops = ("connect_each_time", "overlap", "overlap")
        threads = [threading.Thread(target=readers.guarded, args=[loop]) for loop in loops]
        with open_warehouse() as held:
            for thread in threads:
                thread.start()
            told = []
            for line in publisher.stdout:
                told.append(line.split()[0])
                if told[-1] == "published":
                    readers.published = int(line.split()[1])
            readers.ended.set()
            for thread in threads:
                thread.join()
            # Who began to read the first build reads the first build.
            assert held.execute(READ).fetchall() == [(1, 1, USERS)]
    assert publisher.returncode == 0
    assert readers.problems == []
    # A build that was done before it could be killed has been published, and another was killed.
    assert told.count("published") >= PUBLISHES - 1 and told.count("killed") == KILLS
    assert told[-1] == "ended"
    assert len(readers.builds) > PUBLISHES / 2
    # What killed builds have left is not what anybody reads, and goes after a day.
    assert [path.name for path in readers.warehouse.parent.glob("[!.]*.duckdb")] == [readers.warehouse.name]


def test_what_a_killed_session_of_an_analyst_has_left_is_not_in_the_next_warehouse(
    sandbox: Sandbox, settings: Settings
) -> None:
    serve(sandbox, organization(USERS))
    assert run_directory("directory") == []
    warehouse = run_warehouse("first")
    warehouse.chmod(0o644)
    subprocess.run([sys.executable, "-c", KILLED_SESSION, str(warehouse)], check=False)
    log = warehouse.with_name(f"{warehouse.name}.wal")
    assert log.exists()
    assert query(warehouse, "select count(*) as n from users") == [{"n": 0}]
    run_warehouse("second")
    assert not log.exists()
    assert query(warehouse, "select count(*) as n from users") == [{"n": USERS}]
    with open_warehouse() as connection, pytest.raises(duckdb.CatalogException, match="polluted"):
        connection.execute("from polluted")


@contextlib.contextmanager
def writing_session(warehouse: Path) -> Iterator[subprocess.Popen[str]]:
    """A session of an analyst who may write, open; it writes when it is told to, and is killed on leaving."""
    warehouse.chmod(0o644)
    command = [sys.executable, "-c", OPEN_SESSION, str(warehouse)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as session:
        assert session.stdout and session.stdout.readline() == "open\n"
        try:
            yield session
        finally:
            session.kill()


def write(session: subprocess.Popen[str]) -> None:
    assert session.stdin and session.stdout
    session.stdin.write("\n")
    session.stdin.flush()
    assert session.stdout.readline() == "written\n"


def make_unreadable(landing: Path) -> None:
    """Whoever folds snapshots from the start fails."""
    for path in landing.glob("*/*/snapshot_at=*/*.parquet"):
        path.write_bytes(b"not Parquet")


def test_a_session_that_has_the_warehouse_open_for_writing_does_not_make_a_build_begin_from_nothing(
    sandbox: Sandbox, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    serve(sandbox, organization(USERS))
    assert run_directory("directory") == []
    warehouse = run_warehouse("first")
    make_unreadable(Path(str(settings.landing)))
    with writing_session(warehouse) as session:
        write(session)
        with pytest.raises(duckdb.IOException, match="lock"):
            duckdb.connect(str(warehouse), read_only=True)
        run_warehouse("second")
        assert f"PID {session.pid}" in caplog.text and "end it" in caplog.text
    assert query(warehouse, "select count(*) as n from users") == [{"n": USERS}]
    assert query(warehouse, "select run_id from warehouse_info") == [{"run_id": "second"}]


def test_what_a_session_writes_that_outlives_a_publish_is_gone_with_the_next(
    sandbox: Sandbox, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    serve(sandbox, organization(USERS))
    assert run_directory("directory") == []
    warehouse = run_warehouse("first")
    log = warehouse.with_name(f"{warehouse.name}.wal")
    with writing_session(warehouse) as session:
        run_warehouse("second")
        assert not log.exists()
        write(session)
    # Its file has been replaced, and the log is found by its name.
    assert log.exists()
    assert query(warehouse, "from information_schema.tables where table_name = 'polluted'")
    # Only what is true is landed as a checkpoint.
    assert checkpoints.prune_landed_snapshots(dataclasses.replace(settings, snapshot_retention_days=1)) == 0
    make_unreadable(Path(str(settings.landing)))
    caplog.clear()
    run_warehouse("third")
    assert f"{log}: somebody has written" in caplog.text
    assert not log.exists()
    assert query(warehouse, "select count(*) as n from users") == [{"n": USERS}]
    assert query(warehouse, "from information_schema.tables where table_name = 'polluted'") == []


def test_nobody_but_a_privileged_user_can_open_the_published_file_for_writing(
    sandbox: Sandbox, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__WAREHOUSE_MODE", "0444")
    serve(sandbox, organization(USERS))
    assert run_directory("directory") == []
    with tempfile.TemporaryDirectory() as folder:
        # Where anybody may go.
        Path(folder).chmod(0o755)
        warehouse = Path(shutil.copy2(run_warehouse("first"), folder))
        assert stat.S_IMODE(warehouse.stat().st_mode) == 0o444
        command = [sys.executable, "-c", UNPRIVILEGED, str(warehouse)]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert "Permission denied" in told.splitlines()[0]
    assert told.splitlines()[1] == f"({USERS},)"


@pytest.mark.parametrize("what", ["is no database", "has no description", "is of another version"])
def test_what_cannot_be_gone_on_with_is_built_from_landing_and_the_log_says_why(
    what: str, sandbox: Sandbox, settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    serve(sandbox, organization(USERS))
    assert run_directory("directory") == []
    warehouse = run_warehouse("first")
    state = warehouse.parent / "state" / warehouse.name
    if what == "is no database":
        state.write_bytes(b"nothing")
    else:
        with contextlib.closing(duckdb.connect(str(state))) as connection:
            connection.execute("update build set schema_version = 1" if "version" in what else "drop table build")
    run_warehouse("second")
    why = "its schema version is 1" if "version" in what else "it cannot be read"
    assert f"{state} is not gone on with: {why}" in caplog.text
    assert query(warehouse, "select count(*) as n from users") == [{"n": USERS}]


def test_a_request_can_read_and_cannot_write(sandbox: Sandbox, settings: Settings) -> None:
    serve(sandbox, organization(USERS))
    assert run_directory("directory") == []
    run_warehouse("first")
    with open_warehouse() as connection:
        assert connection.sql("select count(*) from users join organizations using (organization_id)").fetchall()
        connection.execute("create temp table aside as from users")
        for statement in ("create table beside as select 1", "delete from users", "drop view events"):
            with pytest.raises(duckdb.Error, match="read-only"):
                connection.execute(statement)
        with open_warehouse() as beside, pytest.raises(duckdb.CatalogException):
            beside.execute("from aside")
