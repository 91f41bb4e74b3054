"""The documents against what is built: every table and column is in the dictionary, every example query gives rows."""

from __future__ import annotations

import re

import pyarrow as pa

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import DIRECTORY_STREAMS
from jumpcloud_elt.landing import action_log, manifests, units
from jumpcloud_elt.reading import MARTS, read_mart
from support.paths import ROOT
from support.pipeline import query, run_directory, run_usage, run_warehouse
from support.worlds import DAY, TODAY

DICTIONARY = ROOT / "docs" / "data-dictionary.md"


def documented() -> dict[str, dict[str, tuple[str, str]]]:
    """Type and nullability by table and column."""
    tables: dict[str, dict[str, tuple[str, str]]] = {}
    for part in DICTIONARY.read_text(encoding="utf-8").split("\n## ")[1:]:
        columns = re.findall(r"^\| `(\w+)` \| ([A-Z]+(?:\[\])?) \| (yes|no) \|", part, re.MULTILINE)
        if columns:
            tables[part.split("\n")[0]] = {name: (kind, null) for name, kind, null in columns}
    return tables


def landing_section(title: str) -> str:
    return DICTIONARY.read_text(encoding="utf-8").split(f"\n### {title}\n")[1].split("\n#")[0]


def test_the_dictionary_is_the_warehouse(settings: Settings) -> None:
    assert run_directory("directory") == []
    rows = query(
        run_warehouse("warehouse"),
        "select table_name, column_name, data_type from information_schema.columns where table_schema = 'main'",
    )
    built: dict[str, dict[str, str]] = {}
    for row in rows:
        built.setdefault(row["table_name"], {})[row["column_name"]] = row["data_type"]
    assert {
        table: {name: kind for name, (kind, _) in columns.items()} for table, columns in documented().items()
    } == built


def test_columns_that_are_never_null_are_not(settings: Settings) -> None:
    assert run_directory("directory") == []
    assert run_usage("usage", TODAY - 5 * DAY, TODAY) == []
    warehouse = run_warehouse("warehouse")
    for table, columns in documented().items():
        never = [name for name, (_, null) in columns.items() if null == "no"]
        nulls = ", ".join(f'count(*) - count("{name}") as "{name}"' for name in never)
        (row,) = query(warehouse, f"select {nulls} from {table}")
        assert row == dict.fromkeys(never, 0), table


def test_every_documented_table_can_be_read_as_a_frame(settings: Settings) -> None:
    assert run_directory("directory") == []
    warehouse = run_warehouse("warehouse")
    assert {*MARTS, "events"} == set(documented())
    for mart in MARTS:
        assert list(read_mart(mart, path=warehouse).columns) == list(documented()[mart]), mart


def test_the_columns_of_landed_events_and_manifests_are_those_of_their_schemas() -> None:
    for title, schema in (
        ("Events", units.UNIT_SCHEMA),
        ("Manifests", manifests.MANIFEST_SCHEMA),
        ("User actions", action_log.ACTION_SCHEMA),
    ):
        assert isinstance(schema, pa.Schema)
        columns = re.findall(r"^\| `(\w+)` \| ([a-z0-9]+(?:\[us\])?) \|", landing_section(title), re.MULTILINE)
        assert columns == [(field.name, str(field.type)) for field in schema], title


def test_every_stream_is_documented_with_its_keys() -> None:
    rows = re.findall(
        r"^\| `(\w+)` \| `([^`]+)`.*? \| ([^|]+) \|$", landing_section("Streams of a snapshot"), re.MULTILINE
    )
    found = {name: (path, tuple(re.findall(r"`(\w+)`", keys))) for name, path, keys in rows}
    declared = {one.name: (one.path.replace("{parent}", "{id}"), one.keys) for one in DIRECTORY_STREAMS}
    assert found == {"organizations": ("/api/organizations", ()), **declared}


def test_every_query_of_the_readme_gives_rows(settings: Settings) -> None:
    assert run_directory("directory") == []
    assert run_usage("usage", TODAY - 5 * DAY, TODAY) == []
    warehouse = run_warehouse("warehouse")
    examples = re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        assert query(warehouse, example), example
