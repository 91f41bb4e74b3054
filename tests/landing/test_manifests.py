"""Manifests: what every organization's task left is gathered once, and nothing that is missing passes for good."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jumpcloud_elt.core.folder import FolderPath
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.times import format_time, parse_time
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.files import read_metadata, write_table
from jumpcloud_elt.landing.layout import run_file_name, snapshot_path, unit_path
from jumpcloud_elt.landing.manifests import CATCH_UP, MANIFEST_SCHEMA, Outcome, RunManifest, failure

RUN_ID = "scheduled__2026-03-02T00:00:00+00:00"
START, END = datetime(2026, 3, 1), datetime(2026, 3, 2)
KILLED = "the task ended without an outcome: it was killed, or its worker was lost"


def organization(name: str, connection_id: str = "jc") -> Organization:
    return Organization(
        connection_id=connection_id, organization_id=name * 24, organization_name=name, payload="{}", error=None
    )


A, B, C = organization("a"), organization("b"), organization("c")
ALL = [A, B, C]


def outcome(of: Organization, stream: str = "systemusers", **fields: Any) -> Outcome:
    outcome = failure(of, stream, "")
    for name, value in {"outcome": "ok", "reason": None, "rows": 5, **fields}.items():
        setattr(outcome, name, value)
    return outcome


def manifest(run: RunManifest) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.ParquetFile(run.manifest).read().to_pylist()
    return rows


def told(run: RunManifest) -> list[tuple[str, str, str, str | None]]:
    return [
        (row["organization_name"], row["stream"], row["outcome"], row["reason"] and row["reason"][:20])
        for row in manifest(run)
    ]


@pytest.fixture
def run(tmp_path: Path) -> RunManifest:
    return RunManifest(FolderPath(tmp_path), "jumpcloud_directory", RUN_ID)


def write(run: RunManifest, organizations: list[Organization] = ALL) -> list[Outcome]:
    return run.write_manifest(organizations, "directory", is_restricted=False)


def test_a_manifest_gathers_what_every_task_left_and_the_parts_go(run: RunManifest, tmp_path: Path) -> None:
    whole = outcome(
        A,
        "directory_insights_events",
        snapshot_at=START,
        interval_start=START,
        interval_end=datetime(2026, 3, 2, 0, 0, 0, 1),
        path="x/y.parquet",
        decision="accepted",
        received=7,
        api_total=8,
        inside=6,
        strays=1,
        kept=4,
        added=3,
        changed=2,
        requests=3,
        seconds=1.25,
        extracted_at=END,
    )
    run.add(A, [whole, outcome(A, "applications")])
    run.add(B, [outcome(B)])
    before = datetime.now()
    assert write(run, [A, B]) == [whole, outcome(A, "applications"), outcome(B)]
    first, second, third = manifest(run)
    assert first["recorded_at"].year >= before.year - 1
    assert first == {
        "dag_id": "jumpcloud_directory",
        "run_id": RUN_ID,
        "is_restricted": False,
        "connection_id": "jc",
        "organization_id": "a" * 24,
        "organization_name": "a",
        "stream": "directory_insights_events",
        "snapshot_at": START,
        "interval_start": START,
        "interval_end": datetime(2026, 3, 2, 0, 0, 0, 1),
        "path": "x/y.parquet",
        "rows": 5,
        "received": 7,
        "api_total": 8,
        "inside": 6,
        "strays": 1,
        "kept": 4,
        "added": 3,
        "changed": 2,
        "requests": 3,
        "seconds": 1.25,
        "outcome": "ok",
        "decision": "accepted",
        "reason": None,
        "recorded_at": first["recorded_at"],
        "extracted_at": END,
    }
    assert [(row["organization_name"], row["stream"]) for row in (second, third)] == [
        ("a", "applications"),
        ("b", "systemusers"),
    ]
    assert pq.read_schema(run.manifest).remove_metadata() == MANIFEST_SCHEMA
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == [run.manifest]


def test_a_task_that_was_killed_is_a_failure(run: RunManifest) -> None:
    run.add(A, [outcome(A)])
    written = write(run)
    assert written[1:] == [failure(one, "directory", KILLED) for one in (B, C)]
    assert told(run) == [
        ("a", "systemusers", "ok", None),
        ("b", "directory", "failed", KILLED[:20]),
        ("c", "directory", "failed", KILLED[:20]),
    ]


def test_a_task_of_events_that_was_killed_failed_over_all_that_its_run_was_to_land(tmp_path: Path) -> None:
    run = RunManifest(FolderPath(tmp_path), "jumpcloud_usage", RUN_ID)
    run.add(A, [outcome(A)])
    events = "directory_insights_events"
    run.write_manifest([A, B], events, is_restricted=False, interval=(START, END))
    assert [(row["outcome"], row["interval_start"], row["interval_end"]) for row in manifest(run)] == [
        ("ok", None, None),
        ("failed", START, END),
    ]


def test_a_later_try_of_a_task_replaces_what_it_left_before(run: RunManifest) -> None:
    run.add(A, [failure(A, "directory", "first try")])
    run.add(A, [outcome(A)])
    write(run, [A])
    assert told(run) == [("a", "systemusers", "ok", None)]


def test_running_some_organizations_again_keeps_what_the_others_did(run: RunManifest) -> None:
    run.add(A, [outcome(A), outcome(A, "applications")])
    run.add(B, [failure(B, "directory", "503")])
    run.add(C, [failure(C, "directory", "401")])
    write(run)
    run.add(B, [outcome(B, rows=9)])
    write(run)
    assert told(run) == [
        ("a", "systemusers", "ok", None),
        ("a", "applications", "ok", None),
        ("b", "systemusers", "ok", None),
        ("c", "directory", "failed", "401"),
    ]
    assert manifest(run)[2]["rows"] == 9


def test_a_run_again_that_is_killed_once_more_keeps_the_failure(run: RunManifest) -> None:
    run.add(A, [outcome(A)])
    write(run)
    write(run)
    assert [row[2] for row in told(run)] == ["ok", "failed", "failed"]


def test_a_task_that_is_killed_when_its_run_is_run_again_is_a_failure_and_what_had_landed_stays(
    run: RunManifest,
) -> None:
    run.add(A, [outcome(A, path="x", extracted_at=START)])
    run.add(B, [outcome(B)])
    assert [one.outcome for one in write(run, [A, B])] == ["ok", "ok"]
    run.begin(A, "directory")
    assert [(one.organization_name, one.outcome, one.reason) for one in write(run, [A, B])] == [
        ("a", "failed", KILLED),
        ("b", "ok", None),
    ]
    assert told(run) == [
        ("a", "systemusers", "ok", None),
        ("a", "directory", "failed", KILLED[:20]),
        ("b", "systemusers", "ok", None),
    ]


@pytest.mark.parametrize(
    ("caught_up", "expected"),
    [
        (None, [("ok", "own")]),
        ([], [("ok", "own")]),
        (["late"], [("ok", "own"), ("ok", "late")]),
        ("killed", [("ok", "own"), ("failed", None)]),
    ],
)
def test_what_an_organization_catches_up_stands_beside_what_it_landed(
    caught_up: list[str] | str | None, expected: list[tuple[str, str | None]], run: RunManifest
) -> None:
    run.add(A, [outcome(A, path="own")])
    if caught_up is not None:
        run.begin(A, "directory", (START, END), step=CATCH_UP)
    if isinstance(caught_up, list):
        run.add(A, [outcome(A, path=path) for path in caught_up], step=CATCH_UP)
    write(run, [A])
    assert [(row["outcome"], row["path"]) for row in manifest(run)] == expected
    if caught_up == "killed":
        assert (manifest(run)[1]["interval_start"], manifest(run)[1]["reason"]) == (START, KILLED)


@pytest.mark.parametrize("landed", ["ok", "incomplete", "unverified"])
def test_what_landed_stays_recorded_when_its_run_is_run_again(landed: str, run: RunManifest) -> None:
    run.add(A, [outcome(A, path="x", outcome=landed), outcome(A, path="y", outcome="leaving")])
    write(run, [A])
    run.add(A, [failure(A, "directory", "503")])
    write(run, [A])
    assert [(row["outcome"], row["path"]) for row in manifest(run)] == [(landed, "x"), ("failed", None)]


def test_organizations_that_are_not_run_again_stay_recorded_as_of_when_they_were(run: RunManifest) -> None:
    run.add(A, [outcome(A)])
    run.add(B, [failure(B, "directory", "401")])
    write(run, [A, B])
    before = {row["organization_name"]: row["recorded_at"] for row in manifest(run)}
    run.add(A, [outcome(A)])
    assert [one.outcome for one in write(run, [A, B])] == ["ok", "failed"]
    after = {row["organization_name"]: row["recorded_at"] for row in manifest(run)}
    assert after["b"] == before["b"] < after["a"]
    assert [(one.organization_name, one.outcome) for one in run.read_manifest()] == [("a", "ok"), ("b", "failed")]


@pytest.mark.parametrize("landed", ["ok", "incomplete", "unverified"])
def test_what_an_earlier_try_has_landed_stays_unless_it_lands_anew(landed: str, run: RunManifest) -> None:
    run.add(A, [outcome(A, path="x", outcome=landed), outcome(A, path="y"), failure(A, "directory", "503")])
    run.begin(A, "directory")
    run.add(A, [outcome(A, path="y", rows=9)])
    write(run, [A])
    found = [(row["outcome"], row["path"], row["rows"]) for row in manifest(run)]
    assert found == [(landed, "x", 5), ("ok", "y", 9)]


@pytest.mark.parametrize("content", [b"", b"PAR1"])
def test_a_damaged_manifest_is_set_aside_and_the_run_recorded_all_the_same(content: bytes, run: RunManifest) -> None:
    run.add(A, [outcome(A)])
    write(run, [A])
    assert not run.was_damaged
    path = Path(str(run.manifest))
    path.write_bytes(content)
    assert run.read_manifest() == []
    assert path.with_name(f"{path.name}.damaged").read_bytes() == content
    path.write_bytes(content)
    run.append(pa.Table.from_pylist([], schema=MANIFEST_SCHEMA))
    assert manifest(run) == []
    path.write_bytes(content)
    run.add(A, [outcome(A)])
    write(run, [A])
    assert run.was_damaged
    assert told(run) == [("a", "systemusers", "ok", None)]


def test_a_run_without_organizations_has_an_empty_manifest(run: RunManifest) -> None:
    assert write(run, []) == []
    assert manifest(run) == []


def test_connections_that_fail_have_outcomes_of_their_own(run: RunManifest) -> None:
    """They have no organization to be told apart by."""
    failed = [
        Organization(connection_id=name, organization_id=None, organization_name=name, payload="{}", error="no")
        for name in ("one", "two")
    ]
    for one in failed:
        run.add(one, [failure(one, "directory", f"{one['connection_id']} is broken")])
    write(run, failed)
    write(run, failed)
    assert [(row["connection_id"], row["organization_id"], row["reason"]) for row in manifest(run)] == [
        ("one", None, "one is broken"),
        ("two", None, "two is broken"),
    ]


def test_one_organization_through_two_connections_has_two_outcomes(run: RunManifest) -> None:
    one, other = organization("a", "one"), organization("a", "other")
    run.add(one, [outcome(one, rows=1)])
    run.add(other, [outcome(other, rows=2)])
    write(run, [one, other])
    assert [(row["connection_id"], row["rows"]) for row in manifest(run)] == [("one", 1), ("other", 2)]


def test_runs_and_dags_do_not_meet(tmp_path: Path) -> None:
    runs = [
        RunManifest(FolderPath(tmp_path), dag, run) for dag in ("one", "two") for run in ("a:b", "a+b", "a b", "A:b")
    ]
    for number, run in enumerate(runs):
        run.add(A, [outcome(A, rows=number)])
    for run in runs:
        write(run, [A])
    assert [manifest(run)[0]["rows"] for run in runs] == list(range(8))


@pytest.mark.parametrize(
    "run_id",
    ["manual__2026-11-22T00:00:00+00:00", "../../etc/passwd", "a/b\\c", "ünï 🚀", "x" * 500, " ", ".", "a\nb"],
)
def test_any_run_id_makes_a_manifest_in_the_dags_own_folder(run_id: str, tmp_path: Path) -> None:
    run = RunManifest(FolderPath(tmp_path), "jumpcloud_usage", run_id)
    run.add(A, [outcome(A)])
    write(run, [A])
    assert run.manifest.parent == tmp_path / "_runs" / "jumpcloud_usage"
    assert list(run.manifest.parent.iterdir()) == [run.manifest]
    assert manifest(run)[0]["run_id"] == run_id


@given(one=st.text(max_size=100), other=st.text(max_size=100))
def test_run_ids_that_differ_have_files_that_differ(one: str, other: str) -> None:
    names = {run_file_name(one), run_file_name(other)}
    assert len(names) == len({one, other})
    assert all(len(name) < 100 and name.isascii() and "/" not in name and "." not in name for name in names)


# ---- how a file gets there ------------------------------------------------------------------------------------


def test_paths_are_those_that_are_promised() -> None:
    root = FolderPath("landing")
    assert str(snapshot_path(root, "systemusers", "a1", datetime(2026, 3, 1, 4, 5, 6))) == (
        "landing/systemusers/organization_id=a1/snapshot_at=20260301T040506Z/systemusers.parquet"
    )
    assert str(unit_path(root, "a1", START, END)) == (
        "landing/directory_insights_events/organization_id=a1/date=2026-03-01/20260301T000000Z_20260302T000000Z.parquet"
    )


@given(moment=st.datetimes(datetime(1000, 1, 1)))
def test_a_time_in_a_path_reads_back_as_it_was(moment: datetime) -> None:
    assert parse_time(format_time(moment)) == moment


@pytest.mark.parametrize("text", ["", "2026-03-01T00:00:00Z", "20260301", "20260301T000000", "20261301T000000Z"])
def test_a_time_that_landing_does_not_write_is_told(text: str) -> None:
    with pytest.raises(LandingError, match="is not a time as landing writes it"):
        parse_time(text)


def test_a_table_is_written_whole_with_what_is_known_of_it(tmp_path: Path) -> None:
    path = FolderPath(tmp_path) / "deep" / "er" / "x.parquet"
    table = pa.table({"a": [1, 2]})
    write_table(path, table, {"received": 2, "text": "é"})
    assert pq.ParquetFile(path).read().equals(table)
    assert read_metadata(path) == {"received": 2, "text": "é"}
    write_table(path, pa.table({"a": [3]}))
    assert pq.ParquetFile(path).read().to_pydict() == {"a": [3]}
    assert read_metadata(path) == {}
    assert list(path.parent.iterdir()) == [path]


def test_a_file_that_is_no_parquet_of_landing_is_told(tmp_path: Path) -> None:
    path = FolderPath(tmp_path) / "x.parquet"
    path.write_bytes(b"no parquet")
    with pytest.raises(LandingError, match=r"x\.parquet in .* is not a Parquet file of landing"):
        read_metadata(path)


def test_a_write_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = FolderPath(tmp_path) / "x.parquet"
    write_table(path, pa.table({"a": [1]}))
    before = path.read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_table(path, pa.table({"a": [2]}))
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
