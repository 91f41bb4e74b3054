-- grain:  one row per role
-- inputs: users
-- why:    the choice of roles: an open set

with

named as (
    select unnest(roles) as role
    from users
)

select distinct role
from named
order by role
