-- grain:  one row per organization, date and event, the latest extraction
-- inputs: landing/directory_insights_events, by absolute path
-- why:    every number of usage can be followed to its events; the partition columns are in the window, so that a
--         query of one organization and one week opens nothing else. Which of several copies stands is in what they
--         say, as in stg_events. A view: in words that DuckDB 1.2 knows too

with

latest as (
    select
        *,
        -- The text `true` or `false` has had no column of its own always.
        case
            when event_type = 'sso_auth'
                then coalesce(
                    sso_token_success,
                    case payload ->> '$.sso_token_success' when 'true' then true when 'false' then false end
                )
            else coalesce(success, case payload ->> '$.success' when 'true' then true when 'false' then false end)
        end as outcome,
    from landed_events
    where event_at >= _interval_start and event_at < _interval_end
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
)

select
    date,
    event_id,
    organization_id,
    event_type,
    service,
    event_at,
    nullif(
        case
            when
                coalesce(initiated_by_id, '') <> ''
                or coalesce(initiated_by_username, '') <> ''
                or coalesce(initiated_by_email, '') <> ''
                then initiated_by_id
            else resource_id
        end,
        ''
    ) as user_id,
    nullif(application_id, '') as application_id,
    -- A sign-on that is not successful and does not say why is a step on the way.
    case
        when
            coalesce(event_type, '') <> 'sso_auth' or outcome or coalesce(payload ->> '$.error_message', '') <> ''
            then outcome
    end as is_success,
    nullif(payload ->> '$.error_message', '') as error_message,
    payload,
    _connection_id,
    _extracted_at,
    _interval_start,
    _interval_end,
from latest
