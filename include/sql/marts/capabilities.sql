-- grain:  one row per connection, organization and capability
-- inputs: stg_capabilities, int_directory_runs, organizations
-- why:    what is synced and which actions are allowed, now: what an earlier run saw is no longer so where the
--         latest one could not look at all

with

current_state as (
    select
        stg_capabilities.*,
        coalesce(directory.sync_message, organizations.sync_message) as sync_message,
        -- The connection has failed as a whole since, or nobody sees the organization any longer.
        coalesce(directory.sync_status, 'stale') = 'stale'
        or (
            directory.sync_status = 'failed'
            and organizations.connection_id = stg_capabilities.connection_id
            and directory.run_id <> stg_capabilities.run_id
        ) as is_over,
    from stg_capabilities
    inner join organizations using (organization_id)
    left join int_directory_runs as directory using (organization_id)
    where not list_contains(getvariable('excluded'), stg_capabilities.connection_id)
)

select
    connection_id,
    organization_id,
    capability,
    kind,
    if(is_over, 'no', state) as state,
    if(is_over, sync_message, reason) as reason,
    key_ends_at,
    checked_at,
from current_state
