-- grain:  one row per usage run, organization, and unit, failure or refusal
-- inputs: stg_runs
-- why:    what runs of jumpcloud_usage say of an organization. A connection that fails as a whole fails the
--         organizations that it synced last

with

connections as (
    select organization_id, arg_max(connection_id, recorded_at) as connection_id
    from stg_runs
    where organization_id is not null
    group by organization_id
)

select organization_id, run_id, recorded_at, interval_start, interval_end, api_total, outcome, reason
from stg_runs
where dag_id = 'jumpcloud_usage' and organization_id is not null
union all
select
    connections.organization_id,
    runs.run_id,
    runs.recorded_at,
    runs.interval_start,
    runs.interval_end,
    runs.api_total,
    runs.outcome,
    runs.reason,
from stg_runs as runs
inner join connections using (connection_id)
where runs.dag_id = 'jumpcloud_usage' and runs.organization_id is null
