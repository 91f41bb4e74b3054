"""What Airflow learns of this package through its `apache_airflow_provider` entry point.

The connection form and the configuration section are declared here and nowhere else. Airflow imports this
module in every process it starts, so it imports nothing.
"""

from __future__ import annotations

from typing import Any


def _option(description: str, default: str, example: str | None = None, *, sensitive: bool = False) -> dict[str, Any]:
    return {
        "sensitive": sensitive,
        "description": description,
        "version_added": "0.1.0",
        "type": "string",
        "example": example,
        "default": default,
    }


CONFIG = {
    "jumpcloud_elt": {
        "description": "Settings of the JumpCloud ELT package.",
        "options": {
            "connections": _option(
                "Comma-separated ids of the Airflow connections (type JumpCloud) to sync. An organization that "
                "two of them reach is synced once, by the first.",
                "jumpcloud_default",
                "jumpcloud_us,jumpcloud_eu",
            ),
            "exclude": _option(
                "Comma-separated ids of organizations or connections to leave out on purpose: they are not synced "
                "and leave the warehouse; what has landed of them stays.",
                "",
            ),
            "usage_exclude": _option(
                "Comma-separated ids of organizations or connections whose usage is not read. Their tasks of "
                "jumpcloud_usage show as skipped; what has landed stays.",
                "",
            ),
            "pool": _option(
                "The Airflow pool of every task that asks JumpCloud, so that all Dags together do not bring about "
                "429. It must exist: `airflow pools set jumpcloud 8 JumpCloud`.",
                "default_pool",
                "jumpcloud",
            ),
            "snapshot_retention_days": _option(
                "Landed snapshots older than this are pruned after each build, once a checkpoint of the histories "
                "has landed. 0 keeps them all.",
                "0",
                "90",
            ),
            "notifiers": _option(
                "Who is told, once, when an organization fails, is held, goes stale or loses Directory Insights, or "
                "when a key is about to end; and once when it is well again. A JSON list of Airflow notifiers: class, "
                "and kwargs in which {{ jumpcloud.subject }} and {{ jumpcloud.message }} stand for what there is to "
                "tell. Empty: nobody.",
                "",
                '[{"class": "airflow.providers.smtp.notifications.smtp.SmtpNotifier", "kwargs": {"to": '
                '"it@example.com", "subject": "{{ jumpcloud.subject }}", "html_content": "<pre>{{ jumpcloud.message '
                '| e }}</pre>"}}]',
                sensitive=True,
            ),
            "data_root": _option(
                "Folder of the landing and the warehouse. A relative path is relative to AIRFLOW_HOME. Or an object "
                "store: s3://bucket/prefix, or s3://connection-id@bucket/prefix with an Airflow connection of type "
                "Amazon Web Services; it needs the extra s3 of this package.",
                "data",
                "/srv/jumpcloud",
            ),
            "directory_schedule": _option(
                "When jumpcloud_directory takes a snapshot: a cron expression or preset, or `none`.", "@daily"
            ),
            "usage_schedule": _option(
                "The data interval of jumpcloud_usage: a cron expression or preset, or `none`.",
                "@daily",
                "@hourly",
            ),
            "usage_services": _option(
                "Comma-separated Directory Insights services to land: directory and sso at least, or all.",
                "directory,sso",
                "directory,sso,radius",
            ),
            "usage_slice_threads": _option(
                "How many requests for one organization's events are made at a time: a large interval is cut by "
                "JumpCloud's own counts into slices that are read beside each other. 1 reads one page after another.",
                "16",
            ),
            "usage_arrival_lag_minutes": _option(
                "How long after its end an interval is read: JumpCloud delivers events minutes late. Scheduled and "
                "backfill runs wait for it, without a worker; what comes later still is found by later runs.",
                "15",
            ),
            "usage_reconcile_days": _option(
                "Runs of jumpcloud_usage that catch up compare the units of so many days before their interval with "
                "JumpCloud's counts, and read again what has more events by now. 0 compares none.",
                "3",
            ),
            "usage_initial_days": _option(
                "How many days of history scheduled runs of jumpcloud_usage load by themselves. Empty: as many as the "
                "connection's usage_retention_days. 0: nothing before an organization's first run.",
                "",
                "30",
            ),
            "usage_catch_up_minutes": _option(
                "How long after its begin, or after usage_arrival_lag_minutes, a run of jumpcloud_usage goes on with "
                "units that are missing, incomplete or damaged; the rest is the next run's. 0: runs do not catch up. "
                "Must be less than task_timeout_minutes, and with usage_arrival_lag_minutes less than "
                "run_timeout_hours.",
                "60",
            ),
            "usage_count_tolerance": _option(
                "By what share of JumpCloud's count the events received may differ from it for a unit to count as "
                "whole. For organizations whose counts are never exact.",
                "0",
                "0.001",
            ),
            "task_timeout_minutes": _option("After so many minutes Airflow ends a task.", "180"),
            "run_timeout_hours": _option("After so many hours Airflow ends a run.", "24"),
            "land_personal_fields": _option(
                "false: personal fields that no mart needs (addresses, phone numbers, custom attributes, IP addresses "
                "and the like) are cut out before anything is landed. What has landed before stays.",
                "true",
            ),
            "request_threads": _option("How many requests one organization's task makes at a time.", "8"),
            "drift_share": _option(
                "A snapshot is held when more than this share of the users, administrators, applications, groups, "
                "memberships or application bindings of the last accepted one, and more than drift_minimum of them, "
                "are missing.",
                "0.3",
            ),
            "drift_minimum": _option(
                "So many missing or fewer hold no snapshot, unless nothing is left of what had been three or more, or "
                "no user.",
                "10",
            ),
            "actions_approval_batch_size": _option(
                "jumpcloud_user_action changes up to this many users in one run without asking; more wait for an "
                "approval. Deletions always do. 0: everything does.",
                "10",
            ),
            "actions_approval_timeout_hours": _option(
                "How long an approval is waited for; after that nothing is done.", "24"
            ),
            "actions_approvers": _option(
                "Comma-separated ids of the Airflow users who may approve. Empty: whoever may edit the Dag's runs, "
                "the person who started the run included.",
                "",
                "anna,omar",
            ),
            "connect_timeout_seconds": _option("Longest wait for a connection to JumpCloud.", "10"),
            "read_timeout_seconds": _option("Longest wait between two bytes of an answer.", "120"),
            "request_deadline_seconds": _option(
                "Longest time for one request and the whole of its answer, however slowly that comes.", "600"
            ),
            "request_attempts": _option("How often one request is tried before its task is tried again later.", "6"),
            "retry_wait_seconds": _option(
                "First wait before a request is tried again; doubles each time, with jitter. Five times that before an "
                "interval is read again that does not agree with JumpCloud's count.",
                "1",
            ),
            "retry_wait_max_seconds": _option(
                "Longest wait before a request is tried again. Where Retry-After is longer, Airflow tries the task "
                "again then.",
                "120",
            ),
            "duckdb_memory_limit": _option(
                "DuckDB's memory_limit while it builds and checks the warehouse: a number with a unit, or a "
                "percentage of the machine's memory.",
                "2GB",
                "8GB",
            ),
            "duckdb_threads": _option(
                "DuckDB's threads while it builds and checks the warehouse; 0 means one per core.", "0"
            ),
            "warehouse_mode": _option(
                "Who may read the published warehouse: its file mode, in octal. 0440: its owner and its group, which "
                "is the folder's where that has the setgid bit. 0444: everybody on the host. Nobody may write.",
                "0440",
                "0444",
            ),
        },
    }
}

CONNECTION_TYPE_INFO = {
    "connection-type": "jumpcloud",
    "hook-class-name": "jumpcloud_elt.hook.JumpCloudHook",
    "hook-name": "JumpCloud",
    "ui-field-behaviour": {
        # Port stays: without one, Airflow 3.3.1 and 3.3.2 refuse to test a stored connection (apache/airflow#73298).
        "hidden-fields": ["schema"],
        "relabeling": {
            "password": "API key",
            "login": "Service account client id",
            "host": "Base URL",
        },
        "placeholders": {
            "password": "API key, or the client secret of a service account",
            "login": "leave empty for an API key",
            "host": "leave empty: the region decides",
            "port": "443, for the Test button of Airflow 3.3.1 and 3.3.2; else empty",
        },
    },
    "conn-fields": {
        "region": {
            "label": "Region",
            "description": "Where the account lives: us (the default), eu or in.",
            "schema": {"type": ["string", "null"], "enum": ["us", "eu", "in"], "default": "us"},
        },
        "organization_ids": {
            "label": "Organization ids",
            "description": "Comma-separated ids (24 hexadecimal digits each) to sync. Empty: every organization "
            "that the key sees.",
            "schema": {"type": ["string", "null"]},
        },
        "permission": {
            "label": "Permission",
            "description": "read: sync only (the default). read_and_act: users may be "
            "created, changed, suspended and deleted with jumpcloud_user_action, too.",
            "schema": {"type": ["string", "null"], "enum": ["read", "read_and_act"], "default": "read"},
        },
        "usage_retention_days": {
            "label": "Usage retention in days",
            "description": "How long JumpCloud keeps this account's events (15 to 90 days, by plan; 90 where "
            "empty). Older intervals are not asked for, and never taken for no usage.",
            "schema": {"type": ["integer", "null"], "minimum": 1},
        },
        "token_url": {
            "label": "Token URL",
            "description": "Where a service account's token is asked for. Empty: JumpCloud's.",
            "schema": {"type": ["string", "null"]},
        },
    },
}


def get_provider_info() -> dict[str, Any]:
    """Return the provider's declaration, as Airflow's provider schema defines it."""
    return {
        "package-name": "jumpcloud-elt",
        "name": "JumpCloud ELT",
        "description": "JumpCloud organizations into Parquet and a DuckDB warehouse.",
        "hooks": [{"integration-name": "JumpCloud", "python-modules": ["jumpcloud_elt.hook"]}],
        "integrations": [
            {
                "integration-name": "JumpCloud",
                "external-doc-url": "https://docs.jumpcloud.com",
                "tags": ["service"],
            }
        ],
        "connection-types": [CONNECTION_TYPE_INFO],
        "config": CONFIG,
    }
