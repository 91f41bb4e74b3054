-- grain:  one row per organization that is folded from the checkpoint on
-- inputs: stg_runs, state.snapshots, checkpoint_snapshots
-- why:    of an organization without state the snapshots before the checkpoint have been pruned

create temp table int_restored as
select distinct organization_id
from checkpoint_snapshots
semi join stg_runs using (organization_id)
anti join state.snapshots using (organization_id)
