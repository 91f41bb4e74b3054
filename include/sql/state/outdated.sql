-- grain:  one row per organization whose state cannot be carried on
-- inputs: stg_snapshots, stg_runs, state.*, checkpoint_*
-- why:    what a snapshot says of objects depends on those before it: an organization is folded again where a snapshot
--         turns up that is older than one that was folded, and where one that was folded is no longer there. One that
--         was left out leaves the state. What is folded from the start starts from the checkpoint, where older
--         snapshots have been pruned

create temp table int_outdated as
with

folded as (
    select organization_id, max(snapshot_at) as last_at
    from state.snapshots
    group by organization_id
),

checkpoints as (
    select organization_id, max(snapshot_at) as last_at
    from checkpoint_snapshots
    group by organization_id
),

late as (
    select landed.organization_id
    from stg_snapshots as landed
    anti join state.snapshots using (organization_id, snapshot_at)
    inner join folded using (organization_id)
    left join checkpoints using (organization_id)
    where
        landed.snapshot_at < folded.last_at
        and landed.snapshot_at > coalesce(checkpoints.last_at, timestamp '0001-01-01')
),

taken_back as (
    select organization_id
    from state.snapshots
    anti join stg_snapshots using (organization_id, snapshot_at)
    anti join checkpoint_snapshots using (organization_id, snapshot_at)
),

-- What a later state had folded has been pruned since: there is nothing to fold up to there.
older_than_checkpoint as (
    select organization_id
    from folded
    inner join checkpoints using (organization_id)
    where folded.last_at < checkpoints.last_at
),

left_out as (
    select organization_id
    from folded
    anti join stg_runs using (organization_id)
)

select organization_id from late
union
select organization_id from taken_back
union
select organization_id from older_than_checkpoint
union
select organization_id from left_out;
