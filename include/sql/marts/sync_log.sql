-- grain:  one row per organization, stream and run; of events one per unit
-- inputs: stg_runs
-- why:    what was synced, how much of it, how long it took, and how it ended

with

-- What failed or was skipped carries all that its run was to land: no unit, and beside one of the same bounds.
runs as (
    select
        * replace (
            if(outcome in ('failed', 'skipped', 'excluded'), null, interval_start) as interval_start,
            if(outcome in ('failed', 'skipped', 'excluded'), null, interval_end) as interval_end
        ),
    from stg_runs
)

select
    organization_id,
    stream,
    dag_id,
    run_id,
    connection_id,
    snapshot_at,
    interval_start,
    interval_end,
    path,
    rows,
    received,
    api_total,
    strays,
    requests,
    seconds,
    outcome,
    decision,
    reason,
    recorded_at,
from runs
-- Of a run that was run again, the last time counts.
qualify
    row_number() over (
        partition by organization_id, connection_id, stream, dag_id, run_id, interval_start, interval_end
        order by recorded_at desc, outcome asc
    ) = 1
