-- grain:  one row per version of a user's access to an application, the newest first
-- inputs: access_history, applications, organizations
-- why:    which access a user was given and lost, and when; what the first snapshot shows was there before

select
    history.application_id,
    coalesce(applications.name, history.application_id) as application,
    history.access,
    history.via_group_ids,
    history.valid_from,
    history.valid_to,
    -- A version that begins where another ends is another path, no new access.
    coalesce(lag(history.valid_to) over versions = history.valid_from, false) as is_change,
    coalesce(lead(history.valid_from) over versions = history.valid_to, false) as is_changed,
    history.valid_from = organizations.directory_first_synced_at as is_from_before,
    count(*) over () as versions,
from access_history as history
inner join organizations using (organization_id)
left join applications using (organization_id, application_id)
where history.organization_id = $organization_id and history.user_id = $user_id
window versions as (partition by history.application_id order by history.valid_from)
order by history.valid_from desc, application asc
limit 400
