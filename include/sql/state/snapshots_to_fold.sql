-- grain:  one row per complete snapshot that is not folded yet, with its turn within its organization
-- inputs: stg_runs, state.snapshots
-- why:    snapshots fold in the order of time; one of each organization fits into a round

with

landed as (
    select distinct organization_id, snapshot_at
    from stg_runs
    where stream = 'organizations' and outcome = 'ok'
)

select
    row_number() over (partition by organization_id order by snapshot_at) as turn,
    organization_id,
    snapshot_at,
from landed
anti join state.snapshots using (organization_id, snapshot_at)
order by turn, organization_id
