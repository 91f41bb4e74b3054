"""Roll-ups: usage by day, kept as Parquet and made anew only where landing has changed.

    rollups/<generation>/usage_daily/<month>.parquet          usage, with the actor as the event names it
    rollups/<generation>/usage_applications/<month>.parquet   applications, as sign-ons name them
    rollups/<generation>/units/<month>.parquet                the units that these are made of

An organization's day is rolled up as a whole, of every unit of it that the manifests know, where any of them is not
the one that was rolled up before. Marts read roll-ups and never events. All of it is computed: what is missing, or of
another generation, is made again from landing.

Decides what has changed, reads it in batches, writes whole files. What counts as usage is in the SQL beside; whom the
actors are is found when marts are built.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
from collections.abc import Iterable, Iterator
from datetime import date, datetime
from typing import Any

import duckdb

from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.core.times import format_time
from jumpcloud_elt.landing.files import rebuild_from
from jumpcloud_elt.warehouse.sql_files import make, quote, read_sql, set_files

log = logging.getLogger(__name__)

# Raised whenever a roll-up of the same landing would be another.
VERSION = 4
UNITS = "units"
# Written in this order: what `units` does not name is not rolled up.
ROLLUPS = ("usage_daily", "usage_applications", UNITS)
# What is read at a time: bounds memory, whatever there is to read. One organization's day is never cut.
BATCH_FILES = 2_000
ROLLUP_BATCH_ROWS = 2_000_000
ROLLUP_READ_ATTEMPTS = 3
Unit = tuple[str, date, str, int | None]  # organization, day, path below landing, rows


@contextlib.contextmanager
def up_to_date(connection: duckdb.DuckDBPyConnection, settings: Settings) -> Iterator[list[Place]]:
    """Bring the roll-ups up to what `stg_runs` knows; inside, models read them, and no other build changes them.

    Makes the table `rollup_units` and the views `rollup_usage_daily` and `rollup_usage_applications`. Gives the files
    of usage, month by month; the view reads those that `set_files` has named last, all of them to begin with.
    """
    folder = settings.rollups / _generation(settings.landing)
    folder.make_folder()
    with (folder / "lock").one_writer():
        discard_outdated(settings)
        # Of a build that was killed: no other writes here now.
        folder.remove_temporaries()
        update = _Update(connection, settings, folder)
        update.run()
        yield update.files("usage_daily")


def show_files(connection: duckdb.DuckDBPyConnection, settings: Settings) -> bool:
    """Let queries read the roll-ups as the last build left them, as `getvariable('usage_daily_files')` and
    `getvariable('units_files')`; False where there are none.
    """
    folder = settings.rollups / _generation(settings.landing)
    found = {dataset: (folder / dataset).find_files("*.parquet") for dataset in ("usage_daily", UNITS)}
    for dataset, files in found.items():
        set_files(connection, dataset, files)
    return all(found.values())


def discard_outdated(settings: Settings) -> None:
    """Remove roll-ups of another version, and those of landed files that have been rewritten since."""
    generation = _generation(settings.landing)
    for folder in _generations(settings):
        if folder.name != generation:
            folder.remove_folder()


def discard_all(settings: Settings) -> None:
    """Remove every roll-up: the next build makes them again from landing."""
    for folder in _generations(settings):
        folder.remove_folder()


def _generations(settings: Settings) -> set[Place]:
    return {path.parent.parent for path in settings.rollups.find_files("*/*/*")}


def _generation(landing: Place) -> str:
    """What roll-ups of this version, of landing as it was last rewritten (jumpcloud_forget), are called.

    A build that began before files were rewritten writes where no later build looks.
    """
    rewritten_at = rebuild_from(landing)
    return f"v{VERSION}" if rewritten_at == datetime(1, 1, 1) else f"v{VERSION}-{format_time(rewritten_at)}"


class _Update:
    """What one build does to the roll-ups of one generation."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, settings: Settings, folder: Place) -> None:
        self.connection = connection
        self.landing = settings.landing
        self.folder = folder
        # A month of which a file is missing is made again.
        names = [{path.stem for path in (folder / dataset).find_files("*.parquet")} for dataset in ROLLUPS]
        self.months = set.intersection(*names)

    def run(self) -> None:
        self.connection.execute(read_sql("rollups/rollups"))
        if self.months:
            set_files(self.connection, "index", self.files(UNITS))
            self.connection.execute(
                "insert into rollup_units by name "
                "select * from read_parquet(getvariable('index_files'), hive_partitioning = false)"
            )
        make(self.connection, "staging/stg_units", "create temp table stg_units")
        make(self.connection, "rollups/changed_units", "create temp table changed_units")
        restated = self._settle_doubts()
        self.connection.execute(
            "create temp table changed_days as select distinct organization_id, date from changed_units"
        )
        changed = self._months("select date from changed_days")
        for month in sorted(changed):
            self._roll_up(month)
        for month in sorted(restated - changed):
            # What was doubted is as it was: only what manifests say of it is new.
            self._write(UNITS, month)
        log.info("%d months of roll-ups made anew, %d kept", len(changed), len(self.months - changed))
        self.connection.execute(
            "insert into state.read_counts by name "
            "select path, rows, landed_rows from rollup_units anti join int_excluded using (organization_id) "
            # Of half a million units only those that the check is about.
            "where rows <> landed_rows"
        )
        for dataset in ROLLUPS:
            if dataset != UNITS:
                self._show(dataset)

    def _settle_doubts(self) -> set[str]:
        """Leave out of `changed_units` what is, by its own file, as it was rolled up; return the months concerned."""
        doubtful = self._rows("select path from changed_units where is_in_doubt order by path")
        self.connection.execute("create temp table settled_units (path varchar)")
        for start in range(0, len(doubtful), BATCH_FILES):
            self._read_files([path for (path,) in doubtful[start : start + BATCH_FILES]])
            self.connection.execute(
                "insert into settled_units select path from unit_files "
                "inner join rollup_units as rolled_up using (path) "
                "where unit_files.extracted_at = rolled_up.extracted_at "
                "and unit_files.rows = unit_files.landed_rows and unit_files.rows = rolled_up.rows"
            )
        self.connection.execute(
            "update rollup_units set statements = changed_units.statements from changed_units "
            "where rollup_units.path = changed_units.path and rollup_units.path in (select path from settled_units)"
        )
        self.connection.execute("delete from changed_units where path in (select path from settled_units)")
        return self._months("select date from rollup_units semi join settled_units using (path)")

    def _roll_up(self, month: str) -> None:
        """Make the files of one month anew: its changed days of landing, the others as they are."""
        units = self._rows(
            "select organization_id, date, path, rows from stg_units semi join changed_days "
            "using (organization_id, date) where strftime(date, '%Y-%m') = ? order by organization_id, date",
            month,
        )
        self.connection.execute(
            "delete from rollup_units where (organization_id, date) in (select (organization_id, date) "
            "from changed_days) and strftime(date, '%Y-%m') = ?",
            [month],
        )
        for batch in _batches(units):
            self._read_files(batch)
            make(self.connection, "staging/stg_events", "create or replace temp table stg_events")
            for dataset in ROLLUPS:
                if dataset != UNITS:
                    self.connection.execute(f"insert into new_{dataset} by name {read_sql(f'rollups/{dataset}')}")
            self.connection.execute(
                "insert into rollup_units by name select stg_units.* exclude (rows), unit_files.* exclude (path) "
                "from unit_files inner join stg_units using (path)"
            )
        for dataset in ROLLUPS:
            self._write(dataset, month)
        self.months.add(month)

    def _read_files(self, paths: list[str]) -> None:
        """Make `unit_files` of what these units' files say of themselves, before their rows are read.

        In this order: a unit that is landed anew in between is rolled up by its new rows and noted as the old one,
        so that the manifest that tells of it leads back here.
        """
        set_files(self.connection, UNITS, [self.landing / path for path in paths])
        for _ in range(ROLLUP_READ_ATTEMPTS):
            make(self.connection, "rollups/unit_files", "create or replace temp table unit_files")
            if not self._rows("select 1 from unit_files where rows <> landed_rows limit 1"):
                break

    def _write(self, dataset: str, month: str) -> None:
        path = self.folder / dataset / f"{month}.parquet"
        if dataset == UNITS:
            rows = f"select * from rollup_units where strftime(date, '%Y-%m') = {quote(month)}"
        else:
            rows = f"select * from new_{dataset}"
            if month in self.months:
                set_files(self.connection, "kept", [path])
                rows += (
                    " union all by name "
                    "select * from read_parquet(getvariable('kept_files'), hive_partitioning = false) "
                    "anti join changed_days using (organization_id, date)"
                )
        with path.temporary() as temporary:
            self.connection.execute(
                f"copy ({rows} order by organization_id, date) to {quote(str(temporary))} "
                "(format parquet, compression zstd, use_tmp_file false)"
            )
            path.put(temporary)
        if dataset != UNITS:
            self.connection.execute(f"delete from new_{dataset}")

    def _show(self, dataset: str) -> None:
        """Make the roll-ups of all months readable as rollup_<dataset>."""
        rows = f"new_{dataset}"
        if self.months:
            set_files(self.connection, dataset, self.files(dataset))
            rows = f"read_parquet(getvariable('{dataset}_files'), hive_partitioning = false)"
        self.connection.execute(f"create temp view rollup_{dataset} as select * from {rows}")

    def files(self, dataset: str) -> list[Place]:
        """The files of a dataset, month by month."""
        return [self.folder / dataset / f"{month}.parquet" for month in sorted(self.months)]

    def _months(self, dates: str) -> set[str]:
        return {month for (month,) in self._rows(f"select distinct strftime(date, '%Y-%m') from ({dates})")}

    def _rows(self, sql: str, *parameters: str) -> list[tuple[Any, ...]]:
        rows: list[tuple[Any, ...]] = self.connection.execute(sql, parameters).fetchall()
        return rows


def _batches(units: Iterable[Unit]) -> Iterator[list[str]]:
    """The paths of units, ordered by organization and day, so many at a time; a day is never cut."""
    paths: list[str] = []
    rows = 0
    for _, day in itertools.groupby(units, key=lambda unit: unit[:2]):
        of_the_day = list(day)
        rows_of_the_day = sum(unit[3] or 0 for unit in of_the_day)
        if paths and (len(paths) + len(of_the_day) > BATCH_FILES or rows + rows_of_the_day > ROLLUP_BATCH_ROWS):
            yield paths
            paths, rows = [], 0
        paths += [unit[2] for unit in of_the_day]
        rows += rows_of_the_day
    if paths:
        yield paths
