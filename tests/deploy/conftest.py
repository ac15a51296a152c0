"""One image for the session of this worker, made by the Dockerfile's own steps."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.deploy.dockerfile_steps import Image, build
from tests.deploy.env_file import made_env


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The final stage; the packages are those of the present environment, and /opt/tutormax is read-only."""
    made = build(tmp_path_factory.mktemp("image"), borrow=True)
    content = made.root / "opt" / "tutormax"
    folders = [content, *(one for one in content.rglob("*") if one.is_dir())]
    kept = {one: one.stat().st_mode for one in folders if one.name != "storage"}
    for one in kept:
        one.chmod(0o555)
    yield made
    for one, mode in kept.items():
        one.chmod(mode)


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """An .env as deploy/check_env.py makes it."""
    return made_env(tmp_path_factory.mktemp("env"))
