"""The deployment, held against what it deploys: Airflow's configuration, the package's own, and the repository.

Nothing here starts a container.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from airflow.configuration import conf

from jumpcloud_elt.provider_info import CONFIG
from support.paths import ROOT

AIRFLOW_HOME = "/opt/airflow"
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yaml").read_text("utf-8"))
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf-8").replace("\\\n", " ")
PINS = dict(re.findall(r"(?m)^([\w.-]+)==([^\s;]+)", (ROOT / "constraints.txt").read_text("utf-8")))
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))

SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ONE_SHOT = {"airflow-init"}
LONG_RUNNING = {
    "airflow-apiserver": "api-server",
    "airflow-scheduler": "scheduler",
    "airflow-dag-processor": "dag-processor",
    "airflow-triggerer": "triggerer",
    "airflow-worker": "celery worker",
    "postgres": None,
    "redis": None,
}
AIRFLOW_SERVICES = sorted(name for name in SERVICES if name.startswith("airflow-"))
# What one service has beyond the environment that all of them share.
OWN_ENVIRONMENT = {
    "airflow-init": {"_AIRFLOW_WWW_USER_USERNAME", "_AIRFLOW_WWW_USER_PASSWORD"},
    "airflow-worker": {"DUMB_INIT_SETSID"},
}
HEALTH_CHECKS = {
    "airflow-apiserver": "http://localhost:8080/api/v2/monitor/health",
    "airflow-scheduler": "http://localhost:8974/health",
    "airflow-dag-processor": "airflow jobs check --job-type DagProcessorJob --local",
    "airflow-triggerer": "airflow jobs check --job-type TriggererJob --local",
    "airflow-worker": "airflow.providers.celery.executors.celery_executor.app inspect ping",
    "postgres": "pg_isready",
    "redis": "redis-cli ping",
}
VARIABLE = re.compile(r"(?<!\$)\$\{(\w+)(?:(:[-?])([^}]*))?\}")
SECRET = re.compile(r"PASSWORD|SECRET|FERNET|_KEY$|SQL_ALCHEMY_CONN|BROKER_URL|RESULT_BACKEND")


def strings(node: object) -> Iterator[str]:
    """Every key and value of a document."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from strings(value)
    elif isinstance(node, list):
        for value in node:
            yield from strings(value)
    elif node is not None:
        yield str(node)


def mounts(service: str) -> dict[str, str]:
    """Target to source, without the mode."""
    pairs = (volume.split(":")[:2] for volume in SERVICES[service].get("volumes", []))
    return {target: source for source, target in pairs}


def shared_environment() -> dict[str, str | None]:
    """What every Airflow service is given; None where the value is passed on from outside."""
    environment: dict[str, str | None] = COMPOSE["x-airflow-common"]["environment"]
    return environment


def required_variables() -> set[str]:
    """What `docker compose` refuses to start without."""
    return {variable for text in strings(COMPOSE) for variable, how, _ in VARIABLE.findall(text) if how == ":?"}


def airflow_options() -> list[tuple[str, str]]:
    """(section, option) of every AIRFLOW__SECTION__OPTION that any service is given."""
    names = {name for one in SERVICES.values() for name in one.get("environment", {})}
    parts = [name.lower().split("__", 2) for name in names if name.startswith("AIRFLOW__")]
    return sorted((section, option) for _, section, option in parts)


def test_the_services_are_airflow_with_celery_postgres_and_redis() -> None:
    assert set(SERVICES) == ONE_SHOT | set(LONG_RUNNING)
    assert {name: SERVICES[name].get("command") for name in AIRFLOW_SERVICES if name not in ONE_SHOT} == {
        name: command for name, command in LONG_RUNNING.items() if command
    }
    assert shared_environment()["AIRFLOW__CORE__EXECUTOR"] == "CeleryExecutor"


def test_the_image_is_airflow_as_pinned() -> None:
    base = re.findall(r"(?m)^FROM apache/airflow:([\d.]+)-python(3\.\d+)$", DOCKERFILE)
    assert [version for version, _ in base] == [PINS["apache-airflow"]]
    assert f"Programming Language :: Python :: {base[0][1]}" in PROJECT["project"]["classifiers"]
    images = {SERVICES[name]["image"] for name in AIRFLOW_SERVICES}
    assert images == {f"jumpcloud-elt:airflow-{PINS['apache-airflow']}"}
    assert all(SERVICES[name]["build"]["context"] == "." for name in AIRFLOW_SERVICES)


def test_the_image_pins_every_dependency_of_the_package() -> None:
    [pattern] = re.findall(r"grep -E '([^']+)'", DOCKERFILE)
    pinned = {name for name, version in PINS.items() if re.match(pattern, f"{name}=={version}")}
    assert pinned == {re.split(r"[<>=~! \[;]", one)[0] for one in PROJECT["project"]["dependencies"]}


def test_the_package_is_installed_from_where_it_is_mounted_and_only_from_there() -> None:
    installs = re.findall(r"pip install .*", DOCKERFILE)
    [argument] = SERVICES["airflow-worker"]["build"]["args"]
    # Without the extras that the build is given, which name no other place.
    assert re.search(rf'(?m)^ARG {argument}=""$', DOCKERFILE)
    assert [re.findall(r"--editable (\S+)", one) for one in installs] == [[f'"{AIRFLOW_HOME}${{{argument}}}"']]
    [package] = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert package == "plugins/jumpcloud_elt"
    # What the editable installation points at, Airflow's plugins folder, and the mount: one and the same.
    assert conf.get_default_value("core", "plugins_folder").endswith("/plugins")
    assert "AIRFLOW__CORE__PLUGINS_FOLDER" not in shared_environment()
    assert "PYTHONPATH" not in shared_environment()
    for name in AIRFLOW_SERVICES:
        holding = {target for target, source in mounts(name).items() if (ROOT / source / "jumpcloud_elt").is_dir()}
        assert holding == {f"{AIRFLOW_HOME}/plugins"}
        # Beside it, where an editable installation looks for its SQL.
        assert (ROOT / mounts(name)[f"{AIRFLOW_HOME}/include"] / "sql").is_dir()


def test_what_the_image_copies_is_there_and_is_let_through() -> None:
    lines = re.findall(r"(?m)^COPY --chown=airflow:0 (.+)", DOCKERFILE)
    copied = [path for line in lines for path in line.split()[:-1]]
    ignore = (ROOT / ".dockerignore").read_text("utf-8").splitlines()
    assert {line.removeprefix("!") for line in ignore if line.startswith("!")} == set(copied)
    assert "*" in ignore
    assert [path for path in copied if not (ROOT / path).exists()] == []
    # What building the package reads.
    hatch = PROJECT["tool"]["hatch"]
    read = [one["path"] for one in hatch["metadata"]["hooks"]["fancy-pypi-readme"]["fragments"]]
    read += ["pyproject.toml", *PROJECT["project"]["license-files"]]
    read += hatch["build"]["targets"]["wheel"]["packages"]
    read += hatch["build"]["targets"]["wheel"]["force-include"]
    assert [path for path in read if not any(Path(path).is_relative_to(one) for one in copied)] == []


def test_every_mount_is_in_the_repository_or_a_declared_volume() -> None:
    volumes = set(COMPOSE["volumes"])
    used = set()
    for name in SERVICES:
        for source in mounts(name).values():
            if source.startswith("."):
                assert (ROOT / source).is_dir(), source
            else:
                used.add(source)
    assert used == volumes


def test_the_checkout_is_mounted_read_only() -> None:
    for name in AIRFLOW_SERVICES:
        modes = {one.split(":")[0]: one.split(":")[2:] for one in SERVICES[name]["volumes"]}
        assert {source for source in modes if source.startswith(".")} == {"./dags", "./include", "./plugins"}
        assert [source for source, mode in modes.items() if source.startswith(".") and mode != ["ro"]] == []


def test_data_and_logs_are_named_volumes_that_all_of_airflow_shares() -> None:
    # An object store may be given instead.
    ((_, _, data_root),) = VARIABLE.findall(str(shared_environment()["AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"]))
    for name in AIRFLOW_SERVICES:
        assert mounts(name)[str(data_root)] == "airflow-data"
        assert mounts(name)[f"{AIRFLOW_HOME}/logs"] == "airflow-logs"
    # Made in the image, or the volume would belong to root.
    assert f"mkdir -p {data_root} " in DOCKERFILE


@pytest.mark.parametrize(("section", "option"), airflow_options())
def test_every_setting_is_one_that_airflow_or_the_package_has(section: str, option: str) -> None:
    if section == "jumpcloud_elt":
        assert option in CONFIG[section]["options"]
    else:
        assert option in conf.configuration_description[section]["options"]


def test_every_option_of_the_package_can_be_set_from_outside() -> None:
    options = {option for section, option in airflow_options() if section == "jumpcloud_elt"}
    assert options == set(CONFIG["jumpcloud_elt"]["options"])
    # A default written down here too would be the second one.
    given = {name for name, value in shared_environment().items() if "JUMPCLOUD_ELT" in name and value is not None}
    assert given == {"AIRFLOW__JUMPCLOUD_ELT__DATA_ROOT"}


@pytest.mark.parametrize("name", AIRFLOW_SERVICES)
def test_all_of_airflow_shares_one_environment(name: str) -> None:
    environment = SERVICES[name]["environment"]
    own = OWN_ENVIRONMENT.get(name, set())
    assert set(environment) - set(shared_environment()) == own
    assert {key: value for key, value in environment.items() if key not in own} == shared_environment()


@pytest.mark.parametrize("name", sorted(LONG_RUNNING))
def test_a_long_running_service_is_watched_and_restarted(name: str) -> None:
    service = SERVICES[name]
    assert service["restart"] in {"always", "unless-stopped"}
    test = service["healthcheck"]["test"]
    assert test[0] in {"CMD", "CMD-SHELL"}
    assert HEALTH_CHECKS[name] in " ".join(test[1:])
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])


def test_the_scheduler_serves_the_health_that_is_asked_of_it() -> None:
    assert shared_environment()["AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK"] == "true"
    port = conf.get_default_value("scheduler", "scheduler_health_check_server_port")
    assert f":{port}/health" in HEALTH_CHECKS["airflow-scheduler"]


def test_airflow_waits_for_its_databases_and_for_their_migration() -> None:
    healthy, done = {"condition": "service_healthy"}, {"condition": "service_completed_successfully"}
    databases = {"postgres": healthy, "redis": healthy}
    expected = {name: databases | {"airflow-init": done} for name in AIRFLOW_SERVICES if name not in ONE_SHOT}
    expected["airflow-worker"] |= {"airflow-apiserver": healthy}
    assert {name: SERVICES[name]["depends_on"] for name in expected} == expected
    assert SERVICES["airflow-init"]["depends_on"] == databases


def test_the_migration_runs_once_and_its_failure_counts() -> None:
    init = SERVICES["airflow-init"]
    assert init["restart"] == "no"
    shell, flags, script = init["command"]
    assert shell == "bash"
    assert "e" in flags
    assert "airflow db migrate" in script
    # The image's own way of migrating goes on after a failure.
    assert "_AIRFLOW_DB_MIGRATE" not in init["environment"]


def test_nothing_is_published_but_the_api_server_on_loopback() -> None:
    assert {name: one["ports"] for name, one in SERVICES.items() if "ports" in one} == {
        "airflow-apiserver": ["127.0.0.1:8080:8080"]
    }
    assert [name for name, one in SERVICES.items() if one.get("network_mode") or one.get("privileged")] == []


def test_tasks_find_the_api_server_by_its_service_name() -> None:
    url = shared_environment()["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"]
    assert url == f"http://airflow-apiserver:{conf.get_default_value('api', 'port')}/execution/"
    assert "airflow-apiserver" in SERVICES


def test_no_secret_is_written_down_and_none_has_a_default() -> None:
    for name, service in SERVICES.items():
        for key, value in service.get("environment", {}).items():
            if SECRET.search(key):
                assert [how for _, how, _ in VARIABLE.findall(value)] == [":?"], f"{name}: {key}"
    for text in strings(COMPOSE):
        for variable, how, message in VARIABLE.findall(text):
            if SECRET.search(variable):
                assert how == ":?", variable
                assert message, variable
    # In an address, what stands between the user and the host.
    addresses = [text for text in strings(COMPOSE) if re.search(r"://[^/@]*:[^/@]*@", text)]
    assert len(addresses) >= 2
    assert [text for text in addresses if not re.search(r"://\w*:\$\{\w+:\?[^}]+\}@", text)] == []


def test_every_secret_that_must_be_the_same_everywhere_is_asked_for() -> None:
    assert required_variables() == {
        "AIRFLOW__CORE__FERNET_KEY",
        "AIRFLOW__API__SECRET_KEY",
        "AIRFLOW__API_AUTH__JWT_SECRET",
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "_AIRFLOW_WWW_USER_PASSWORD",
    }


def test_the_example_of_the_environment_names_what_is_required_and_gives_nothing_away() -> None:
    lines = (ROOT / ".env.example").read_text("utf-8").splitlines()
    given = dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))
    assert given == dict.fromkeys(required_variables(), "")
    offered = {match[1] for line in lines if (match := re.match(r"#(\w+)=", line))}
    known = {variable for text in strings(COMPOSE) for variable, _, _ in VARIABLE.findall(text)}
    known |= {name for name, value in shared_environment().items() if value is None}
    assert offered
    assert offered - known == set()


@pytest.mark.parametrize("name", AIRFLOW_SERVICES)
def test_airflow_does_not_run_as_root(name: str) -> None:
    [(user, group)] = re.findall(r"^\$\{AIRFLOW_UID:-(\d+)\}:(\d+)$", SERVICES[name]["user"])
    assert int(user) > 0
    # The group that the image wants.
    assert int(group) == 0
    assert "no-new-privileges:true" in SERVICES[name]["security_opt"]
    assert "USER root" not in DOCKERFILE


def test_users_sign_in() -> None:
    manager = shared_environment()["AIRFLOW__CORE__AUTH_MANAGER"]
    assert manager == "airflow.providers.fab.auth_manager.fab_auth_manager.FabAuthManager"
    assert not any("SIMPLE_AUTH_MANAGER" in name for name in shared_environment())
