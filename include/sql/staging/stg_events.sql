-- grain:  one row per organization, day and event of usage, of the days that this batch rolls up
-- inputs: landing/directory_insights_events: every unit of these days that the manifests know
-- why:    each event once, as extracted last and as the view `events` has it; events dated outside of their unit are
--         left in landing. Which of several copies stands is in what they say, not in the order in which they came:
--         by the rule of the view, as far as anything is counted of it

with

source as (
    select
        * exclude (filename),
        partition_of(filename, 'organization_id') as organization_id,
        partition_of(filename, 'date')::date as date,
    from read_parquet(getvariable('units_files'), hive_partitioning = false, filename = true)
),

-- Of the payload goes on only what has no column of its own: it is most of what an event weighs.
inside as (
    select
        * exclude (payload),
        case
            when event_type = 'sso_auth'
                then coalesce(sso_token_success, flag_of(payload ->> '$.sso_token_success'))
            else coalesce(success, flag_of(payload ->> '$.success'))
        end as outcome,
        -- A sign-on that is not successful and does not say why is a step on the way.
        event_type = 'sso_auth' and not outcome and coalesce(payload ->> '$.error_message', '') = '' as is_step,
        if(event_type = 'sso_auth', payload ->> '$.application.display_name', null) as application_display_name,
    from source
    where event_at >= _interval_start and event_at < _interval_end
),

latest as (
    select *
    from inside
    qualify
        row_number() over (
            partition by organization_id, date, event_id
            order by
                _extracted_at desc,
                _interval_start desc,
                _interval_end desc,
                event_at desc,
                case when event_type = 'sso_auth' then sso_token_success else success end desc nulls last,
                event_type desc nulls last,
                initiated_by_id desc nulls last,
                initiated_by_username desc nulls last,
                initiated_by_email desc nulls last,
                resource_id desc nulls last,
                resource_username desc nulls last,
                resource_email desc nulls last,
                application_id desc nulls last,
                application_name desc nulls last,
                application_display_label desc nulls last,
                application_sso_type desc nulls last
        ) = 1
),

renamed as (
    select
        organization_id,
        date,
        event_id,
        event_type,
        event_at,
        if(coalesce(is_step, false), null, outcome) as is_success,
        coalesce(initiated_by_id, '') <> ''
        or coalesce(initiated_by_username, '') <> ''
        or coalesce(initiated_by_email, '') <> '' as has_initiator,
        nullif(if(has_initiator, initiated_by_id, resource_id), '') as actor_id,
        nullif(if(has_initiator, initiated_by_username, resource_username), '') as actor_username,
        nullif(if(has_initiator, initiated_by_email, resource_email), '') as actor_email,
        nullif(application_id, '') as application_id,
        coalesce(nullif(application_display_name, ''), nullif(application_name, '')) as catalog_name,
        coalesce(nullif(application_display_label, ''), catalog_name) as application_label,
        nullif(application_sso_type, '') as application_sso_type,
    from latest
    where event_type in ('user_login_attempt', 'admin_login_attempt', 'sso_auth')
)

select * exclude (has_initiator)
from renamed
