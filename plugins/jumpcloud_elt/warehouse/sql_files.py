"""The SQL files under `include/sql`: where they are, and how one becomes a table or a view.

Reads and runs them one by one. Does not know their order: `warehouse` and `rollups` do.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import duckdb

from jumpcloud_elt.core.storage import Place


def sql_folder() -> Path:
    """Where the SQL files are: inside an installed package, beside it in a source tree."""
    installed = Path(__file__).parents[1] / "sql"
    return installed if installed.is_dir() else Path(__file__).parents[3] / "include" / "sql"


def read_sql(name: str) -> str:
    """The text of one file, named by folder and stem: `marts/users`."""
    return (sql_folder() / f"{name}.sql").read_text(encoding="utf-8")


def quote(text: str) -> str:
    """Text as an SQL literal, where a parameter cannot stand."""
    return "'" + text.replace("'", "''") + "'"


def make(connection: duckdb.DuckDBPyConnection, model: str, create: str) -> None:
    """Make what `create` says (such as `create table users`) of a model."""
    connection.execute(f"{create} as\n{read_sql(model)}")


def set_files(connection: duckdb.DuckDBPyConnection, name: str, files: Sequence[Place]) -> None:
    """Let models read `files` as `getvariable('<name>_files')`."""
    connection.execute(f"set variable {name}_files = ?::varchar[]", [[file.url for file in files]])
