-- grain:  one row per organization and object ever seen in an accepted snapshot
-- inputs: none; filled snapshot by snapshot, by the models that are folded and by fold_histories
-- why:    what a snapshot alone cannot say (first and last seen, deleted, last known columns), carried from build
--         to build so that a build costs what has changed; it can always be folded again from landing

create schema if not exists state;

create table if not exists state.snapshots (
    organization_id varchar not null,
    snapshot_at timestamp not null,
    connection_id varchar,
    organization_name varchar
);

create table if not exists state.users (
    organization_id varchar not null,
    user_id varchar not null,
    email varchar,
    username varchar,
    first_name varchar,
    last_name varchar,
    display_name varchar,
    department varchar,
    job_title varchar,
    manager_id varchar,
    created_at timestamp,
    state varchar,
    present_status varchar not null,
    roles varchar[] not null,
    is_admin boolean not null,
    is_mfa_enabled boolean not null,
    groups varchar[] not null,
    first_seen_at timestamp not null,
    last_seen_at timestamp not null,
    deleted_at timestamp
);

create table if not exists state.administrators (
    organization_id varchar not null,
    administrator_id varchar not null,
    email varchar,
    first_name varchar,
    last_name varchar,
    created_at timestamp,
    present_status varchar not null,
    role_names varchar[] not null,
    is_mfa_enabled boolean not null,
    first_seen_at timestamp not null,
    last_seen_at timestamp not null,
    deleted_at timestamp
);

create table if not exists state.applications (
    organization_id varchar not null,
    application_id varchar not null,
    name varchar,
    catalog_name varchar,
    sso_type varchar,
    is_active boolean,
    created_at timestamp,
    first_seen_at timestamp not null,
    last_seen_at timestamp not null,
    deleted_at timestamp
);

create table if not exists state.groups (
    organization_id varchar not null,
    group_id varchar not null,
    name varchar
);

create table if not exists state.access (
    organization_id varchar not null,
    application_id varchar not null,
    user_id varchar not null,
    access varchar not null,
    via_group_ids varchar[] not null
);

create table if not exists state.user_history (
    organization_id varchar not null,
    user_id varchar not null,
    status varchar not null,
    roles varchar[] not null,
    is_admin boolean not null,
    is_mfa_enabled boolean not null,
    email varchar,
    username varchar,
    display_name varchar,
    department varchar,
    job_title varchar,
    manager_id varchar,
    groups varchar[] not null,
    valid_from timestamp not null,
    valid_to timestamp
);

create table if not exists state.access_history (
    organization_id varchar not null,
    application_id varchar not null,
    user_id varchar not null,
    access varchar not null,
    via_group_ids varchar[] not null,
    valid_from timestamp not null,
    valid_to timestamp
);

create table if not exists state.read_counts (
    path varchar not null,
    rows bigint not null,
    landed_rows bigint,
    inside bigint
);
