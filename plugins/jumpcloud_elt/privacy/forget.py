"""Forgets one person of one organization: landing is rewritten, the warehouse built of it, the last link dropped.

    1. find      who it is, and how much of them has landed; changes nothing
    2. forget    every file that holds the person is rewritten; published warehouses count as outdated, roll-ups go
    3. finish    after a new warehouse is published: nothing may be left; the pseudonyms' key is deleted

A run that is killed is finished by running it again: what it needs lies in landing until step 3. Does not ask
JumpCloud, and does not build the warehouse.
"""

from __future__ import annotations

import logging
from typing import TypedDict

from jumpcloud_elt.core.host import private_folder
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.storage import Place
from jumpcloud_elt.errors import LandingError
from jumpcloud_elt.landing.files import DAMAGED_SUFFIX, require_rebuild
from jumpcloud_elt.landing.inventory import named, read_manifests
from jumpcloud_elt.landing.layout import organization_of
from jumpcloud_elt.landing.manifests import OK, Outcome, RunManifest
from jumpcloud_elt.privacy.erasure import Counts, erase
from jumpcloud_elt.privacy.people import identify_person, refuse_if_present
from jumpcloud_elt.privacy.pseudonyms import Forgetting, Pseudonyms, unfinished_erasures
from jumpcloud_elt.warehouse.publish import publisher
from jumpcloud_elt.warehouse.rollups import discard_all, discard_outdated

log = logging.getLogger(__name__)

STREAM = "forget"


class Found(TypedDict):
    """How many accounts the person has had, and in how many files and rows they stand."""

    users: int
    administrators: int
    files: int
    rows: int


def find(settings: Settings, organization_id: str, target: str) -> Found:
    """What there is to forget of the person whom `target` (user id, user name or e-mail) names.

    Raises ConfigurationError where nobody, several people, or somebody who is still there matches.
    """
    _, forgetting = _begun_or_new(settings.landing, organization_id, target)
    return _found(forgetting, erase(settings.landing, Pseudonyms(forgetting), is_dry_run=True))


def forget(settings: Settings, organization_id: str, target: str, run: RunManifest, requested_by: str) -> Found:
    """Rewrite what has landed of that person, and record who had it done and how much it was, not of whom.

    Raises as `find` does, before anything is changed.
    """
    landing = settings.landing
    begun, forgetting = _begun_or_new(landing, organization_id, target)
    if begun is None:
        forgetting.save(landing)
    counts = erase(landing, Pseudonyms(forgetting), is_dry_run=False)
    _remove_leftovers(settings, organization_id)
    # In use or not: what is being built, and what builds carry on, is outdated now.
    publisher(settings).discard_unpublished()
    publisher(settings).discard_state()
    # Only now: what is built of half-rewritten files is outdated too.
    require_rebuild(landing)
    # They name people as events do, and are computed again from what is left.
    discard_all(settings)
    log.info("%d rows in %d files have been rewritten", counts.rows, counts.files)
    # As the latest manifest names it: a record must not move it to another connection.
    known = read_manifests(landing)[1]
    organization = known.get(organization_id) or named(organization_id, "", organization_id)
    outcome = Outcome(
        connection_id=organization["connection_id"],
        organization_id=organization_id,
        organization_name=organization["organization_name"],
        stream=STREAM,
        outcome=OK,
        rows=counts.rows,
        reason=f"{counts.rows} rows in {counts.files} files rewritten to forget one person, by {requested_by}",
    )
    run.add(organization, [outcome])
    run.write_manifest([organization], STREAM, is_restricted=True)
    return _found(forgetting, counts)


def finish(settings: Settings, organization_id: str, target: str) -> None:
    """Delete what was kept to be able to go on.

    Raises LandingError where a task that ran meanwhile has landed something of the person again.
    """
    begun = unfinished_erasures(settings.landing, organization_id, target)
    if begun is None:
        return
    # A build that began before landing was rewritten may have gone on since, and a task have been killed.
    discard_outdated(settings)
    _remove_leftovers(settings, organization_id)
    path, forgetting = begun
    publisher(settings).keep_only_published()
    left = erase(settings.landing, Pseudonyms(forgetting), is_dry_run=True)
    if left.rows:
        raise LandingError(
            f"{left.rows} rows in {left.files} files of the person have landed while landing was rewritten. Run "
            "jumpcloud_forget again, while no other Dag of this package runs."
        )
    path.unlink()
    path.parent.remove_empty_folder()


def _begun_or_new(landing: Place, organization_id: str, target: str) -> tuple[Place | None, Forgetting]:
    """What an earlier run has begun, and where it is written down; else something new."""
    begun = unfinished_erasures(landing, organization_id, target)
    if begun is None:
        return None, Forgetting.of(identify_person(landing, organization_id, target))
    refuse_if_present(landing, begun[1].person, target)
    return begun


def _found(forgetting: Forgetting, counts: Counts) -> Found:
    person = forgetting.person
    return Found(
        users=len(person.user_ids),
        administrators=len(person.administrator_ids),
        files=counts.files,
        rows=counts.rows,
    )


def _remove_leftovers(settings: Settings, organization_id: str) -> None:
    """Remove what killed tasks left, of queries on this host too, and damaged files: they may hold anybody."""
    for folder in (settings.landing, settings.rollups, settings.warehouse.parent, private_folder()):
        folder.remove_temporaries()
    # Nobody can rewrite what nobody can read.
    for path in settings.landing.find_files(f"**/*{DAMAGED_SUFFIX}"):
        if organization_of(path) in (None, organization_id):
            path.unlink(missing_ok=True)
