"""What becomes of an organization whose rows break a check: it is published as it was last.

Its rows of all marts are those of the last published warehouse, kept in the state folder for that; `organizations` says
why. What this build has folded of it is let go of, so that the next build begins again from landing. The checks
themselves are `checks`'.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path

import duckdb

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.errors import CheckFailedError
from jumpcloud_elt.landing.inventory import WAREHOUSE_DAG, named
from jumpcloud_elt.landing.manifests import RunManifest, failure
from jumpcloud_elt.warehouse import state_file
from jumpcloud_elt.warehouse.checks import find_broken
from jumpcloud_elt.warehouse.dictionary import marts
from jumpcloud_elt.warehouse.files import built_by, open_built, open_file, state_file_of
from jumpcloud_elt.warehouse.publish import publisher
from jumpcloud_elt.warehouse.sql_files import quote

# The stream of a run's record of an organization that it could not publish anew.
WAREHOUSE_STREAM = "warehouse"


def check(settings: Settings, target: Path) -> dict[str, str]:
    """The organizations of a built file whose rows break a check, by id, and what was found.

    Raises CheckFailedError, with what was found first, where no single organization explains it.
    """
    with contextlib.closing(open_built(target, settings.landing)) as connection:
        found = find_broken(connection, settings)
    if of_nobody := [finding.message for finding in found if finding.organization_id is None]:
        raise CheckFailedError("Built, but not published: the warehouse's checks found\n" + "\n".join(of_nobody))
    broken: dict[str, str] = {}
    for finding in found:
        if finding.organization_id is not None:
            before = broken.get(finding.organization_id)
            broken[finding.organization_id] = f"{before}; {finding.message}" if before else finding.message
    return broken


def record_held(settings: Settings, target: Path, broken: Mapping[str, str]) -> None:
    """Note in the run's manifest which organizations it does not publish anew, and why."""
    with contextlib.closing(open_file(target)) as connection:
        told = connection.execute("select organization_id, connection_id, organization_name from organizations")
        known = {row[0]: named(row[0], row[1] or "", row[2] or row[0]) for row in told.fetchall()}
    run = RunManifest(settings.landing, WAREHOUSE_DAG, built_by(target)[0])
    run.append_outcomes(
        [failure(known.get(one) or named(one, "", one), WAREHOUSE_STREAM, message) for one, message in broken.items()]
    )


def hold(settings: Settings, target: Path, broken: Mapping[str, str]) -> None:
    """Show these organizations of a built file as they were last; with nothing but their names where they never were.

    Raises CheckFailedError where that does not help.
    """
    state_file.let_go_of(state_file_of(target), broken)
    _replace(target, publisher(settings).last_good_file(), broken)
    # What was good by the rules of an earlier version may not be by those of this one.
    if still := check(settings, target):
        state_file.let_go_of(state_file_of(target), still)
        _replace(target, None, still)
        if left := check(settings, target):
            raise CheckFailedError(
                "Built, but not published: the warehouse's checks found\n" + "\n".join(left.values())
            )


def _replace(target: Path, last_good: Path | None, broken: Mapping[str, str]) -> None:
    """Put the last good rows of organizations in the place of those that were built, in one transaction."""
    with contextlib.closing(duckdb.connect()) as connection:
        connection.execute(f"attach {quote(str(target))} as built")
        has_last = last_good is not None and _attach_last(connection, last_good)
        connection.execute("use built")
        connection.execute(
            "create temp table broken as "
            "select unnest(?::varchar[]) as organization_id, unnest(?::varchar[]) as message",
            [list(broken), list(broken.values())],
        )
        connection.execute("create temp table built_organizations as select * from organizations semi join broken "
                           "using (organization_id)")  # fmt: skip
        connection.execute("begin")
        for mart in marts():
            if mart.meta.kind != "table" or "organization_id" not in (column.name for column in mart.columns):
                continue
            connection.execute(f"delete from {mart.name} where organization_id in (select organization_id from broken)")
            if has_last:
                connection.execute(
                    f"insert into {mart.name} by name "
                    f"select * from last_good.{mart.name} semi join broken using (organization_id)"
                )
        connection.execute(
            "insert into organizations by name select organization_id, "
            "coalesce(any_value(organization_name), organization_id) as organization_name, "
            "any_value(connection_id) as connection_id, 'unknown' as usage_state, "
            "'Nothing of this organization has been published yet.' as usage_state_reason, 0 as known_days, "
            "'failed' as sync_status from built_organizations anti join organizations using (organization_id) "
            "group by organization_id"
        )
        connection.execute(
            "update organizations set sync_status = 'failed', "
            "sync_message = 'Shown as it was last: the warehouse''s checks found ' || broken.message "
            "from broken where organizations.organization_id = broken.organization_id"
        )
        connection.execute("commit")


def _attach_last(connection: duckdb.DuckDBPyConnection, last_good: Path) -> bool:
    """Attach the last good file as `last_good`; False where it is damaged, or of another version."""
    try:
        connection.execute(f"attach {quote(str(last_good))} as last_good (read_only)")
        versions = connection.execute(
            "select schema_version from built.warehouse_info union select schema_version from last_good.warehouse_info"
        ).fetchall()
    except duckdb.Error:
        return False
    return len(versions) == 1
