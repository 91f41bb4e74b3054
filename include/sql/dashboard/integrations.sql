-- grain:  one row per organization
-- inputs: organizations, users, applications, sync_log
-- why:    how each organization stands, what it holds, and which runs say so

with

people as (
    select
        organization_id,
        count_if(status <> 'deleted') as accounts,
    from users
    group by organization_id
),

listed as (
    select
        organization_id,
        count(*) as applications,
        sum(users_with_access)::bigint as accesses,
        sum(users_never_used)::bigint as never_used,
    from applications
    where is_listed
    group by organization_id
),

-- A connection that fails as a whole fails the organizations that it synced last.
attempts as (
    select organization_id, dag_id, run_id, outcome, reason, recorded_at
    from sync_log
    where organization_id is not null
    union all
    select organizations.organization_id, runs.dag_id, runs.run_id, runs.outcome, runs.reason, runs.recorded_at
    from sync_log as runs
    inner join organizations using (connection_id)
    where runs.organization_id is null
),

ended as (
    select
        organization_id,
        dag_id,
        run_id,
        max(recorded_at) as recorded_at,
        count_if(outcome = 'failed') > 0 as has_failed,
        min(reason) filter (where outcome = 'failed') as failure,
    from attempts
    where dag_id in ('jumpcloud_directory', 'jumpcloud_usage')
    group by organization_id, dag_id, run_id
),

latest as (
    select *
    from ended
    qualify row_number() over (partition by organization_id, dag_id order by recorded_at desc, run_id desc) = 1
)

select
    organizations.organization_id,
    organizations.organization_name,
    organizations.connection_id,
    organizations.sync_status,
    organizations.sync_message,
    organizations.directory_synced_at,
    organizations.usage_state,
    organizations.usage_state_reason,
    organizations.usage_from,
    organizations.usage_until,
    coalesce(people.accounts, 0) as accounts,
    coalesce(listed.applications, 0) as applications,
    coalesce(listed.accesses, 0) as accesses,
    listed.never_used,
    directory.run_id as directory_run_id,
    directory.recorded_at as directory_ran_at,
    usage.run_id as usage_run_id,
    usage.recorded_at as usage_ran_at,
    coalesce(usage.has_failed, false) as has_usage_failed,
    usage.failure as usage_failure,
from organizations
left join people using (organization_id)
left join listed using (organization_id)
left join latest as directory
    on organizations.organization_id = directory.organization_id and directory.dag_id = 'jumpcloud_directory'
left join latest as usage
    on organizations.organization_id = usage.organization_id and usage.dag_id = 'jumpcloud_usage'
