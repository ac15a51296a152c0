"""The manifests of deploy/kubernetes, as kustomize gathers them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from tests.deploy.compose_file import ROOT

FOLDER = ROOT / "deploy" / "kubernetes"
OVERLAYS = ("base", "single", "workers")


def kustomization(folder: Path) -> dict[str, Any]:
    return yaml.safe_load((folder / "kustomization.yaml").read_text())


def files(folder: Path) -> Iterator[Path]:
    """The manifests that a kustomization names, and those of the folders that it builds upon."""
    for name in kustomization(folder)["resources"]:
        resource = (folder / name).resolve()
        if resource.is_dir():
            yield from files(resource)
        else:
            yield resource


@cache
def manifests(overlay: str) -> list[dict[str, Any]]:
    """Everything of an overlay, as the files have it."""
    return [
        one for file in files(FOLDER / overlay) for one in yaml.load_all(file.read_text(), yaml.CSafeLoader)
    ]


def pods(overlay: str) -> dict[str, dict[str, Any]]:
    """Name -> pod's specification, of everything that starts one."""
    found = {}
    for one in manifests(overlay):
        if template := one.get("spec", {}).get("template"):
            found[one["metadata"]["name"]] = template["spec"]
    return found


def literals(overlay: str) -> dict[str, str]:
    """What the ConfigMap of the pipeline's environment says in an overlay."""
    settings: dict[str, str] = {}
    below = [(FOLDER / overlay / name).resolve() for name in kustomization(FOLDER / overlay)["resources"]]
    for folder in below:
        if folder.is_dir():
            settings |= literals(folder.name)
    for one in kustomization(FOLDER / overlay).get("configMapGenerator", []):
        settings |= dict(pair.split("=", 1) for pair in one.get("literals", []))
    return settings
