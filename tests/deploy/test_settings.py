"""Every setting of .env.example reaches the processes of each deployment, or it is said why not."""

from __future__ import annotations

import re

from tests.deploy.compose_file import COMPOSE, ROOT, raw
from tests.deploy.manifests import FOLDER, kustomization

NAMES = set(re.findall(r"^#?([A-Z_]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
IS_WITHIN = "where Redis is, compose.yaml itself says: a service of its own, without TLS and users"
#: Name -> why an .env cannot change it under Compose.
NOT_PASSED = {
    **dict.fromkeys((name for name in NAMES if name.startswith(("REDIS_SSL", "REDIS_SENTINEL"))), IS_WITHIN),
    **dict.fromkeys(("REDIS_HOST", "REDIS_PORT", "REDIS_DB", "REDIS_USERNAME", "REDIS_URL"), IS_WITHIN),
    **dict.fromkeys(("REDIS_CLUSTER", "REDIS_CLUSTER_NODES"), IS_WITHIN),
    "REDIS_WAIT_REPLICAS": "that Redis has no replicas to wait for",
    "TUTORMAX_HOME": "no process keeps anything in a folder",
    "TUTORMAX_STORE_URL": "made of the password of the service postgres",
    "TUTORMAX_CELERY_BROKER_URL": "made of the password of the service broker",
}


def settings() -> set[str]:
    """Those that compose.yaml hands on under their own names."""
    return {
        name
        for name, value in raw()["services"]["worker"]["environment"].items()
        if value == f"${{{name}:-}}"
    }


def test_what_env_example_has_reaches_compose_or_it_is_said_why_not() -> None:
    used = set(re.findall(r"\$\{([A-Z_]+)", COMPOSE.read_text()))
    assert NAMES - used == set(NOT_PASSED)
    assert used <= NAMES


def test_runs_by_the_code_server_know_the_same_settings_as_runs_by_workers() -> None:
    known = {name: raw()["services"][name]["environment"] for name in ("code", "worker")}
    assert settings() <= set(known["code"])
    assert len(settings()) > 25


def test_the_stack_and_the_cluster_take_the_same_settings_as_compose() -> None:
    stacked = raw(ROOT / "deploy" / "swarm" / "stack.yaml")["services"]
    for name in ("code", "daemon", "webserver", "worker", "metrics", "migrate"):
        assert {key for key, value in stacked[name]["environment"].items() if "${" in value} == settings(), (
            name
        )
    (chosen,) = kustomization(FOLDER)["configMapGenerator"]
    assert {pair.partition("=")[0] for pair in chosen["literals"]} == settings()


def test_whoever_launches_and_whoever_executes_use_the_same_keys_of_the_broker() -> None:
    for name in ("code", "daemon", "webserver", "worker"):
        assert "TUTORMAX_CELERY_KEY_PREFIX" in raw()["services"][name]["environment"], name
