"""The manifests of deploy/kubernetes, as kustomize builds them.

Of kustomize only what these folders use is done: resources, components, generators that merge, patches that
delete, images.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.compose_file import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
#: What somebody may choose in kustomization.yaml: resources, and components.
CHOICES: dict[str, dict[str, Any]] = {
    "base": {"resources": ["base"]},
    "single": {"resources": ["single"]},
    "workers": {"resources": ["single"], "components": ["workers"]},
    "external": {"resources": ["base"], "components": ["external"]},
    "both": {"resources": ["base"], "components": ["workers", "external"]},
}
OVERLAYS = tuple(CHOICES)
Manifest = dict[str, Any]


def kustomization(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "kustomization.yaml").read_text())


def folders(overlay: str) -> list[Path]:
    """The folders that make up an overlay."""
    chosen = CHOICES[overlay]
    names = [*chosen["resources"], *chosen.get("components", [])]
    return [FOLDER / name for name in (["base", *names] if "single" in names else names)]


def files(folder: Path) -> Iterator[Path]:
    """The manifests that a kustomization names, and those of the folders that it builds upon."""
    for name in kustomization(folder)["resources"]:
        resource = (folder / name).resolve()
        if resource.is_dir():
            yield from files(resource)
        else:
            yield resource


def built(folder: Path, changed: Mapping[str, Any] | None = None) -> list[Manifest]:
    """What kustomize makes of a folder, some of whose kustomization is changed."""
    return _with(folder, {**kustomization(folder), **(changed or {})}, [])


@cache
def manifests(overlay: str) -> list[Manifest]:
    """Everything of an overlay."""
    return built(FOLDER, CHOICES[overlay])


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """Name -> pod's specification, of everything that starts one."""
    return pods_of(manifests(overlay))


def pods_of(found: list[Manifest]) -> dict[str, dict[str, Any]]:
    """The same of what was built."""
    templates = ((one["metadata"]["name"], one.get("spec", {}).get("template")) for one in found)
    return {name: template["spec"] for name, template in templates if template}


def literals(overlay: str) -> dict[str, str]:
    """What the ConfigMap of the pipeline's environment says in an overlay."""
    (one,) = (one for one in manifests(overlay) if _id(one) == ("ConfigMap", "pipeline"))
    return one["data"]


def _with(folder: Path, own: Mapping[str, Any], found: list[Manifest]) -> list[Manifest]:
    for name in own.get("resources", []):
        path = folder / name
        found += built(path) if path.is_dir() else yaml.load_all(path.read_text(), yaml.CSafeLoader)
    for name in own.get("components", []):
        found = _with(folder / name, kustomization(folder / name), found)
    for kind in ("ConfigMap", "Secret"):
        for one in own.get(f"{kind[0].lower()}{kind[1:]}Generator", []):
            _generate(kind, one, found)
    for patch in own.get("patches", []):
        gone = yaml.safe_load(patch["patch"])
        assert gone.pop("$patch") == "delete"
        before = len(found)
        found = [one for one in found if _id(one) != _id(gone)]
        assert len(found) == before - 1, f"nothing to delete: {_id(gone)}"
    return _named(own.get("images", []), copy.deepcopy(found))


def _generate(kind: str, wanted: Mapping[str, Any], found: list[Manifest]) -> None:
    pairs = dict(pair.split("=", 1) for pair in wanted.get("literals", []))
    pairs |= {Path(name).name: "" for name in wanted.get("files", [])}
    if wanted.get("behavior") == "merge":
        (one,) = (one for one in found if _id(one) == (kind, wanted["name"]))
        one["data"] |= pairs
    else:
        found.append({"kind": kind, "metadata": {"name": wanted["name"]}, "data": pairs})


def _named(images: list[dict[str, str]], found: list[Manifest]) -> list[Manifest]:
    for wanted in images:
        for pod in pods_of(found).values():
            for container in pod["containers"]:
                name, _, tag = container["image"].partition(":")
                if name == wanted["name"]:
                    container["image"] = f"{wanted.get('newName', name)}:{wanted.get('newTag', tag)}"
    return found


def _id(one: Manifest) -> tuple[str, str]:
    return one["kind"], one["metadata"]["name"]
