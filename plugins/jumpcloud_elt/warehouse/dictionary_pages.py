"""The documents that are made from the data dictionary: its tables in Markdown, and dbt's `sources.yml`.

python -m jumpcloud_elt.warehouse.dictionary_pages docs
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec

from jumpcloud_elt.warehouse.dictionary import Mart, marts

BEGIN, END = "<!-- begin: made by make dictionary -->\n", "<!-- end: made by make dictionary -->\n"
SOURCES_HEAD = """\
# Made by make dictionary. Copy it into the models folder of a dbt project (dbt 1.10.5 or later, dbt-duckdb), whose
# profile attaches the published file:
#     attach: [{path: <data_root>/warehouse/jumpcloud.duckdb, alias: jumpcloud, read_only: true}]
"""


def documents(docs: Path) -> dict[Path, str]:
    """The text of each document below `docs` that has a made part, as it should be."""
    dictionary = docs / "data-dictionary.md"
    before, _, rest = dictionary.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    return {
        dictionary: before + BEGIN + "\n" + "\n".join(_lines()) + "\n" + END + after,
        docs / "dbt" / "sources.yml": SOURCES_HEAD + msgspec.yaml.encode(_sources()).decode(),
    }


def _lines() -> Iterator[str]:
    yield from ("## Tables", "", "| Table | Grain | Source |", "|---|---|---|")
    for mart in marts():
        kind = " (view)" if mart.meta.kind == "view" else ""
        yield f"| [{mart.name}](#{mart.name}){kind} | {mart.meta.grain} | {mart.meta.source} |"
    for mart in marts():
        yield from _section(mart)


def _section(mart: Mart) -> Iterator[str]:
    columns = {column.name: column for column in mart.columns}
    key = [f"`{name}`" + (" (may be null)" if columns[name].is_nullable else "") for name in mart.meta.key]
    yield from ("", f"## {mart.name}", "", mart.description.replace("\n", "\n\n"), "")
    yield from (f"Grain: {mart.meta.grain}. Key: {', '.join(key) or 'one row'}.", "")
    yield from ("| Column | Type | Null | Description |", "|---|---|---|---|")
    for column in mart.columns:
        null = "yes" if column.is_nullable else "no"
        yield f"| `{column.name}` | {column.data_type.upper()} | {null} | {column.text} |"


def _sources() -> dict[str, object]:
    tables = [
        {
            "name": mart.name,
            "description": mart.description,
            "config": {"meta": {"grain": mart.meta.grain, "key": mart.meta.key}},
            "columns": mart.columns,
        }
        for mart in marts()
    ]
    return {
        "version": 2,
        "sources": [{"name": "jumpcloud", "schema": "main", "database": "jumpcloud", "tables": tables}],
    }


def write(docs: Path) -> None:
    """Write the documents below `docs`."""
    for path, text in documents(docs).items():
        path.parent.mkdir(exist_ok=True)
        path.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
