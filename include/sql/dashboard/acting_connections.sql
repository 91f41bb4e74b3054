-- grain:  one row per connection that a run has looked at an organization with
-- inputs: capabilities
-- why:    an organization is synced with one connection; another may be there only to act on its users

select distinct connection_id
from capabilities
order by connection_id
