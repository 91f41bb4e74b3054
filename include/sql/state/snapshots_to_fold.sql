-- grain:  one row per complete snapshot that is not folded yet, with its turn within its organization, and its streams
-- inputs: stg_snapshots, state.snapshots
-- why:    snapshots fold in the order of time; one of each organization fits into a round

with

folded as (
    select organization_id, max(snapshot_at) as last_at
    from state.snapshots
    group by organization_id
)

select
    row_number() over (partition by organization_id order by snapshot_at) as turn,
    organization_id,
    snapshot_at,
    streams,
from stg_snapshots as landed
left join folded using (organization_id)
where folded.last_at is null or landed.snapshot_at > folded.last_at
order by turn, organization_id
