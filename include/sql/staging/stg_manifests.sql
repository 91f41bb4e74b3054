-- grain:  one row per Dag run, organization, and unit or stream, of the manifests that this build reads
-- inputs: landing/_runs
-- why:    what happened, as the runs wrote it down last of all

with

source as (
    select *
    from
        read_parquet(
            getvariable('manifests_files'), union_by_name = true, hive_partitioning = false, filename = true
        )
    union all by name
    -- Manifests of before this column was thought of.
    select null::timestamp as extracted_at
    where false
)

select
    filename[getvariable('landing_length') + 2:] as manifest,
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
from source
