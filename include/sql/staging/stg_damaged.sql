-- grain:  one row per landed file that a build has found damaged or missing, and that cannot be read now
-- inputs: stg_runs; variables: which of the paths are as they were found, and which of these JumpCloud no longer keeps
-- why:    a damaged file is a file that has not landed; the record of it lies in landing, as that of other outcomes

select
    organization_id,
    stream,
    path,
    snapshot_at,
    interval_start,
    interval_end,
    max(recorded_at) as found_at,
    arg_max(reason, recorded_at) as reason,
    bool_or(run_id = getvariable('run_id')) as is_new,
    list_contains(getvariable('lost_paths'), path) as is_lost,
from stg_runs
where outcome = 'damaged' and organization_id is not null and list_contains(getvariable('damaged_paths'), path)
group by all
