"""What the common of jumpcloud_user_action do: plan, act, sync, record, report, in Airflow's states.

Work is in the modules called here, wiring in `dags/`. Whom an action is about and how it ended is handed on in the
record under landing, not in XCom: a task that is killed leaves no XCom.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from jumpcloud_elt.actions.approval import answered_by, why_not_approved
from jumpcloud_elt.actions.execute import run_plan
from jumpcloud_elt.actions.models import Plan
from jumpcloud_elt.actions.plan import make_plan, needs_approval
from jumpcloud_elt.actions.report import as_row, left_open, refusals, told, turned_down
from jumpcloud_elt.actions.request import read_request
from jumpcloud_elt.connections import organizations
from jumpcloud_elt.core.account import ORGANIZATION_ID
from jumpcloud_elt.core.airflow_compat import AirflowFailException, AirflowSkipException
from jumpcloud_elt.core.organization import Organization
from jumpcloud_elt.core.settings import Settings
from jumpcloud_elt.core.streams import USERGROUP_MEMBERS
from jumpcloud_elt.core.times import utc_now
from jumpcloud_elt.errors import CAN_HEAL, JumpCloudError
from jumpcloud_elt.landing.action_log import (
    ActionOutcome,
    Attempt,
    Entry,
    is_unfinished,
    latest,
    latest_of_plan,
    new_action_id,
    read_run,
    record,
    request_to_keep,
)
from jumpcloud_elt.landing.layout import RUNS
from jumpcloud_elt.landing.snapshots import Accepted
from jumpcloud_elt.tasks import common, directory
from jumpcloud_elt.tasks.common import settings_or_fail

log = logging.getLogger(__name__)

Json = dict[str, Any]


def plan_action(params: Mapping[str, Any], run_of: Mapping[str, str], requested_by: str) -> Json:
    """Check and resolve what was asked for, and record it; nothing is changed.

    Returns the plan for the common that follow. What is refused is recorded too, where an organization is named.
    """
    settings = settings_or_fail()
    attempt = Attempt(
        action_id=new_action_id(),
        requested_at=utc_now(),
        requested_by=requested_by,
        dag_id=run_of["dag_id"],
        run_id=run_of["run_id"],
        connection_id=str(params.get("connection_id") or ",".join(settings.connections)),
        organization_id=str(params.get("organization_id") or "").strip().lower(),
        action=str(params.get("action")),
        is_dry_run=params.get("dry_run") is not False,
    )
    try:
        request = read_request(params, settings)
        attempt = msgspec.structs.replace(attempt, connection_id=request.connection_id)
        plan, entries = make_plan(settings, request, attempt)
    except CAN_HEAL as error:
        # Nothing has been refused: JumpCloud could not be asked.
        raise common.airflow_error(error, settings) from error
    except JumpCloudError as error:
        if ORGANIZATION_ID.fullmatch(attempt.organization_id):
            record(settings, attempt, refusals(params, str(error)))
        raise AirflowFailException(str(error)) from error
    if attempt.is_dry_run:
        entries = [
            msgspec.structs.replace(one, outcome=ActionOutcome.PLANNED) if one.outcome == ActionOutcome.ASKED else one
            for one in entries
        ]
    record(settings, attempt, entries)
    _tell_plan(settings, plan, entries)
    planned: Json = msgspec.to_builtins(plan)
    return planned


def choose_path(planned: Json, approve: str, act: str) -> str:
    """The task to follow: `approve` where somebody has to, else `act`. A dry run asks nobody."""
    plan = msgspec.convert(planned, Plan)
    return approve if plan.needs_approval and not plan.attempt.is_dry_run else act


def act(planned: Json, approval: Mapping[str, Any] | None, try_number: int) -> dict[str, int]:
    """Do what was planned; return how many users ended how. Fails where one was not done, naming everybody.

    Skipped where the filters find nobody. `approval` is what the approving task returned, `try_number` this try's.
    """
    settings, plan = settings_or_fail(), msgspec.convert(planned, Plan)
    attempt = plan.attempt
    rows = read_run(settings.landing, attempt.organization_id, attempt.run_id)
    rows = [row for row in rows if row["action_id"] == attempt.action_id]
    asked = [row for row in rows if row["outcome"] == ActionOutcome.ASKED]
    if not rows:
        raise AirflowSkipException(f"There is nobody to act on: {plan.reason}")
    if attempt.is_dry_run or not asked:
        counts = Counter(row["outcome"] for row in rows)
        log.info("%s: %s", "Dry run, nothing is called" if attempt.is_dry_run else "Nothing has to be called", counts)
        return dict(counts)
    # Not only the branch's word: common can be marked and cleared by hand.
    if needs_approval(attempt.action, len(asked), settings):
        reason = why_not_approved(plan, asked, approval, settings)
        if reason is not None:
            record(settings, attempt, turned_down(asked, reason, approval))
            raise AirflowFailException(f"Nothing was called: {reason}")
        attempt = msgspec.structs.replace(attempt, approved_by=answered_by(approval))
    if any(row["outcome"] == ActionOutcome.STARTED for row in rows):
        attempt = attempt.again(try_number)
    ended = [as_row(entry) for entry in _or_fail(settings, plan, attempt, asked)]
    if any(map(is_unfinished, ended)):
        raise AirflowFailException(told(attempt.action, ended))
    theirs = {row["target"] for row in ended}
    return dict(Counter(row["outcome"] for row in [*ended, *(one for one in rows if one["target"] not in theirs)]))


def sync_directory(planned: Json | None, run_of: dict[str, str]) -> int:
    """Land a new snapshot of the organization, if anything may have been changed; return the number of rows."""
    settings = settings_or_fail()
    attempt = msgspec.convert(planned, Plan).attempt if planned else None
    rows = read_run(settings.landing, attempt.organization_id, attempt.run_id) if attempt else []
    # Of every try: what one has done, the next finds to be so already.
    may_have_changed = (ActionOutcome.DONE, ActionOutcome.UNKNOWN, ActionOutcome.STARTED)
    changed = [row for row in latest(rows, of_each_attempt=True).values() if row["outcome"] in may_have_changed]
    if attempt is None or not changed:
        raise AirflowSkipException("Nothing has been changed; there is nothing to sync.")
    mine: list[Organization] = []
    try:
        # With what is known of the keys: `capabilities` is landed anew, as by a directory run.
        listed = organizations.discover_organizations(settings, [attempt.organization_id], with_credentials=True)
        mine = [one for one in listed if one["organization_id"] == attempt.organization_id and one["connection_id"]]
        known = common.known_error(one for one in listed if one["organization_id"] is None)
        if known is not None and not mine:
            raise known
    except JumpCloudError as error:
        raise common.airflow_error(error, settings, "The users were changed, but not synced: ") from error
    if not mine:
        raise AirflowSkipException(
            f"No connection of [jumpcloud_elt] connections syncs organization {attempt.organization_id}."
        )
    try:
        deleted = frozenset(row["target"] for row in changed if row["action"] == "delete")
        taken_out = len([row for row in changed if row["action"] == "remove_from_group"])
        own = Accepted(run_of["run_id"], users=deleted, edges={USERGROUP_MEMBERS.name: taken_out})
        return directory.extract_directory(mine[0], run_of, own=own)
    finally:
        common.record_run(mine[:1], run_of, common.DIRECTORY, is_restricted=True)


def record_outcomes(
    planned: Json | None, approval: Mapping[str, Any] | None, organization_id: str, run_id: str, event: Any = None
) -> int:
    """Record as skipped or refused what was asked for and never begun; return how many rows the run has recorded, which
    the asset event tells, too.

    Skipped, and the warehouse not told, where there is nothing that it could show.
    """
    settings = settings_or_fail()
    organization_id = organization_id.strip().lower()
    rows = read_run(settings.landing, organization_id, run_id)
    plan = msgspec.convert(planned, Plan) if planned else None
    for attempt, entries in left_open(rows, plan, approval, organization_id, settings):
        record(settings, attempt, entries)
        rows += [as_row(entry) for entry in entries]
    if not rows:
        raise AirflowSkipException("Nothing was recorded.")
    if not (settings.landing / RUNS).find_files("*/*.parquet"):
        raise AirflowSkipException("Recorded; the warehouse shows it once something has been synced.")
    if event is not None:
        event.extra = {"organizations": {organization_id: {"units": 1, "rows": len(rows)}}, "rows": len(rows)}
    return len(rows)


def report(planned: Json | None, approval: Mapping[str, Any] | None, organization_id: str, run_id: str) -> str:
    """Say what was done and what was not; fail unless everything was, or somebody rejected it."""
    settings = settings_or_fail()
    if not planned:
        recorded = read_run(settings.landing, organization_id.strip().lower(), run_id)
        refused = [row for row in recorded if row["outcome"] == ActionOutcome.REFUSED]
        why = dict.fromkeys(line for row in refused for line in str(row["message"]).splitlines())
        raise AirflowFailException("\n".join(why) or "Nothing was called: see plan_action, which says why.")
    plan = msgspec.convert(planned, Plan)
    rows = list(latest_of_plan(read_run(settings.landing, plan.attempt.organization_id, run_id), plan.attempt).values())
    if not rows:
        return f"There was nobody to act on: {plan.reason}"
    summary = told(plan.attempt.action, rows)
    if any(map(is_unfinished, rows)):
        raise AirflowFailException(summary)
    log.info("%s", summary)
    return summary.splitlines()[0]


def _tell_plan(settings: Settings, plan: Plan, entries: Sequence[Entry]) -> None:
    """The plan in the task's log: what would be called for whom."""
    for entry in entries:
        request = request_to_keep(settings, entry.request) if entry.request else "no call"
        log.info("%s (%s): %s: %s", entry.target, entry.username or "", entry.outcome, request)
    if plan.reason:
        log.warning("Nobody is found: %s", plan.reason)
    if plan.needs_approval:
        log.info("A real run waits for an approval.")


def _or_fail(settings: Settings, plan: Plan, attempt: Attempt, asked: Sequence[Mapping[str, Any]]) -> list[Entry]:
    try:
        return run_plan(settings, plan, attempt, asked)
    except JumpCloudError as error:
        raise AirflowFailException(str(error)) from error
