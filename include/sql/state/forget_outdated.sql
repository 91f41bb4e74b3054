-- grain:  one row per organization whose state cannot be carried on
-- inputs: stg_runs, state.snapshots
-- why:    a snapshot that turns up later than a younger one was folded changes what came after: fold it all again

create temp table int_outdated as
with

landed as (
    select distinct organization_id, snapshot_at
    from stg_runs
    where stream = 'organizations' and outcome = 'ok'
),

folded as (
    select organization_id, max(snapshot_at) as last_at
    from state.snapshots
    group by organization_id
)

select distinct organization_id
from landed
anti join state.snapshots using (organization_id, snapshot_at)
inner join folded using (organization_id)
where landed.snapshot_at < folded.last_at;

delete from state.users where organization_id in (select organization_id from int_outdated);
delete from state.administrators where organization_id in (select organization_id from int_outdated);
delete from state.applications where organization_id in (select organization_id from int_outdated);
delete from state.snapshots where organization_id in (select organization_id from int_outdated);
delete from state.access where organization_id in (select organization_id from int_outdated);
delete from state.user_history where organization_id in (select organization_id from int_outdated);
delete from state.access_history where organization_id in (select organization_id from int_outdated);
