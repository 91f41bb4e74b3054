-- grain:  one row per organization, connection and capability
-- inputs: landing/capabilities
-- why:    what could be synced and done when a directory run last looked

select
    organization_id,
    connection_id,
    capability,
    kind,
    state,
    reason,
    key_ends_at,
    run_id,
    checked_at,
from landed_capabilities
