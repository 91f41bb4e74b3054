-- grain:  one row per Dag run, organization, and unit or stream
-- inputs: state.runs: the rows of every manifest, of whichever build read it
-- why:    what happened, as the runs wrote it down last of all

select
    dag_id,
    run_id,
    is_restricted,
    connection_id,
    organization_id,
    organization_name,
    stream,
    snapshot_at,
    interval_start,
    interval_end,
    path,
    rows,
    received,
    api_total,
    inside,
    strays,
    requests,
    seconds,
    outcome,
    decision,
    reason,
    recorded_at,
    extracted_at,
from state.runs
