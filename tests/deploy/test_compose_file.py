"""What compose.yaml promises about doors, secrets, images and limits."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.compose_file import COMPOSE, ROOT, raw, read

STACK = ROOT / "deploy" / "swarm" / "stack.yaml"
FILES = pytest.mark.parametrize("file", [COMPOSE, STACK], ids=["compose", "stack"])
SECRET = re.compile(r"\$\{([A-Z_]*PASSWORD):\?[^}]+\}")
ONE_OFF = {"migrate"}


def services(file: Path = COMPOSE) -> dict[str, Any]:
    return raw(file)["services"]


@FILES
def test_it_is_what_composes_schema_allows(file: Path) -> None:
    command = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", "vendor.compose-spec", str(file)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@FILES
def test_no_service_has_docker_itself(file: Path) -> None:
    text = file.read_text()
    assert "docker.sock" not in text
    assert "privileged: true" not in text
    assert "network_mode" not in text


def test_every_published_port_is_on_loopback() -> None:
    published = [port for one in services().values() for port in one.get("ports", [])]
    assert len(published) == 5
    assert all(port.startswith("127.0.0.1:") for port in published)


def test_the_ports_are_the_known_ones_when_nothing_else_is_said(secrets: dict[str, str]) -> None:
    composed = read(secrets)["services"]
    published = {name: one["ports"][0] for name, one in composed.items() if "ports" in one}
    assert published == {
        "redis": "127.0.0.1:6379:6379",
        "redis-commander": "127.0.0.1:8081:8081",
        "postgres": "127.0.0.1:5432:5432",
        "webserver": "127.0.0.1:3000:3000",
        "metrics": "127.0.0.1:9464:9464",
    }


def test_every_secret_comes_from_the_environment_and_none_has_a_default() -> None:
    for name, one in services().items():
        for variable, value in one.get("environment", {}).items():
            if "PASSWORD" in variable or "://" in str(value) or "PASSWORD" in str(value):
                assert SECRET.search(str(value)), f"{name}: {variable}"
                assert not re.search(r"PASSWORD:-", str(value)), f"{name}: {variable}"


def test_it_refuses_to_start_while_a_secret_is_missing(secrets: dict[str, str]) -> None:
    for name in secrets:
        with pytest.raises(KeyError, match=name):
            read({**secrets, name: ""})


def test_no_secret_is_on_a_command_line(secrets: dict[str, str]) -> None:
    for name, one in read(secrets)["services"].items():
        words = [*one.get("command", []), *one.get("healthcheck", {}).get("test", [])]
        assert not [word for word in words for secret in secrets.values() if secret in word], name


def test_a_service_knows_only_the_secrets_that_it_needs(secrets: dict[str, str]) -> None:
    def known(name: str) -> set[str]:
        values = str(read(secrets)["services"][name]["environment"])
        return {secret for secret, value in secrets.items() if value in values}

    dagster, redis, tables = "DAGSTER_POSTGRES_PASSWORD", "REDIS_PASSWORD", "TUTORMAX_POSTGRES_PASSWORD"
    assert known("redis") == known("broker") == {redis}
    assert known("redis-commander") == {redis, "REDIS_COMMANDER_PASSWORD"}
    assert known("migrate") == {tables}
    assert known("metrics") == {redis, tables}
    assert known("code") == known("worker") == {dagster, redis, tables}
    assert known("webserver") == known("daemon") == {dagster, redis}


@FILES
def test_every_image_is_pinned_to_a_version(file: Path) -> None:
    for name, one in services(file).items():
        tag = one["image"].rpartition(":")[2]
        assert re.search(r"\d+\.\d+\.\d+|\d+\.\d+-alpine", tag), f"{name}: {one['image']}"


@FILES
def test_every_service_that_stays_has_a_health_check_and_every_one_has_limits(file: Path) -> None:
    for name, one in services(file).items():
        assert name in ONE_OFF or one["healthcheck"]["test"], name
        limits = one["deploy"]["resources"]["limits"]
        assert set(limits) == {"cpus", "memory"}, name


def test_every_service_runs_without_rights_that_it_does_not_need() -> None:
    for name, one in services().items():
        assert one["cap_drop"] == ["ALL"], name
        assert one["security_opt"] == ["no-new-privileges:true"], name
        # Redis Commander writes its configuration into its own folder.
        assert one.get("read_only", False) is (name != "redis-commander"), name


def test_nothing_starts_before_what_it_needs() -> None:
    conditions = {name: one.get("depends_on", {}) for name, one in services().items()}
    healthy, done = {"condition": "service_healthy"}, {"condition": "service_completed_successfully"}
    assert conditions["migrate"] == {"postgres": healthy}
    assert conditions["worker"] == {**conditions["code"], "broker": healthy}
    assert conditions["code"] == {"redis": healthy, "postgres": healthy, "migrate": done}
    assert conditions["webserver"] == conditions["daemon"] == {"code": healthy}


def test_redis_keeps_what_it_acknowledged_and_never_makes_room_by_dropping() -> None:
    command = services()["redis"]["command"][-1]
    for words in ("--appendonly yes", "--maxmemory-policy noeviction", "--maxmemory 256mb"):
        assert words in command
    assert services()["redis"]["volumes"] == ["redis-data:/data"]


def test_the_workers_of_celery_are_there_only_when_asked_for() -> None:
    assert {name for name, one in services().items() if "profiles" in one} == {"broker", "worker"}


def test_one_switch_has_workers_started_and_runs_given_to_them(secrets: dict[str, str]) -> None:
    for profile, home in (("", "dagster"), ("celery", "dagster-celery")):
        composed = read({**secrets, "COMPOSE_PROFILES": profile})["services"]
        for name in ("code", "webserver", "daemon"):
            assert composed[name]["environment"]["DAGSTER_HOME"] == f"/opt/tutormax/{home}"
    assert composed["worker"]["environment"]["DAGSTER_HOME"] == "/opt/tutormax/dagster-celery"
    assert {profile for one in services().values() for profile in one.get("profiles", [])} == {"celery"}
    # As many as Dagster starts runs at once.
    assert composed["worker"]["deploy"]["replicas"] == "2"


@FILES
def test_a_full_queue_keeps_no_run_from_being_started_to_empty_it(file: Path) -> None:
    queue, broker = services(file)["redis"], services(file)["broker"]
    assert "--maxmemory-policy noeviction" in broker["command"][-1]
    assert "--appendonly yes" in broker["command"][-1]
    assert queue["volumes"][0] != broker["volumes"][0]
    # Nor may those who only publish reach it: a task that they write would be executed.
    assert set(broker["networks"]).isdisjoint(queue["networks"])
    for name in ("code", "daemon", "webserver", "worker"):
        assert set(broker["networks"]) < set(services(file)[name]["networks"]), name


def test_no_update_of_the_stack_goes_back_to_code_that_is_older_than_its_tables() -> None:
    for name, one in services(STACK).items():
        if name in ONE_OFF:
            continue
        action = one["deploy"]["update_config"]["failure_action"]
        assert action == ("rollback" if name in {"redis", "broker", "postgres"} else "pause"), name


def test_the_runs_of_a_code_server_are_asked_to_end_with_it_in_the_stack_too() -> None:
    assert services(STACK)["code"]["environment"]["TINI_KILL_PROCESS_GROUP"] == "1"


def test_only_the_network_that_producers_are_to_join_can_be_joined() -> None:
    networks = raw(STACK)["networks"]
    assert {name for name, one in networks.items() if one.get("attachable")} == {"pipeline"}
    assert all(one["driver_opts"] == {"encrypted": "true"} for one in networks.values())


def test_swarm_kills_no_redis_that_answers() -> None:
    # Swarm replaces what is not healthy; Compose only says so, and starts others after what is.
    for name in ("redis", "broker"):
        assert services(STACK)[name]["healthcheck"]["test"][-1].endswith(" ping")
        assert services()[name]["healthcheck"]["test"][-1].endswith(" ping | grep -qx PONG")
