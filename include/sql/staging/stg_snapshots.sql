-- grain:  one row per complete accepted snapshot that can be read, with its streams
-- inputs: stg_runs, stg_damaged
-- why:    the streams of a snapshot count together: where a file of one is damaged, the snapshot before it stands

select
    organization_id,
    snapshot_at,
    list(distinct stream) as streams,
from stg_runs
anti join stg_damaged using (organization_id, snapshot_at)
where outcome = 'ok' and snapshot_at is not null
group by all
having list_contains(streams, 'organizations')
