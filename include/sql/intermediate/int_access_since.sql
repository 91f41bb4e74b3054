-- grain:  one row per organization, application and user who ever had access
-- inputs: state.access_history, state.snapshots
-- why:    access is unbroken as long as each snapshot shows any, whichever: a version that begins where the one before
--         ends goes on with it. What the organization's first snapshot shows may be older than that

with

versions as (
    select
        organization_id,
        application_id,
        user_id,
        valid_from,
        lag(valid_to) over (
            partition by organization_id, application_id, user_id
            order by valid_from
        ) as ended_before_at,
    from state.access_history
),

began as (
    select
        organization_id,
        application_id,
        user_id,
        max(valid_from) as began_at,
    from versions
    where ended_before_at is distinct from valid_from
    group by organization_id, application_id, user_id
),

first_snapshots as (
    select organization_id, min(snapshot_at) as first_at
    from state.snapshots
    group by organization_id
)

select
    began.organization_id,
    began.application_id,
    began.user_id,
    nullif(began.began_at, first_snapshots.first_at) as access_since,
from began
inner join first_snapshots using (organization_id)
