-- grain:  one row per organization whose state cannot be carried on
-- inputs: stg_runs, state.*, checkpoint_*
-- why:    a snapshot that turns up later than a younger one was folded changes what came after: its organization is
--         folded again; one that was left out leaves the state. What is folded from the start starts from the
--         checkpoint, where older snapshots have been pruned

create temp table int_outdated as
with

landed as (
    select distinct organization_id, snapshot_at
    from stg_runs
    where stream = 'organizations' and outcome = 'ok'
),

folded as (
    select organization_id, max(snapshot_at) as last_at
    from state.snapshots
    group by organization_id
),

checkpoints as (
    select organization_id, max(snapshot_at) as last_at
    from checkpoint_snapshots
    group by organization_id
),

late as (
    select distinct landed.organization_id
    from landed
    anti join state.snapshots using (organization_id, snapshot_at)
    inner join folded using (organization_id)
    left join checkpoints using (organization_id)
    where
        landed.snapshot_at < folded.last_at
        and landed.snapshot_at > coalesce(checkpoints.last_at, timestamp '0001-01-01')
),

left_out as (
    select organization_id
    from folded
    anti join stg_runs using (organization_id)
)

select organization_id from late
union all
select organization_id from left_out;

delete from state.snapshots
where organization_id in (select organization_id from int_outdated);
delete from state.users
where organization_id in (select organization_id from int_outdated);
delete from state.administrators
where organization_id in (select organization_id from int_outdated);
delete from state.applications
where organization_id in (select organization_id from int_outdated);
delete from state.groups
where organization_id in (select organization_id from int_outdated);
delete from state.roles
where organization_id in (select organization_id from int_outdated);
delete from state.group_members
where organization_id in (select organization_id from int_outdated);
delete from state.application_groups
where organization_id in (select organization_id from int_outdated);
delete from state.access
where organization_id in (select organization_id from int_outdated);
delete from state.user_history
where organization_id in (select organization_id from int_outdated);
delete from state.access_history
where organization_id in (select organization_id from int_outdated);

create temp table int_restored as
select distinct organization_id
from checkpoint_snapshots
semi join stg_runs using (organization_id)
anti join state.snapshots using (organization_id);

insert into state.snapshots by name
select * from checkpoint_snapshots
where organization_id in (select organization_id from int_restored);
insert into state.users by name
select * from checkpoint_users
where organization_id in (select organization_id from int_restored);
insert into state.administrators by name
select * from checkpoint_administrators
where organization_id in (select organization_id from int_restored);
insert into state.applications by name
select * from checkpoint_applications
where organization_id in (select organization_id from int_restored);
insert into state.groups by name
select * from checkpoint_groups
where organization_id in (select organization_id from int_restored);
insert into state.roles by name
select * from checkpoint_roles
where organization_id in (select organization_id from int_restored);
insert into state.group_members by name
select * from checkpoint_group_members
where organization_id in (select organization_id from int_restored);
insert into state.application_groups by name
select * from checkpoint_application_groups
where organization_id in (select organization_id from int_restored);
insert into state.access by name
select * from checkpoint_access
where organization_id in (select organization_id from int_restored);
insert into state.user_history by name
select * from checkpoint_user_history
where organization_id in (select organization_id from int_restored);
insert into state.access_history by name
select * from checkpoint_access_history
where organization_id in (select organization_id from int_restored);
