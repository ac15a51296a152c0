"""An environment that has the queue, what it asks for, and nothing else."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Iterator
from importlib.metadata import Distribution, distribution
from pathlib import Path

import pytest
from packaging.requirements import Requirement

ROOT = Path(__file__).parents[2]


class CleanPlace:
    """A virtual environment; ``run`` runs its Python, which sees nothing of this one's."""

    def __init__(self, folder: Path) -> None:
        venv.create(folder, symlinks=True)
        self.python = folder / "bin" / "python"
        (self.packages,) = folder.glob("lib/python*/site-packages")

    def install(self, wheel: Path) -> None:
        """As pip does, without its dependencies and without a network."""
        uv = [sys.executable, "-m", "uv", "pip", "install", "--quiet", "--no-deps", "--offline", "--no-cache"]
        subprocess.run([*uv, "--python", self.python, wheel], check=True, timeout=60)

    def link(self, found: Distribution) -> None:
        """Make a distribution of the running environment importable here."""
        for file in found.files or ():
            top = file.parts[0]
            if top not in ("..", "__pycache__") and not (self.packages / top).exists():
                (self.packages / top).symlink_to(Path(str(found.locate_file(top))))

    def run(self, *arguments: str | Path, cwd: Path, **variables: str) -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        return subprocess.run(
            [self.python, *arguments],
            cwd=cwd,
            env={**own, **variables},
            capture_output=True,
            text=True,
            timeout=90,
            check=False,
        )


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The queue's own distribution, built as pip would build it."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", folder]
    subprocess.run(build, cwd=ROOT / "queue_core", check=True, timeout=60, capture_output=True)
    (found,) = folder.iterdir()
    return found


@pytest.fixture(scope="session")
def clean_place(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> CleanPlace:
    """Where the wheel is installed with its extra ``testing``."""
    place = CleanPlace(tmp_path_factory.mktemp("clean") / "venv")
    place.install(wheel)
    (metadata,) = place.packages.glob("*.dist-info")
    for one in needed_by(Distribution.at(metadata), {"testing"}):
        place.link(one)
    return place


def needed_by(found: Distribution, extras: set[str]) -> Iterator[Distribution]:
    """What a distribution asks for, with what that asks for, of what is installed here."""
    seen: set[tuple[str, str]] = set()
    left = [(found, extras)]
    while left:
        asking, asked = left.pop()
        for text in asking.requires or ():
            wanted = Requirement(text)
            if wanted.marker and not any(wanted.marker.evaluate({"extra": one}) for one in asked | {""}):
                continue
            key = (wanted.name, ",".join(sorted(wanted.extras)))
            if key not in seen:
                seen.add(key)
                one = distribution(wanted.name)
                yield one
                left.append((one, set(wanted.extras)))
