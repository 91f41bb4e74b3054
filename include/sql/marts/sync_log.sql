-- grain:  one row per organization, stream and run; of events one per unit
-- inputs: stg_runs
-- why:    what was synced, how much of it, how long it took, and how it ended

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
from stg_runs
-- Of a run that was run again, the last time counts.
qualify
    row_number() over (
        partition by organization_id, connection_id, stream, dag_id, run_id, interval_start, interval_end
        order by recorded_at desc, outcome asc
    ) = 1
