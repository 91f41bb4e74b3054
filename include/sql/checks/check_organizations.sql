-- grain:  one row per organization that a mart names and `organizations` does not
-- inputs: every mart
-- why:    a row of an unknown organization belongs to nobody who could be asked

with

named as (
    select 'users' as mart, organization_id from users
    union
    select 'capabilities', organization_id from capabilities
    union
    select 'applications', organization_id from applications
    union
    select 'application_users', organization_id from application_users
    union
    select 'usage_daily', organization_id from usage_daily
    union
    select 'usage_coverage', organization_id from usage_coverage
)

select mart, organization_id
from named
anti join organizations using (organization_id)
