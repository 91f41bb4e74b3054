-- grain:  one row per organization
-- inputs: state.snapshots, int_usage_state, int_damage, int_usage_runs, int_directory_runs
-- why:    how far the directory and the usage of each organization are known, and why not further

with

snapshots as (
    select
        organization_id,
        min(snapshot_at) as directory_first_synced_at,
        max(snapshot_at) as directory_synced_at,
        arg_max(connection_id, snapshot_at) as connection_id,
        arg_max(coalesce(organization_name, organization_id), snapshot_at) as organization_name,
    from state.snapshots
    group by organization_id
)

select
    tried.organization_id,
    coalesce(snapshots.organization_name, tried.organization_name, tried.organization_id) as organization_name,
    coalesce(snapshots.connection_id, tried.connection_id) as connection_id,
    tried.usage_state,
    tried.usage_state_reason,
    tried.usage_from,
    tried.usage_until,
    coalesce(tried.known_days, 0) as known_days,
    snapshots.directory_first_synced_at,
    snapshots.directory_synced_at,
    if(coalesce(damage.has_failed or usage.has_failed, false), 'failed', coalesce(directory.sync_status, 'stale'))
        as sync_status,
    nullif(
        concat_ws(
            ' ',
            damage.message,
            usage.message,
            if(
                directory.sync_status is null,
                'No directory run has tried this organization yet.',
                if(usage.has_failed, 'Directory: ', '') || directory.sync_message
            )
        ),
        ''
    ) as sync_message,
from int_usage_state as tried
left join snapshots using (organization_id)
left join int_directory_runs as directory using (organization_id)
left join int_damage as damage using (organization_id)
left join int_usage_runs as usage using (organization_id)
