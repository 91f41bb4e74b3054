"""The documents against what is built: every table and column is in the dictionary, every example query gives rows."""

from __future__ import annotations

import re

import msgspec
import pyarrow as pa

from jumpcloud_elt.connections.report import SYNC_CAPABILITIES
from jumpcloud_elt.core.action_names import ACTIONS
from jumpcloud_elt.core.organization import NO, UNKNOWN, YES
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import DIRECTORY_STREAMS
from jumpcloud_elt.landing import action_log, manifests, units
from jumpcloud_elt.landing.action_log import ActionOutcome
from jumpcloud_elt.landing.capabilities import ACTION, SYNC
from jumpcloud_elt.landing.manifests import (
    DAMAGED,
    EXCLUDED,
    FAILED,
    HELD,
    INCOMPLETE,
    LEAVING,
    NOT_ASKED,
    OK,
    SKIPPED,
    UNVERIFIED,
)
from jumpcloud_elt.reading import MARTS, read_mart
from jumpcloud_elt.warehouse.dictionary import marts
from jumpcloud_elt.warehouse.dictionary_pages import documents
from jumpcloud_elt.warehouse.sql_files import sql_folder
from support.paths import ROOT
from support.pipeline import query, run_directory, run_usage, run_warehouse
from support.worlds import DAY, TODAY

DICTIONARY = ROOT / "docs" / "data-dictionary.md"


def landing_section(title: str) -> str:
    return DICTIONARY.read_text(encoding="utf-8").split(f"\n### {title}\n")[1].split("\n#")[0]


def test_every_mart_is_built_as_its_yml_says(settings: Settings) -> None:
    assert run_directory("directory") == []
    rows = query(
        run_warehouse("warehouse"),
        "select table_name, column_name, lower(data_type) as data_type from duckdb_columns() "
        "where schema_name = 'main' and not internal order by table_name, column_index",
    )
    built: dict[str, list[tuple[str, str]]] = {}
    for row in rows:
        built.setdefault(row["table_name"], []).append((row["column_name"], row["data_type"]))
    assert {mart.name: [(column.name, column.data_type) for column in mart.columns] for mart in marts()} == built
    assert {file.stem for file in (sql_folder() / "marts").glob("*.sql")} == set(built)


def test_columns_that_are_never_null_are_not(settings: Settings) -> None:
    assert run_directory("directory") == []
    assert run_usage("usage", TODAY - 5 * DAY, TODAY) == []
    warehouse = run_warehouse("warehouse")
    for mart in marts():
        never = [column.name for column in mart.columns if not column.is_nullable]
        nulls = ", ".join(f'count(*) - count("{name}") as "{name}"' for name in never)
        (row,) = query(warehouse, f"select {nulls} from {mart.name}")
        assert row == dict.fromkeys(never, 0), mart.name


def test_every_table_can_be_read_as_a_frame(settings: Settings) -> None:
    assert run_directory("directory") == []
    warehouse = run_warehouse("warehouse")
    assert {*MARTS, "events"} == {mart.name for mart in marts()}
    for mart in marts():
        if mart.name in MARTS:
            assert list(read_mart(mart.name, path=warehouse).columns) == [column.name for column in mart.columns]


def test_the_published_file_says_what_its_tables_and_columns_mean(settings: Settings) -> None:
    assert run_directory("directory") == []
    run_warehouse("first")
    warehouse = run_warehouse("second")
    comments = query(
        warehouse,
        "select table_name as name, comment from duckdb_tables() where schema_name = 'main' "
        "union all select view_name, comment from duckdb_views() where schema_name = 'main' and not internal",
    )
    assert {row["name"]: row["comment"] for row in comments} == {mart.name: mart.description for mart in marts()}
    columns = query(warehouse, "select * from duckdb_columns() where schema_name = 'main' and not internal")
    assert {(row["table_name"], row["column_name"]): row["comment"] for row in columns} == {
        (mart.name, column.name): column.text for mart in marts() for column in mart.columns
    }


def test_documents_are_what_make_dictionary_writes() -> None:
    for path, text in documents(ROOT / "docs").items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is outdated: run `make dictionary`"


def test_the_sources_of_dbt_name_every_table_column_and_rule() -> None:
    read = msgspec.yaml.decode((ROOT / "docs" / "dbt" / "sources.yml").read_bytes())
    (source,) = read["sources"]
    assert source["schema"] == "main"
    assert [(table["name"], table["columns"]) for table in source["tables"]] == [
        (mart.name, msgspec.to_builtins(mart.columns)) for mart in marts()
    ]


def test_accepted_values_are_those_that_the_package_writes() -> None:
    actions = [*ACTIONS]
    # What got no further than `started` is shown as `unknown`.
    outcomes = [one for one in ActionOutcome if one != ActionOutcome.STARTED]
    written = {
        ("capabilities", "capability"): [*SYNC_CAPABILITIES, *actions],
        ("capabilities", "kind"): [SYNC, ACTION],
        ("capabilities", "state"): [YES, NO, UNKNOWN],
        ("user_actions", "action"): actions,
        ("user_actions", "outcome"): outcomes,
        # `kept` was written by earlier versions.
        ("sync_log", "outcome"): [
            *(OK, HELD, FAILED, SKIPPED, EXCLUDED, INCOMPLETE, UNVERIFIED, LEAVING, NOT_ASKED, "kept", DAMAGED)
        ],
    }
    accepted = {(mart.name, column.name): column.accepted_values for mart in marts() for column in mart.columns}
    assert {where: accepted[where] for where in written} == written


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
    assert run_usage("usage", TODAY - 32 * DAY, TODAY) == []
    warehouse = run_warehouse("warehouse")
    examples = re.findall(r"```sql\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    assert examples
    for example in examples:
        assert query(warehouse, example), example
