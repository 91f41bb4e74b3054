-- grain:  one row per unit that is rolled up; and what this build rolls up of a month
-- inputs: none; filled by the models beside this file
-- why:    the units say what the roll-ups are made of: rows of a day that they do not name are none

create temp table rollup_units (
    organization_id varchar not null,
    date date not null,
    path varchar not null,
    received bigint,
    inside bigint,
    rows bigint not null,
    landed_rows bigint,
    extracted_at timestamp,
    services varchar[],
    began_before_retention boolean,
    outcome varchar,
    statements varchar not null
);

create temp table new_usage_daily (
    organization_id varchar not null,
    date date not null,
    source varchar not null,
    actor_id varchar,
    actor_username varchar,
    actor_email varchar,
    application_id varchar,
    successes bigint not null,
    failures bigint not null,
    first_at timestamp,
    last_at timestamp
);

create temp table new_usage_applications (
    organization_id varchar not null,
    date date not null,
    application_id varchar not null,
    name varchar,
    catalog_name varchar,
    sso_type varchar,
    event_at timestamp not null,
    event_id varchar not null
);
