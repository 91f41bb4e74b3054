"""The directory's streams: which route, which page style, which key, and which fields are secret.

One declaration per endpoint, and the one function that reads it whole. Does not write anything.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from jumpcloud_elt.core.redaction import APPLICATION_SECRET_NAMES, PERSONAL_NAMES, SECRET_NAMES
from jumpcloud_elt.core.settings import Settings

log = logging.getLogger(__name__)

TIMESTAMP = pa.timestamp("us")

LINEAGE_FIELDS = [
    pa.field("_connection_id", pa.string()),
    pa.field("_extracted_at", TIMESTAMP),
    pa.field("_interval_start", TIMESTAMP),
    pa.field("_interval_end", TIMESTAMP),
]


@dataclass(frozen=True)
class Stream:
    """One kind of listing of JumpCloud's.

    `keys` are the landed names of what identifies a row. A stream with a `parent` has a list of its own, or one
    for each of `variants` (query parameters), for every object of the parent stream; `{parent}` stands for that
    object's id in `path`, and `keys` begins with it. Where `is_optional`, a snapshot is whole without the stream if
    it cannot be read. `personal_names` are cut out like secrets where personal fields are
    not to be landed.
    """

    name: str
    path: str
    keys: tuple[str, ...]
    page_style: str
    secret_names: frozenset[str] = SECRET_NAMES
    personal_names: frozenset[str] = frozenset()
    parent: str | None = None
    variants: tuple[Mapping[str, str | None], ...] = ({},)
    is_optional: bool = False

    @property
    def schema(self) -> pa.Schema:
        """Key columns, payload as JSON text, lineage."""
        keys = [pa.field(key, pa.string()) for key in self.keys]
        return pa.schema([*keys, pa.field("payload", pa.string()), *LINEAGE_FIELDS])

    def names_to_cut(self, settings: Settings) -> frozenset[str]:
        """The fields of a row that do not reach landing."""
        return self.secret_names if settings.land_personal_fields else self.secret_names | self.personal_names


ORGANIZATIONS = Stream("organizations", "/api/organizations", ("organization_id",), "v1")
SYSTEMUSERS = Stream("systemusers", "/api/systemusers", ("user_id",), "v1", personal_names=PERSONAL_NAMES)
ADMINISTRATORS = Stream(
    "administrators", "/api/users", ("administrator_id",), "v1", personal_names=PERSONAL_NAMES, is_optional=True
)
APPLICATIONS = Stream("applications", "/api/applications", ("application_id",), "v1", APPLICATION_SECRET_NAMES)
# An envelope as in V1, on a V2 route that is not known to take V1's sort.
ROLES = Stream("roles", "/api/v2/roles", ("role_id",), "v1", variants=({"sort": None},), is_optional=True)
USERGROUPS = Stream("usergroups", "/api/v2/usergroups", ("group_id",), "v2")

USERGROUP_MEMBERS = Stream(
    "usergroup_members",
    "/api/v2/usergroups/{parent}/members",
    ("group_id", "user_id"),
    "v2",
    parent=USERGROUPS.name,
)

# Direct edges only: who reaches an application through a group is joined in DuckDB, at a tenth of the requests.
APPLICATION_ASSOCIATIONS = Stream(
    "application_associations",
    "/api/v2/applications/{parent}/associations",
    ("application_id", "target_type", "target_id"),
    "v2",
    parent=APPLICATIONS.name,
    variants=({"targets": "user"}, {"targets": "user_group"}),
)

# Landed per organization and directory run, in this order: a parent before what depends on it.
DIRECTORY_STREAMS = (
    SYSTEMUSERS,
    ADMINISTRATORS,
    ROLES,
    APPLICATIONS,
    USERGROUPS,
    USERGROUP_MEMBERS,
    APPLICATION_ASSOCIATIONS,
)

Row = dict[str, Any]
# The values of a stream's `keys`, in their order.
RowKey = tuple[str, ...]
