-- grain:  one row per Dag run and unit of events that it landed
-- inputs: stg_runs, stg_damaged
-- why:    of a unit that was damaged and has been read again, what is said of it since then counts

with

landed as (
    select *
    from stg_runs
    where
        stream = 'directory_insights_events'
        and outcome in ('ok', 'kept', 'incomplete', 'unverified')
        and path is not null
),

damaged as (
    select path, max(recorded_at) as found_at
    from stg_runs
    where outcome = 'damaged'
    group by path
),

read_again as (
    select landed.path, damaged.found_at
    from landed
    inner join damaged using (path)
    group by all
    having max(landed.recorded_at) > damaged.found_at
)

select landed.*
from landed
left join read_again using (path)
anti join stg_damaged using (path)
where read_again.path is null or landed.recorded_at > read_again.found_at
