-- grain:  one row per version of an account, and of a user's access to an application
-- inputs: int_accounts, state.access, stg_organizations
-- why:    a version ends with the first snapshot that no longer shows it, and begins with the first that does; only
--         open versions of this round's organizations are looked at, however long the history

create or replace temp table int_account_versions as
select
    accounts.organization_id,
    accounts.user_id,
    accounts.status,
    accounts.roles,
    accounts.is_admin,
    accounts.is_mfa_enabled,
    accounts.email,
    accounts.username,
    accounts.display_name,
    accounts.department,
    accounts.job_title,
    accounts.manager_id,
    accounts.groups,
    rounds.snapshot_at as valid_from,
from int_accounts as accounts
inner join stg_organizations as rounds using (organization_id);

create or replace temp table int_open_accounts as
select open.*
from state.user_history as open
semi join stg_organizations using (organization_id)
where open.valid_to is null;

create or replace temp table int_kept_accounts as
select organization_id, user_id
from
    (
        select * exclude (valid_from) from int_account_versions
        intersect
        select * exclude (valid_from, valid_to) from int_open_accounts
    ) as kept;

update state.user_history as history
set valid_to = rounds.snapshot_at
from stg_organizations as rounds
where
    history.organization_id = rounds.organization_id
    and history.valid_to is null
    and (history.organization_id, history.user_id) not in (select (organization_id, user_id) from int_kept_accounts);

insert into state.user_history by name
select *
from int_account_versions
anti join int_kept_accounts using (organization_id, user_id);

create or replace temp table int_kept_access as
select organization_id, application_id, user_id
from
    (
        select access.*
        from state.access as access
        semi join stg_organizations using (organization_id)
        intersect
        select organization_id, application_id, user_id, access, via_group_ids
        from state.access_history
        where valid_to is null
    ) as kept;

update state.access_history as history
set valid_to = rounds.snapshot_at
from stg_organizations as rounds
where
    history.organization_id = rounds.organization_id
    and history.valid_to is null
    and (history.organization_id, history.application_id, history.user_id)
    not in (select (organization_id, application_id, user_id) from int_kept_access);

insert into state.access_history by name
select access.*, rounds.snapshot_at as valid_from
from state.access as access
inner join stg_organizations as rounds using (organization_id)
anti join int_kept_access using (organization_id, application_id, user_id);
