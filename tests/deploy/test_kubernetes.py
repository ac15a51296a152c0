"""deploy/kubernetes: valid, closed by default, and the same as compose.yaml where both say the same."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.deploy.compose_file import ROOT, raw
from tests.deploy.manifests import (
    FOLDER,
    OVERLAYS,
    built,
    files,
    folders,
    kustomization,
    literals,
    manifests,
    pods,
    pods_of,
)

EVERY = pytest.mark.parametrize("overlay", OVERLAYS)
#: The oldest and the newest for which schemas are at hand, among those whose API the manifests need.
VERSIONS = ("1.29", "1.37")


def containers(overlay: str) -> dict[str, dict[str, Any]]:
    return {name: pod["containers"][0] for name, pod in pods(overlay).items()}


def references(tree: Any) -> Iterator[str]:
    """Names of the ConfigMaps and Secrets in a tree of pods."""
    if isinstance(tree, list):
        for one in tree:
            yield from references(one)
    elif isinstance(tree, dict):
        for key, value in tree.items():
            if key in {"configMapRef", "secretRef", "configMap"} or (key == "secret" and "name" in value):
                yield value["name"]
            elif key == "secretName":
                yield value
            else:
                yield from references(value)


@pytest.mark.parametrize("version", VERSIONS)
def test_every_manifest_is_valid_to_the_letter(version: str) -> None:
    every = {str(file) for overlay in OVERLAYS for folder in folders(overlay) for file in files(folder)}
    validator = Path(sys.executable).parent / "kubernetes-validate"
    command = [validator, "--strict", "--quiet", "-k", version, *sorted(every)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_no_manifest_is_left_out() -> None:
    named = {file for overlay in OVERLAYS for folder in folders(overlay) for file in files(folder)}
    written = {file for file in FOLDER.rglob("*.yaml") if file.name != "kustomization.yaml"}
    assert named == written


def test_every_file_that_a_kustomization_makes_something_of_is_there_or_is_a_secret() -> None:
    for file in FOLDER.rglob("kustomization.yaml"):
        kinds = kustomization(file.parent)
        for one in kinds.get("configMapGenerator", []):
            for name in one.get("files", []):
                assert (file.parent / name).exists(), name
        for one in kinds.get("secretGenerator", []):
            for name in one["files"]:
                assert re.fullmatch(r"secrets/[a-z_]+_password", name)
                assert not (file.parent / name).exists(), f"{name} must not be in the repository"
    assert "secrets/" in (FOLDER / ".gitignore").read_text().splitlines()


@EVERY
def test_what_a_pod_refers_to_is_made(overlay: str) -> None:
    made = {one["metadata"]["name"] for one in manifests(overlay) if one["kind"] in {"ConfigMap", "Secret"}}
    assert set(references(list(pods(overlay).values()))) <= made


@EVERY
def test_every_pod_runs_without_rights_that_it_does_not_need(overlay: str) -> None:
    for name, pod in pods(overlay).items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod["securityContext"]["runAsNonRoot"] is True, name
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}, name
        for container in pod["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, name
            assert {"cpu", "memory"} <= set(container["resources"]["requests"]), name
            assert "memory" in container["resources"]["limits"], name


@EVERY
def test_everything_that_stays_is_looked_after(overlay: str) -> None:
    for name, container in containers(overlay).items():
        assert name == "migrate" or "livenessProbe" in container, name


@EVERY
def test_no_password_is_in_the_environment_of_a_pod(overlay: str) -> None:
    for name, container in containers(overlay).items():
        variables = {one["name"] for one in container.get("env", [])}
        assert not [one for one in variables if one.endswith("PASSWORD")], name
    assert not [name for name in literals(overlay) if "PASSWORD" in name]


@EVERY
def test_each_pod_has_a_door_for_those_who_need_it_and_every_other_is_shut(overlay: str) -> None:
    policies = [one for one in manifests(overlay) if one["kind"] == "NetworkPolicy"]
    shut = next(one["spec"] for one in policies if one["metadata"]["name"] == "nothing")
    assert shut == {"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}
    services = {one["metadata"]["name"] for one in manifests(overlay) if one["kind"] == "Service"}
    doors = {one["metadata"]["name"] for one in policies if "ingress" in one["spec"]}
    assert doors == services


@EVERY
def test_a_service_leads_to_a_pod_that_has_its_port(overlay: str) -> None:
    for one in manifests(overlay):
        if one["kind"] == "Service":
            container = containers(overlay)[one["spec"]["selector"]["app.kubernetes.io/name"]]
            ports = {port["name"]: port["containerPort"] for port in container["ports"]}
            for port in one["spec"]["ports"]:
                assert ports[port["targetPort"]] == port["port"]


def test_the_processes_are_those_of_compose() -> None:
    composed = raw()["services"]
    ours = containers("workers")
    for name in ("migrate", "code", "webserver", "daemon", "metrics", "worker"):
        assert ours[name]["args"] == ["python", "with_secrets.py", *composed[name]["command"]], name
    assert ours["postgres"]["image"] == composed["postgres"]["image"]
    assert ours["redis"]["image"] == composed["redis"]["image"]
    flags = r"--(?:append|aof|max|save|tcp|databases)\S* \S+"
    assert re.findall(flags, ours["redis"]["args"][0]) == re.findall(flags, composed["redis"]["command"][-1])


def test_the_processes_of_the_stack_are_those_of_compose() -> None:
    composed = raw()["services"]
    stacked = raw(ROOT / "deploy" / "swarm" / "stack.yaml")["services"]
    for name in ("migrate", "code", "webserver", "daemon", "metrics", "worker"):
        assert stacked[name]["command"] == ["python", "with_secrets.py", *composed[name]["command"]], name
    assert stacked["redis"]["image"] == composed["redis"]["image"]
    assert stacked["postgres"]["image"] == composed["postgres"]["image"]


def test_the_databases_are_made_by_the_same_script_everywhere() -> None:
    script = ROOT / "deploy" / "postgres" / "10-databases.sh"
    assert (FOLDER / "single" / script.name).read_text() == script.read_text()


def test_only_one_daemon_and_one_code_server_run_at_a_time() -> None:
    kinds = {one["metadata"]["name"]: one for one in manifests("workers") if one["kind"] == "Deployment"}
    for name in ("daemon", "code"):
        assert (kinds[name]["spec"]["replicas"], kinds[name]["spec"]["strategy"]) == (1, {"type": "Recreate"})


def test_workers_take_the_runs_only_where_there_are_workers() -> None:
    for overlay in OVERLAYS:
        home = "/opt/tutormax/dagster-celery" if "worker" in pods(overlay) else "/opt/tutormax/dagster"
        assert literals(overlay)["DAGSTER_HOME"] == home


@EVERY
def test_what_needs_a_home_of_dagster_can_write_what_a_run_hands_on(overlay: str) -> None:
    home = literals(overlay)["DAGSTER_HOME"]
    for name in {"code", "webserver", "daemon", "worker"} & set(pods(overlay)):
        mounts = [one["mountPath"] for one in containers(overlay)[name]["volumeMounts"]]
        assert f"{home}/storage" in mounts, name


@pytest.mark.parametrize("components", [[], ["workers"], ["external"], ["workers", "external"]])
def test_one_change_gives_every_process_of_ours_another_image(components: list[str]) -> None:
    image = {"name": "tutormax-pipeline", "newName": "registry.example/of-ours", "newTag": "9.8.7"}
    found = pods_of(built(FOLDER, {"components": components, "images": [image]}))
    ours = {name: pod["containers"][0]["image"] for name, pod in found.items()}
    for server in ("redis", "broker", "postgres"):
        ours.pop(server, None)
    assert set(ours.values()) == {"registry.example/of-ours:9.8.7"}
    assert len(ours) == 5 + ("workers" in components)


def test_the_image_that_is_applied_is_the_one_that_the_dockerfile_says() -> None:
    (image,) = kustomization(FOLDER)["images"]
    assert f":{image['newTag']} ." in (ROOT / "deploy" / "Dockerfile").read_text()
    for name in ("base", "single", "workers", "external"):
        assert "images" not in kustomization(FOLDER / name), name


def doors_out(overlay: str, name: str) -> set[int]:
    """Ports that a pod may reach at any address."""
    found = set()
    for one in manifests(overlay):
        rules = one["spec"].get("egress", []) if one["kind"] == "NetworkPolicy" else []
        chosen = one.get("spec", {}).get("podSelector", {})
        values = [value for part in chosen.get("matchExpressions", []) for value in part["values"]]
        if name in values or not chosen:
            found |= {port["port"] for rule in rules if "to" not in rule for port in rule["ports"]}
    return found


@pytest.mark.parametrize("overlay", ["external", "both"])
def test_a_redis_outside_is_let_through_to_and_none_is_started_inside(overlay: str) -> None:
    assert not [one for one in manifests(overlay) if one["metadata"]["name"] == "redis"]
    assert {6379, 26379} <= doors_out(overlay, "code") & doors_out(overlay, "metrics")
    assert doors_out("single", "code") == {53, 5432}
    assert literals(overlay)["REDIS_HOST"] != "redis"
    # Celery cannot use Sentinels as the pipeline does, and has its broker inside in any case.
    assert "broker" in pods("both")
