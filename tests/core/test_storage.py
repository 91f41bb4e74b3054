"""Storage: a folder and a bucket do the same for whoever has a place."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jumpcloud_elt.core.bucket import BucketPath
from jumpcloud_elt.core.data_root import open_data_root
from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.storage import Place, PutRefusedError, name_within, read_if_there
from support.object_store import CONNECTION_ID, connection_to, make_bucket
from support.writers import writing

# What a pattern could take for something else.
ODD = "data [1] *?"


@pytest.fixture
def folder(tmp_path: Path) -> Place:
    return open_data_root(tmp_path / ODD) / "landing"


@pytest.fixture
def bucket(s3: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Place:
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION_ID.upper()}", connection_to(s3))
    name = f"bucket-{abs(hash(request.node.name)):x}"
    make_bucket(name)
    # What lies beside the folder, or has a name that begins like it, is not in it.
    root = open_data_root(f"s3://{CONNECTION_ID}@{name}/some/prefix/")
    write(root / "landing-beside" / "x.parquet")
    return root / "landing"


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> Place:
    found: Place = request.getfixturevalue(request.param)
    return found


def write(place: Place, text: str = "content") -> None:
    with place.temporary() as temporary:
        temporary.write_text(text)
        place.put(temporary)


def test_a_place_is_known_by_its_names(place: Place) -> None:
    path = place / "runs" / "one.two.parquet"
    assert (path.name, path.stem, path.parent) == ("one.two.parquet", "one.two", place / "runs")
    assert path.with_name("x.json") == place / "runs" / "x.json"
    assert len({path, place / "runs" / "one.two.parquet", path.parent}) == 2
    assert name_within(path, place) == "runs/one.two.parquet"
    assert str(path).endswith("/landing/runs/one.two.parquet")
    assert path.url.endswith("/landing/runs/one.two.parquet")


def test_a_bucket_has_its_connection_in_its_name_and_not_in_its_url(bucket: Place) -> None:
    assert str(bucket).startswith(f"s3://{CONNECTION_ID}@bucket-")
    assert bucket.url == str(bucket).replace(f"{CONNECTION_ID}@", "")
    assert bucket.local_path is None


@pytest.mark.parametrize("with_prefix", ["/", "/some/prefix", "/some//prefix/", ""])
def test_a_data_root_is_the_prefix_that_is_given(with_prefix: str, bucket: Place) -> None:
    name = str(bucket).split("/")[2]
    root = open_data_root(f"s3://{name}{with_prefix}")
    assert str(root / "x") == f"s3://{name}{with_prefix.rstrip('/')}/x"


NAMES = ("a.parquet", ".b.parquet", "c.json", "d/a.parquet", "d/e/a.parquet", "d-e/a.parquet", "f[1]/a.parquet")


@pytest.mark.parametrize(
    ("pattern", "names"),
    [
        ("*", [".b.parquet", "a.parquet", "c.json"]),
        ("*.parquet", [".b.parquet", "a.parquet"]),
        ("[!.]*.parquet", ["a.parquet"]),
        ("?.json", ["c.json"]),
        ("a.parquet", ["a.parquet"]),
        ("*/*", ["d/a.parquet", "d-e/a.parquet", "f[1]/a.parquet"]),
        ("d/*", ["d/a.parquet"]),
        ("d*/a.parquet", ["d/a.parquet", "d-e/a.parquet"]),
        ("d/**/*.parquet", ["d/a.parquet", "d/e/a.parquet"]),
        ("*/e/*", ["d/e/a.parquet"]),
        ("f[[]*/*", ["f[1]/a.parquet"]),
        (
            "**/*.parquet",
            [".b.parquet", "a.parquet", "d/a.parquet", "d/e/a.parquet", "d-e/a.parquet", "f[1]/a.parquet"],
        ),
        ("nothing/*", []),
    ],
)
def test_files_are_found_by_pattern_in_the_order_of_their_paths(pattern: str, names: list[str], place: Place) -> None:
    for name in NAMES:
        write(place / name)
    found = place.find_files(pattern)
    assert [name_within(path, place) for path in found] == names
    assert sorted(place.find_versions(pattern)) == sorted(names)
    assert [path.read_bytes() for path in found] == [b"content"] * len(names)


def test_files_are_found_in_a_folder_whose_name_is_a_pattern(place: Place) -> None:
    for name in NAMES:
        write(place / name)
    assert (place / "f[1]").find_files("*") == [place / "f[1]" / "a.parquet"]
    assert (place / "f*").find_files("*") == []


def test_a_bucket_is_listed_once_and_only_where_the_pattern_can_match(
    bucket: BucketPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("runs/a/1", "runs/a/2", "runs/b/1", "runs/.c", "users/a/1"):
        write(bucket / name)
    requests = count_requests(bucket, monkeypatch)
    assert len(bucket.find_files("runs/*/*")) == 3
    assert len(bucket.find_files("runs/a/1*")) == 1
    assert len(bucket.find_files("us*/*/1")) == 1
    prefix = bucket.path.partition("/")[2]
    assert requests == [
        ("list_objects_v2", f"{prefix}/runs/"),
        ("list_objects_v2", f"{prefix}/runs/a/1"),
        ("list_objects_v2", f"{prefix}/us"),
    ]


def count_requests(bucket: BucketPath, monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, object]]:
    """The operations that the client asks for from now on, each with the prefix that it lists."""
    requests: list[tuple[str, object]] = []
    client = bucket.fs.s3
    send = type(client)._make_api_call

    def counted(self: object, operation: str, parameters: dict[str, object]) -> object:
        name = re.sub(r"(?<=[a-z])(?=[A-Z0-9])|(?<=[a-z0-9])(?=V\d)", "_", operation).lower()
        requests.append((re.sub(r"_v_2$", "_v2", name), parameters.get("Prefix")))
        return send(self, operation, parameters)

    monkeypatch.setattr(type(client), "_make_api_call", counted)
    return requests


def test_a_version_changes_with_the_content(place: Place) -> None:
    write(place / "a", "one")
    write(place / "b", "two")
    before = place.find_versions("*")
    write(place / "a", "other")
    after = place.find_versions("*")
    assert before["a"] != after["a"]
    assert before["b"] == after["b"]


def test_a_file_appears_when_it_is_put_and_nothing_of_its_temporary_is_left(place: Place) -> None:
    path = place / "deep" / "er" / "x.parquet"
    assert read_if_there(path) is None
    assert not path.exists()
    with path.temporary() as temporary:
        temporary.write_text("whole")
        assert place.find_files("**/*.parquet") == []
        path.put(temporary)
        assert place.find_files("**/*.parquet") == [path]
    assert not temporary.exists()
    assert place.find_files("**/*") == [path]
    assert path.read_bytes() == b"whole" == read_if_there(path)
    write(path, "replaced")
    assert path.read_bytes() == b"replaced"
    path.unlink()
    assert not path.exists()
    path.unlink(missing_ok=True)
    with pytest.raises(FileNotFoundError):
        path.unlink()
    with pytest.raises(FileNotFoundError):
        path.read_bytes()


def test_the_temporary_of_a_folder_lies_in_it_and_is_hidden(folder: Place) -> None:
    path = folder / "x.parquet"
    with path.temporary() as temporary:
        assert temporary.parent == path.parent
        assert temporary.name.startswith(".x.parquet.")
        assert temporary.name.endswith(".tmp")


def test_what_killed_writers_left_goes_and_what_is_being_written_stays(folder: FolderPath) -> None:
    path, deep = folder / "x.parquet", folder / "deep" / "er" / "y.parquet"
    with writing(path, "half a file") as alive, writing(path, "killed") as killed, writing(deep, "killed") as deeper:
        killed.kill()
        deeper.kill()
        for name in (".of_an_older_version.locked.tmp", "x.tmp", ".x.json"):
            (folder / name).write_text("")
        (folder / ".spill.0.tmp").mkdir()
        (folder / ".spill.0.tmp" / "x").write_text("")
        folder.remove_temporaries("de*")
        assert killed.temporary.exists() and not deeper.temporary.exists()
        folder.remove_temporaries()
        assert alive.temporary.read_text() == "half a file"
        left = {one.name for one in folder.find_files("**/*")}
        assert left == {"x.tmp", ".x.json", alive.temporary.name, f"{alive.temporary.name}.lock"}
    folder.remove_temporaries()
    assert {one.name for one in folder.find_files("**/*")} == {"x.tmp", ".x.json"}


def in_threads(number: int, call: Callable[[int], None]) -> None:
    with ThreadPoolExecutor(number) as threads:
        list(threads.map(call, range(number)))


def test_nobody_loses_a_lock_or_a_temporary_to_whoever_cleans_up(folder: FolderPath) -> None:
    """Locks are of open files, not of processes: threads stand for processes."""
    counter, done = folder / "counter", threading.Event()
    write(counter, "0")

    def clean_up() -> None:
        while not done.is_set():
            folder.remove_temporaries()

    def count(number: int) -> None:
        for _ in range(50):
            with counter.temporary() as temporary, counter.one_writer() as put:
                temporary.write_text(str(int(counter.read_bytes()) + 1))
                put(temporary)

    with ThreadPoolExecutor(2) as cleaning:
        cleaners = [cleaning.submit(clean_up) for _ in range(2)]
        try:
            in_threads(4, count)
        finally:
            done.set()
        assert [cleaner.result() for cleaner in cleaners] == [None, None]
    assert counter.read_bytes() == b"200"
    folder.remove_temporaries()
    assert folder.find_files("*") == [counter]


def test_locks_are_files_opened_for_writing_as_nfs_wants_them_and_what_is_written_stays_free(
    folder: FolderPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    flock = fcntl.flock

    def flock_on_nfs(descriptor: int, operation: int) -> None:
        is_writable = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE != os.O_RDONLY
        if not is_writable or not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise OSError(errno.EBADF, "Bad file descriptor")
        flock(descriptor, operation)

    monkeypatch.setattr("fcntl.flock", flock_on_nfs)
    path = folder / "x.parquet"
    with path.temporary() as temporary, path.one_writer() as put:
        with temporary.open("wb") as file:
            # On SMB a lock shuts out whoever opens the file once more.
            flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)
        folder.remove_temporaries()
        put(temporary)
    assert folder.find_files("*") == [path]


@pytest.mark.parametrize("umask", [0, 0o002, 0o022, 0o077])
def test_what_is_written_is_for_owner_and_group_at_most_whatever_the_umask(umask: int, folder: FolderPath) -> None:
    before = os.umask(umask)
    try:
        path, table = folder / "x.parquet", pa.table({"number": [1]})
        with path.temporary() as temporary:
            pq.write_table(table, temporary)
            assert stat.S_IMODE(temporary.stat().st_mode) == 0o660 & ~umask
            path.put(temporary)
        (folder / "y").create_hard_link_to(path)
        with (folder / "spill").temporary_folder() as spill:
            assert stat.S_IMODE(spill.stat().st_mode) == 0o700
        with path.one_writer():
            modes = {one.name: one.stat().st_mode & 0o007 for one in folder.find_files("*")}
    finally:
        os.umask(before)
    assert modes == {"x.parquet": 0, "y": 0, ".x.parquet.lock": 0}


def test_a_second_writer_of_an_object_is_refused_whether_it_was_there_or_not(bucket: Place) -> None:
    path = bucket / "x"
    for meanwhile in ("first", "second"):
        with path.temporary() as temporary, path.one_writer() as put:
            temporary.write_text("mine")
            write(path, meanwhile)
            with pytest.raises(PutRefusedError, match=f"^{re.escape(str(path))} has been written meanwhile$"):
                put(temporary)
        assert path.read_bytes() == meanwhile.encode()
    with path.temporary() as temporary, path.one_writer() as put:
        temporary.write_text("mine")
        put(temporary)
    assert path.read_bytes() == b"mine"


def test_a_hard_link_has_the_content_and_the_identity_of_its_source(place: Place) -> None:
    write(place / "a")
    write(place / "b", "replaced")
    for link in (place / "b", place / "new" / "c"):
        assert (place / "a").exists()
        link.create_hard_link_to(place / "a")
        assert link.read_bytes() == b"content"
        assert link.identity() == (place / "a").identity()
    assert len(place.find_files("**/*")) == 3
    write(place / "b", "other")
    assert (place / "a").read_bytes() == b"content"
    assert (place / "b").identity() != (place / "a").identity()


def test_a_folder_is_claimed_once(place: Place) -> None:
    path = place / "a" / "b"
    assert path.claim_folder()
    assert not path.claim_folder()
    write(path / "x.parquet")
    assert not path.claim_folder()
    assert path.find_files("*.parquet") == [path / "x.parquet"]
    path.remove_folder()
    path.remove_folder()
    assert path.claim_folder()


def test_of_several_who_claim_a_folder_at_a_time_one_gets_it(place: Place) -> None:
    claimed: list[bool] = []
    at_once = threading.Barrier(8)

    def claim(number: int) -> None:
        at_once.wait()
        claimed.append((place / "a").claim_folder())

    in_threads(8, claim)
    assert sorted(claimed) == [False] * 7 + [True]


def test_a_folder_is_removed_with_what_is_in_it_or_only_when_it_is_empty(place: Place) -> None:
    folder = place / "a"
    folder.make_folder()
    folder.make_folder()
    write(folder / "b" / "x")
    folder.remove_empty_folder()
    assert len(place.find_files("**/*")) == 1
    folder.remove_folder()
    assert not folder.exists()
    folder.make_folder()
    folder.remove_empty_folder()
    assert not folder.exists()


def test_parquet_is_read_without_the_columns_of_its_path(place: Place, tmp_path: Path) -> None:
    path = place / "organization_id=a" / "x.parquet"
    with path.temporary() as temporary:
        pq.write_table(pa.table({"number": [1, 2]}), temporary)
        path.put(temporary)
    with path.open_parquet() as file:
        assert file.read().to_pydict() == {"number": [1, 2]}
    path.copy_to(tmp_path / "copy.parquet")
    assert pq.read_table(tmp_path / "copy.parquet").num_rows == 2
    with pytest.raises(FileNotFoundError):
        (place / "none").copy_to(tmp_path / "none")


def test_duckdb_reads_what_a_place_calls_itself(bucket: Place, tmp_path: Path) -> None:
    for root in (bucket, open_data_root(tmp_path)):
        path = root / "x.parquet"
        with path.temporary() as temporary:
            pq.write_table(pa.table({"number": [1, 2]}), temporary)
            path.put(temporary)
        with duckdb.connect() as connection:
            for _ in range(2):
                path.let_read(connection)
            assert connection.execute("select sum(number) from read_parquet(?)", [path.url]).fetchone() == (3,)
