"""Storage: a folder and a bucket do the same for whoever has a place."""

from __future__ import annotations

import re
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


def test_what_killed_writers_left_goes_with_the_next_one_and_what_is_being_written_stays(folder: FolderPath) -> None:
    path, other = folder / "x.parquet", folder / "y.parquet"
    with path.locked_temporary() as one:
        one.write_text("killed")
        left = one.with_name(one.name.replace(".locked", "-killed.locked"))
        left.write_bytes(one.read_bytes())
        with other.locked_temporary() as beside:
            assert not left.exists()
            beside.write_text("half a unit")
            assert (one.read_text(), beside.read_text()) == ("killed", "half a unit")
            assert folder.find_files("*.parquet") == []
            path.put(one)
    assert folder.find_files("*") == [path]


def test_a_file_that_takes_long_to_write_is_put_like_any_other(place: Place) -> None:
    path = place / "x.parquet"
    with path.locked_temporary() as temporary:
        temporary.write_text("whole")
        path.put(temporary)
    assert place.find_files("*") == [path]


def test_only_old_temporaries_are_removed_where_an_age_is_given(folder: FolderPath) -> None:
    for name in ("a.tmp", ".old.tmp", ".young.tmp", "deep/.old.tmp"):
        write(folder / name)
    at = (folder / ".young.tmp").stat().st_mtime
    (folder / ".old.tmp").touch()
    folder.remove_temporaries(older_than=at - 1000)
    assert len(folder.find_files("**/*")) == 4
    folder.remove_temporaries()
    assert [path.name for path in folder.find_files("**/*")] == ["a.tmp"]


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
    # A bucket has no folders: there a claim is seen once a file has been written.
    write(path / "x")
    assert not path.claim_folder()
    path.remove_folder()
    path.remove_folder()
    assert path.claim_folder()


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
