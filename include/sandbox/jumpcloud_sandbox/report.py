"""What a person came for, as text: organizations, users and applications of the published warehouse.

Reads through the package's own reading interface; computes nothing.
"""

from __future__ import annotations

import io
from pathlib import Path

import pandas as pd
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from jumpcloud_elt.reading import open_warehouse

WIDTH = 150

ORGANIZATIONS = """
select
    organization_name as organization,
    sync_status as sync,
    (select count(*) from users where users.organization_id = organizations.organization_id) as accounts,
    (select count(*) from applications where applications.organization_id = organizations.organization_id)
        as applications,
    usage_state as usage,
    strftime(usage_from, '%Y-%m-%d') as "usage from",
    strftime(usage_until, '%Y-%m-%d') as until,
    usage_state_reason as reason
from organizations
order by organization_name
"""

# A few of each organization and status, so that every kind is seen.
USERS = """
select
    organization_name as organization,
    display_name as name,
    status,
    array_to_string(roles, ', ') as roles,
    strftime(last_used_at, '%Y-%m-%d %H:%M') as "last used",
    last_used_via as via,
    users.usage_state as usage
from users
inner join organizations using (organization_id)
qualify row_number() over (partition by organization_id, status order by last_used_at desc nulls last, user_id) <= 2
order by organization, status, last_used_at desc nulls last, name
"""

APPLICATIONS = """
select
    organization_name as organization,
    name as application,
    sso_type as sso,
    users_with_access as "with access",
    users_active_30d as "active 30d",
    users_never_used as "never used it",
    strftime(last_used_at, '%Y-%m-%d %H:%M') as "last used",
    applications.usage_state as usage
from applications
inner join organizations using (organization_id)
qualify row_number() over (partition by organization_id order by last_used_at desc nulls last, name) <= 6
order by organization, last_used_at desc nulls last, name
"""


def report(warehouse: Path) -> str:
    """The three tables, and where the warehouse lies."""
    with open_warehouse(warehouse) as connection:
        frames = {
            "Organizations": connection.execute(ORGANIZATIONS).df(),
            "Users (two of each organization and status)": connection.execute(USERS).df(),
            "Applications (the six used last of each organization)": connection.execute(APPLICATIONS).df(),
        }
        built_at = connection.execute("select built_at from warehouse_info").fetchall()[0][0]
    parts = [f"{title}\n\n{_table(frame)}" for title, frame in frames.items()]
    return "\n\n".join([*parts, f"Warehouse, built {built_at:%Y-%m-%d %H:%M} UTC: {warehouse}"])


def _table(frame: pd.DataFrame) -> str:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in frame.columns:
        table.add_column(name, overflow="fold", max_width=44)
    for row in frame.astype(object).where(frame.notna(), "").itertuples(index=False):
        table.add_row(*(Text(f"{value:.0f}" if isinstance(value, float) else str(value)) for value in row))
    text = io.StringIO()
    Console(file=text, width=WIDTH, color_system=None).print(table)
    return "\n".join(line.rstrip() for line in text.getvalue().strip("\n").splitlines())
