"""The connection form and the configuration section: what they accept, and what they say of what they do not."""

from __future__ import annotations

import importlib.resources
import json
from typing import Any
from urllib.parse import quote

import duckdb
import jsonschema
import pytest
from airflow.providers_manager import ProvidersManager
from airflow.sdk.definitions.connection import Connection
from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

from jumpcloud_elt.core.account import Account, read_account
from jumpcloud_elt.core.airflow_compat import conf
from jumpcloud_elt.core.settings import Settings, read_settings
from jumpcloud_elt.errors import ConfigurationError
from jumpcloud_elt.hook import JumpCloudHook
from jumpcloud_elt.provider_info import CONFIG, CONNECTION_TYPE_INFO, get_provider_info

KEY = "jca_0123456789"
ONE, TWO = "5f0a1c2e9d3b4a0011223301", "5f0a1c2e9d3b4a0011223302"


def read(extra: dict[str, Any] | None = None, **fields: Any) -> Account:
    given = {"conn_id": "jc", "conn_type": "jumpcloud", "password": KEY} | fields
    return read_account(Connection(**given, extra=json.dumps(extra or {})))


def refusal(extra: dict[str, Any] | None = None, **fields: Any) -> str:
    with pytest.raises(ConfigurationError) as raised:
        read(extra, **fields)
    return str(raised.value)


def test_a_key_alone_is_a_whole_connection() -> None:
    assert read() == Account(
        connection_id="jc",
        secret=KEY,
        client_id=None,
        region="us",
        console_url="https://console.jumpcloud.com",
        insights_url="https://api.jumpcloud.com",
        token_url="https://admin-oauth.id.jumpcloud.com/oauth2/token",
        organization_ids=(),
        permission="read",
        usage_retention_days=90,
    )


def test_the_secret_of_another_product_is_not_taken_for_a_key() -> None:
    with pytest.raises(ConfigurationError) as raised:
        read(conn_type="postgres", host="db.example", password="pg-password")
    assert str(raised.value) == "Connection 'jc': Connection type: 8 characters given; allowed: JumpCloud (jumpcloud)"


def test_a_connection_of_another_type_is_asked_nothing(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    given = json.dumps({"conn_type": "postgres", "host": "127.0.0.1", "port": 9, "password": "pg-password"})
    monkeypatch.setenv("AIRFLOW_CONN_PG", given)
    with (
        JumpCloudHook("pg", settings) as hook,
        pytest.raises(ConfigurationError, match="Connection type: 8 characters given"),
    ):
        hook.get("/api/organizations")
    assert hook.request_count == 0


@pytest.mark.parametrize(
    ("host", "port", "url"),
    [
        ("http://proxy.local", 443, "http://proxy.local"),
        ("http://proxy.local", 8080, "http://proxy.local:8080"),
        ("http://proxy.local:8080", 443, "http://proxy.local:8080"),
        ("https://proxy.local", 443, "https://proxy.local:443"),
        ("proxy.local", 443, "https://proxy.local:443"),
    ],
)
def test_the_port_that_the_test_button_wants_changes_no_address(host: str, port: int, url: str) -> None:
    assert read(host=host, port=port).console_url == url


def test_every_field_is_read() -> None:
    extra = {
        "region": " EU ",
        "organization_ids": f" {ONE.upper()} ; {TWO},{ONE}, ",
        "permission": "Read_And_Act",
        "usage_retention_days": "15",
        "token_url": "https://oauth.example/token",
    }
    account = read(extra, login=" client ", password=f" {KEY}\n")
    assert account == Account(
        connection_id="jc",
        secret=KEY,
        client_id="client",
        region="eu",
        console_url="https://console.eu.jumpcloud.com",
        insights_url="https://api.eu.jumpcloud.com",
        token_url="https://oauth.example/token",
        organization_ids=(ONE, TWO),
        permission="read_and_act",
        usage_retention_days=15,
    )
    assert account.is_service_account
    assert account.may_act


def test_an_account_does_not_show_its_secret() -> None:
    assert KEY not in repr(read())


def test_empty_fields_of_the_form_mean_the_defaults() -> None:
    names = ["region", "organization_ids", "permission", "usage_retention_days"]
    for nothing in (None, ""):
        assert read(dict.fromkeys([*names, "token_url"], nothing), login="", host="") == read()


@pytest.mark.parametrize(
    ("region", "console", "insights"),
    [
        ("us", "https://console.jumpcloud.com", "https://api.jumpcloud.com"),
        ("eu", "https://console.eu.jumpcloud.com", "https://api.eu.jumpcloud.com"),
        ("in", "https://console.in.jumpcloud.com", "https://api.in.jumpcloud.com"),
    ],
)
def test_the_region_decides_the_hosts(region: str, console: str, insights: str) -> None:
    account = read({"region": region})
    assert (account.console_url, account.insights_url) == (console, insights)


@pytest.mark.parametrize(
    ("fields", "url"),
    [
        ({"host": "http://127.0.0.1:18080"}, "http://127.0.0.1:18080"),
        ({"host": "http://127.0.0.1:18080/"}, "http://127.0.0.1:18080"),
        ({"host": "127.0.0.1", "port": 18080, "schema": "http"}, "http://127.0.0.1:18080"),
        ({"host": "http://127.0.0.1", "port": 18080}, "http://127.0.0.1:18080"),
        ({"host": "http://127.0.0.1:1", "port": 18080}, "http://127.0.0.1:1"),
        ({"host": "jumpcloud.example"}, "https://jumpcloud.example"),
        ({"host": "https://proxy.example/jumpcloud/"}, "https://proxy.example/jumpcloud"),
        ({"host": "https://proxy.example/jumpcloud", "port": 8443}, "https://proxy.example:8443/jumpcloud"),
    ],
)
def test_a_base_url_stands_for_every_api_whatever_the_region(fields: dict[str, Any], url: str) -> None:
    account = read({"region": "eu"}, **fields)
    assert (account.console_url, account.insights_url) == (url, url)
    assert account.token_url == f"{url}/oauth2/token"


@pytest.mark.parametrize(
    "value",
    [
        json.dumps(
            {
                "conn_type": "jumpcloud",
                "host": "http://127.0.0.1:18080",
                "password": KEY,
                "extra": {"organization_ids": [ONE], "permission": "read_and_act"},
            }
        ),
        f"jumpcloud://:{KEY}@127.0.0.1:18080/http?organization_ids={ONE}&permission=read_and_act",
        f"jumpcloud://:{KEY}@{quote('http://127.0.0.1:18080', safe='')}/"
        f"?organization_ids={ONE}&permission=read_and_act",
    ],
    ids=["json", "uri", "uri with the host as URL"],
)
def test_both_of_airflows_connection_forms_are_read(
    value: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JUMPCLOUD_FORMS", value)
    account = JumpCloudHook("jumpcloud_forms", settings).account
    assert account.console_url == "http://127.0.0.1:18080"
    assert account.secret == KEY
    assert account.organization_ids == (ONE,)
    assert account.may_act


def test_one_message_names_every_wrong_field_as_the_form_calls_it() -> None:
    extra = {
        "region": "mars",
        "organization_ids": "abc, 123",
        "permission": "write",
        "usage_retention_days": "soon",
        "token_url": "ftp://oauth.example",
    }
    message = refusal(extra, password="", host="ftp://x")
    assert message.splitlines() == [
        "Connection 'jc' of type JumpCloud cannot be used:",
        "- API key: missing; allowed: a JumpCloud API key, or the client secret of a service account",
        "- Region: 4 characters given; allowed: us, eu, in",
        "- Permission: 5 characters given; allowed: read, read_and_act",
        "- Base URL: 7 characters given; allowed: a full host name, or an http or https URL without a query",
        "- Organization ids: 2 of 2 are no ids (3 and 3 characters given); allowed: ids of 24 hexadecimal digits",
        "- Usage retention in days: 4 characters given; allowed: a whole number from 1 to 3650",
        "- Token URL: 19 characters given; allowed: an http or https URL",
    ]
    labels = {field["label"] for field in CONNECTION_TYPE_INFO["conn-fields"].values()}
    labels |= set(CONNECTION_TYPE_INFO["ui-field-behaviour"]["relabeling"].values())
    assert {line[2:].partition(":")[0] for line in message.splitlines()[1:]} <= labels


@pytest.mark.parametrize("key", ["", " ", None])
def test_a_connection_without_a_key_is_refused(key: str | None) -> None:
    assert "API key: missing" in refusal(password=key)


@pytest.mark.parametrize("key", ["two words", "a\nb", "a\tb", "ключ", "a\x00b"])
def test_a_key_that_no_key_can_be_is_refused_and_not_shown(key: str) -> None:
    message = refusal(password=key)
    assert "API key: contains" in message
    assert key not in message


@pytest.mark.parametrize(
    "host",
    [
        "ftp://jumpcloud.example",
        "http://",
        "https://:8080",
        "http://jumpcloud.example:port",
        "http://jumpcloud.example:99999",
        "http://[jumpcloud.example",
        "https://jumpcloud.example?x=1",
        "https://jumpcloud.example#x",
        "https://jumpcloud example",
    ],
)
def test_a_base_url_that_is_none_is_refused(host: str) -> None:
    assert f"Base URL: {len(host)} characters given" in refusal(host=host)
    if "?" not in host and "#" not in host:
        assert f"Token URL: {len(host)} characters given" in refusal({"token_url": host})


@pytest.mark.parametrize(
    "host",
    [
        "https://jumpcloud.example/api",
        "https://jumpcloud.example/api/v2/",
        "jumpcloud.example/api",
        "https://proxy.example/jumpcloud/API",
    ],
)
def test_a_base_url_with_a_path_of_the_api_is_refused_with_what_to_enter(host: str) -> None:
    assert (
        f"- Base URL: {len(host)} characters given, with /api in its path; allowed: the same without /api and what "
        "follows it"
    ) in refusal(host=host)


@pytest.mark.parametrize(
    "host",
    ["console.jumpcloud.com", "https://api.eu.jumpcloud.com", "https://Console.JumpCloud.com./", "jumpcloud.com"],
)
def test_a_host_of_jumpclouds_own_is_no_base_url(host: str) -> None:
    """Its APIs have hosts of their own each, and a Base URL stands for all of them."""
    told = f"Base URL: {len(host)} characters given, a host of JumpCloud's own; leave Base URL empty, choose Region"
    assert told in refusal(host=host)


def test_a_base_url_whose_path_only_begins_like_the_api_is_taken() -> None:
    assert read(host="https://proxy.example/api-gateway").console_url == "https://proxy.example/api-gateway"


@pytest.mark.parametrize("before", [f"user:{KEY}@", f":{KEY}@", f"{KEY}@"])
def test_a_key_in_a_url_is_refused_and_not_shown(before: str) -> None:
    url = f"https://{before}jumpcloud.example"
    message = refusal({"token_url": url}, host=url)
    assert f"Base URL: {len(url)} characters given" in message
    assert f"Token URL: {len(url)} characters given" in message
    assert KEY not in message


@pytest.mark.parametrize("key", [KEY, "0123456789abcdef" * 2 + "01234567"])
@pytest.mark.parametrize("field", ["host", "login", "conn_type"])
def test_a_key_in_a_wrong_field_is_refused_and_not_shown(field: str, key: str) -> None:
    fields: dict[str, Any] = {field: key, "password": key if field == "login" else KEY}
    message = refusal(**fields)
    assert f"{len(key)} characters given" in message
    assert key.lower() not in message.lower()


@pytest.mark.parametrize("name", ["region", "permission", "organization_ids", "token_url", "usage_retention_days"])
def test_a_key_in_a_wrong_extra_is_refused_and_not_shown(name: str) -> None:
    message = refusal({name: KEY})
    assert str(len(KEY)) in message
    assert KEY not in message


def test_the_key_of_an_administrator_is_no_client_id() -> None:
    assert (
        "- Service account client id: 14 characters given, which are an API key; allowed: the client id of a service "
        "account, or nothing with an API key"
    ) in refusal(login=KEY, password="secret")


def test_an_account_does_not_show_its_client_id() -> None:
    assert "client-of-mine" not in repr(read(login="client-of-mine", password="secret"))


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("organization_id", "organization_id"),
        ("Region", "Region"),
        ("extra__jumpcloud__region", "extra__jumpcloud__region"),
        (KEY, "a name of 14 characters"),
    ],
)
def test_an_extra_that_is_none_of_the_form_is_refused(name: str, shown: str) -> None:
    message = refusal({name: ONE, "region": "us"})
    assert message.splitlines()[1:] == [
        f"- Extra: {shown} with 24 characters given; allowed: region, organization_ids, permission, "
        "usage_retention_days, token_url"
    ]


@pytest.mark.parametrize("extra", ["no JSON", "[1]", '"text"', "5", "null", '{"region": "us"'])
def test_an_extra_that_is_no_json_object_is_refused_and_not_shown(extra: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_account(Connection(conn_id="jc", conn_type="jumpcloud", password=KEY, extra=extra))
    told = f"- Extra: {len(extra)} character{'s' if len(extra) > 1 else ''} given; allowed: a JSON object with region, "
    assert told in str(raised.value)
    assert extra not in str(raised.value)


@pytest.mark.parametrize("days", [0, -1, 3651, "1.5", 1.5, True, "x", [30]])
def test_a_retention_that_is_no_number_of_days_is_refused(days: Any) -> None:
    assert "- Usage retention in days: " in refusal({"usage_retention_days": days})


@pytest.mark.parametrize("ids", [["5f0a"], [None], [5], "5f0a1c2e9d3b4a00112233011", "g" * 24, {"a": 1}])
def test_organization_ids_that_are_none_are_refused(ids: Any) -> None:
    assert "- Organization ids: " in refusal({"organization_ids": ids})


def test_a_missing_connection_is_told_with_what_to_do(settings: Settings) -> None:
    with pytest.raises(ConfigurationError, match=r"no connection 'nobody'\. Create it under Admin > Connections"):
        _ = JumpCloudHook("nobody", settings).account


@pytest.mark.parametrize(
    "value",
    [
        '{"conn_type": "jumpcloud", "password": "' + KEY,
        '{"conn_type": "jumpcloud", "passwort": "' + KEY + '"}',
        '{"conn_type": "jumpcloud", "password": "' + KEY + '", "port": "https"}',
        f"jumpcloud://:{KEY}@jumpcloud.example:port/",
        f"jumpcloud://:{KEY}@[jumpcloud.example/",
        "",
    ],
)
def test_a_connection_that_cannot_be_parsed_is_not_called_missing(
    value: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JC_BROKEN", value)
    with pytest.raises(ConfigurationError) as raised:
        _ = JumpCloudHook("jc_broken", settings).account
    assert str(raised.value) == (
        f"Connection 'jc_broken' cannot be read: AIRFLOW_CONN_JC_BROKEN: {len(value)} characters given; allowed: a "
        "JSON object with conn_type, host, login, password, port (a number) and extra (an object), or a URI with its "
        "parts percent-encoded"
    )


@pytest.mark.parametrize("value", [KEY, f'["{KEY}"]', f"{KEY}:secret"])
def test_a_connection_that_is_only_a_key_is_refused_and_not_shown(
    value: str, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_JC_BROKEN", value)
    with pytest.raises(ConfigurationError, match=r"Connection type: .* given; allowed: JumpCloud") as raised:
        _ = JumpCloudHook("jc_broken", settings).account
    assert KEY not in str(raised.value)


# ---- what Airflow learns of the package -----------------------------------------------------------------------


def test_the_provider_declaration_is_valid_by_airflows_own_schema() -> None:
    schema = json.loads(importlib.resources.files("airflow").joinpath("provider_info.schema.json").read_text())
    jsonschema.validate(get_provider_info(), schema)


def test_airflow_knows_the_connection_type_its_hook_and_its_fields() -> None:
    hook = ProvidersManagerTaskRuntime().hooks["jumpcloud"]
    assert hook is not None
    assert (hook.connection_type, hook.hook_name, hook.connection_id_attribute_name) == (
        "jumpcloud",
        "JumpCloud",
        "jumpcloud_conn_id",
    )
    assert hook.hook_class_name == f"{JumpCloudHook.__module__}.{JumpCloudHook.__name__}"
    fields = {
        name.removeprefix("extra__jumpcloud__")
        for name in ProvidersManager().connection_form_widgets
        if name.startswith("extra__jumpcloud__")
    }
    assert fields == set(CONNECTION_TYPE_INFO["conn-fields"])


def test_airflow_knows_every_option_with_its_default() -> None:
    options = CONFIG["jumpcloud_elt"]["options"]
    shown = {name: conf.get("jumpcloud_elt", name) for name in options}
    # The tests set these.
    for name in ("duckdb_threads", "retry_wait_seconds", "usage_arrival_lag_minutes", "usage_initial_days"):
        shown[name] = options[name]["default"]
    assert shown == {name: option["default"] for name, option in options.items()}


def test_the_defaults_are_settings_that_serve(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AIRFLOW__JUMPCLOUD_ELT__RETRY_WAIT_SECONDS")
    monkeypatch.delenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_INITIAL_DAYS")
    settings = read_settings()
    assert settings.usage_initial_days is None
    assert settings.connections == ("jumpcloud_default",)
    assert settings.usage_services == ("directory", "sso")
    assert (settings.usage_catch_up_minutes, settings.usage_count_tolerance, settings.usage_exclude) == (60, 0, ())
    assert (settings.task_timeout_minutes, settings.run_timeout_hours) == (180, 24)
    assert settings.data_root.is_absolute()
    assert settings.data_root.name == "data"
    assert (settings.directory_schedule, settings.usage_schedule) == ("@daily", "@daily")
    assert (settings.connect_timeout_seconds, settings.read_timeout_seconds) == (10, 120)
    assert (settings.request_attempts, settings.retry_wait_seconds, settings.retry_wait_max_seconds) == (6, 1, 120)


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("usage_initial_days", "a week", "'a week' given; allowed: a whole number from 0 to 36500"),
        ("usage_initial_days", "-1", "'-1' given; allowed: a whole number from 0 to 36500"),
        ("usage_count_tolerance", "2", "'2' given; allowed: a number from 0 to 1"),
        ("usage_catch_up_minutes", "180", "180 given; allowed: less than the time limit of task_timeout_minutes (180"),
        ("task_timeout_minutes", "0", "'0' given; allowed: a number from 1 to 10080"),
        ("run_timeout_hours", "never", "'never' given; allowed: a number from 0.1 to 720"),
    ],
)
def test_a_wrong_value_about_reading_usage_names_itself(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"AIRFLOW__JUMPCLOUD_ELT__{name.upper()}", value)
    with pytest.raises(ConfigurationError) as raised:
        read_settings()
    assert f"\n- {name}: {told}" in str(raised.value)


def test_catching_up_ends_before_a_run_does(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__RUN_TIMEOUT_HOURS", "1")
    with pytest.raises(ConfigurationError, match=r"usage_catch_up_minutes: 60 given; .* of run_timeout_hours \(60"):
        read_settings()


def test_a_run_that_waits_for_its_events_has_time_left_to_catch_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__RUN_TIMEOUT_HOURS", "2")
    read_settings()
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_ARRIVAL_LAG_MINUTES", "60")
    with pytest.raises(
        ConfigurationError, match=r"usage_catch_up_minutes: 60 given, after usage_arrival_lag_minutes \(60\); .* \(120"
    ):
        read_settings()


def test_what_is_excluded_may_be_spelt_in_either_case(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__EXCLUDE", f" {ONE.upper()}, Jumpcloud_EU ,,{ONE}")
    assert read_settings().exclude[:2] == (ONE, "Jumpcloud_EU")


@pytest.mark.parametrize(
    ("given", "missing"), [("directory", "sso"), ("sso,radius", "directory"), ("ldap", "directory and sso")]
)
def test_services_without_log_ins_or_sso_are_refused_with_the_ways_out(
    given: str, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", given)
    with pytest.raises(ConfigurationError) as raised:
        read_settings()
    told = str(raised.value)
    assert f"usage_services: {', '.join(given.split(','))} given, without {missing}; allowed: directory,sso" in told
    assert "usage_exclude" in told and "usage_schedule" in told


@pytest.mark.parametrize("given", ["all", "sso, ldap,directory", "all,access_management"])
def test_all_services_or_both_of_usage_are_enough(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__USAGE_SERVICES", given)
    assert read_settings().usage_services == tuple(one.strip() for one in given.split(","))


def test_one_message_names_every_wrong_option(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "CONNECTIONS": " , ",
        "USAGE_SERVICES": "",
        "DATA_ROOT": "gs://bucket/data",
        "REQUEST_ATTEMPTS": "0",
        "READ_TIMEOUT_SECONDS": "long",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(f"AIRFLOW__JUMPCLOUD_ELT__{name}", value)
    with pytest.raises(ConfigurationError) as raised:
        read_settings()
    for name in wrong:
        assert f"\n- {name.lower()}: " in str(raised.value)


def refused_option(monkeypatch: pytest.MonkeyPatch, option: str, value: str) -> str:
    """The one line that a wrong value gives."""
    monkeypatch.setenv(f"AIRFLOW__JUMPCLOUD_ELT__{option.upper()}", value)
    with pytest.raises(ConfigurationError) as raised:
        read_settings()
    _, line = str(raised.value).splitlines()
    return line


@pytest.mark.parametrize("limit", ["2GB", "1.5 GiB", "512mb", "80%", "100%", "2G", "64000KB"])
def test_a_memory_limit_is_what_duckdb_takes(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__JUMPCLOUD_ELT__DUCKDB_MEMORY_LIMIT", limit)
    settings = read_settings()
    with duckdb.connect() as connection:
        connection.execute("set memory_limit = ?", [settings.duckdb_memory_limit])


@pytest.mark.parametrize("limit", ["lots", "", "2", "0GB", "-2GB", "2PB", "120%", "0%", "GB", "nanGB", "2GB 3GB"])
def test_a_memory_limit_that_is_none_is_refused(limit: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused_option(monkeypatch, "duckdb_memory_limit", limit) == (
        f"- duckdb_memory_limit: {limit!r} given; allowed: a number above 0 with KB, MB, GB, TB, KiB, MiB, GiB or TiB, "
        "or a percentage up to 100%"
    )


@pytest.mark.parametrize("value", ["2.5", "2.0", "nan", "inf", "-1", "1e1", "1_0", "65", "two", ""])
def test_a_whole_number_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused_option(monkeypatch, "usage_slice_threads", value) == (
        f"- usage_slice_threads: {value!r} given; allowed: a whole number from 1 to 64"
    )


@pytest.mark.parametrize("value", ["nan", "inf", "-inf", "-0.1", "1.1", "1_0", "0,3", "30%"])
def test_a_share_that_is_none_is_refused(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused_option(monkeypatch, "drift_share", value) == (
        f"- drift_share: {value!r} given; allowed: a number from 0 to 1"
    )


@pytest.mark.parametrize("option", ["connections", "exclude", "usage_services", "actions_approvers"])
@pytest.mark.parametrize("value", ["one;two", "one two", "one|two", '["one", "two"]', "one, two three"])
def test_a_list_with_another_separator_is_refused(option: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused_option(monkeypatch, option, value) == (
        f"- {option}: {value!r} given; allowed: names separated by commas"
    )
