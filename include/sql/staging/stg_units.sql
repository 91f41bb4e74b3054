-- grain:  one row per unit of events that the manifests know
-- inputs: stg_unit_runs, stg_runs
-- why:    a unit whose manifests say what they said when it was rolled up is as it was then. An organization that
--         failed may have landed any unit of what its run was to land, and not come to record it: such a run makes
--         a statement about all of them

with

landed as (
    select
        organization_id,
        path,
        interval_start,
        interval_end,
        rows,
        concat_ws(' ', outcome, run_id, recorded_at, extracted_at) as statement,
    from stg_unit_runs
),

units as (
    select
        organization_id,
        path,
        interval_start,
        interval_end,
        max(rows) as rows,
    from landed
    group by all
),

failed as (
    select
        organization_id,
        interval_start,
        interval_end,
        concat_ws(' ', outcome, run_id, recorded_at) as statement,
    from stg_runs
    where stream = 'directory_insights_events' and outcome = 'failed' and interval_start is not null
),

statements as (
    select path, statement from landed
    union all
    select units.path, failed.statement
    from units
    inner join failed
        on
            units.organization_id = failed.organization_id
            and units.interval_start < failed.interval_end
            and units.interval_end > failed.interval_start
),

told as (
    select path, md5(string_agg(statement, ', ' order by statement)) as statements
    from statements
    group by path
)

select
    units.organization_id,
    units.path,
    units.interval_start::date as date,
    units.rows,
    told.statements,
from units
inner join told using (path)
