-- grain:  one row per organization and object ever seen in an accepted snapshot
-- inputs: none; filled snapshot by snapshot, by the models that are folded and by fold_histories
-- why:    what a snapshot alone cannot say (first and last seen, deleted, last known columns), carried from build
--         to build in a database of its own, attached as `state`, so that a build costs what has changed; it can
--         always be folded again from landing

-- One row, written last: a state without it is none.
create or replace table state.build (
    schema_version integer not null,
    built_at timestamp not null
);

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
    employee_id varchar,
    cost_center varchar,
    company varchar,
    location varchar,
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
    display_name varchar,
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

create table if not exists state.roles (
    organization_id varchar not null,
    role_id varchar not null,
    role_name varchar
);

create table if not exists state.group_members (
    organization_id varchar not null,
    group_id varchar not null,
    user_id varchar not null
);

create table if not exists state.application_groups (
    organization_id varchar not null,
    application_id varchar not null,
    group_id varchar not null
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

-- Every row of every manifest: a build reads the manifests that are new, and no other.
create table if not exists state.runs (
    manifest varchar not null,
    dag_id varchar,
    run_id varchar,
    is_restricted boolean,
    connection_id varchar,
    organization_id varchar,
    organization_name varchar,
    stream varchar,
    snapshot_at timestamp,
    interval_start timestamp,
    interval_end timestamp,
    path varchar,
    rows bigint,
    received bigint,
    api_total bigint,
    inside bigint,
    strays bigint,
    requests bigint,
    seconds double,
    outcome varchar,
    decision varchar,
    reason varchar,
    recorded_at timestamp,
    extracted_at timestamp
);

create table if not exists state.manifests (
    path varchar not null,
    version varchar not null
);

-- Of the snapshots that this build folds, and of every unit that is rolled up.
create or replace table state.read_counts (
    path varchar not null,
    rows bigint not null,
    landed_rows bigint
);
