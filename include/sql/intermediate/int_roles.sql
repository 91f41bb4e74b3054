-- grain:  one row per organization of this round and role that its latest list of roles has
-- inputs: stg_roles, stg_organizations, int_streams, state.roles
-- why:    a snapshot without the list of roles leaves them as they are last known

with

listed as (
    select organization_id
    from int_streams
    where stream = 'roles'
),

known as (
    select known.*
    from state.roles as known
    semi join stg_organizations using (organization_id)
    anti join listed using (organization_id)
)

select
    organization_id,
    role_id,
    role_name,
from stg_roles
union all by name
select * from known
