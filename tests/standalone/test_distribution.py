"""The queue by itself: a distribution of its own, for services that know nothing of the pipeline."""

from __future__ import annotations

import re
import tomllib
import zipfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from queue_core import RedisClient, testing
from queue_core.embedded import EmbeddedServer
from tests.standalone.conftest import ROOT, CleanPlace

README = (ROOT / "queue_core" / "README.md").read_text()

IMPORT_EVERYTHING = """
import importlib, importlib.util, pkgutil, sys
import queue_core
for one in pkgutil.walk_packages(queue_core.__path__, "queue_core."):
    importlib.import_module(one.name)
    print(one.name)
absent = ("dagster", "sqlalchemy", "alembic", "click", "rich", "tutormax_pipeline")
assert [name for name in absent if importlib.util.find_spec(name)] == []
assert queue_core.__file__.startswith(sys.prefix)
"""


def project(folder: str) -> dict[str, Any]:
    return tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]


def block(number: int) -> str:
    """A block of Python in the README."""
    return re.findall(r"```python\n(.*?)```", README, re.DOTALL)[number]


def test_its_versions_are_those_of_the_pipeline() -> None:
    queue, pipeline = project("queue_core"), project(".")
    assert set(queue["dependencies"]) <= set(pipeline["dependencies"])
    ours, theirs = queue["optional-dependencies"], pipeline["optional-dependencies"]
    assert ours["embedded"] == theirs["embedded"]
    declared = {Requirement(text).name: text for group in theirs.values() for text in group}
    assert ours["testing"] == [declared[Requirement(text).name] for text in ours["testing"]]
    for name in ("version", "requires-python", "classifiers", "entry-points"):
        assert queue[name] == pipeline[name]


def test_the_wheel_holds_the_package_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    sources = {
        path.relative_to(ROOT).as_posix()
        for kind in ("*.py", "*.lua", "py.typed")
        for path in (ROOT / "queue_core").rglob(kind)
    }
    assert held == sources


def test_every_module_imports_where_nothing_of_the_pipeline_is(
    clean_place: CleanPlace, tmp_path: Path
) -> None:
    done = clean_place.run("-c", IMPORT_EVERYTHING, cwd=tmp_path)
    assert done.stderr == ""
    assert "queue_core.testing.plugin" in done.stdout.split()
    assert len(done.stdout.split()) == len(list((ROOT / "queue_core").rglob("*.py"))) - 1


def test_a_service_publishes_and_consumes_there(
    clean_place: CleanPlace, client: RedisClient, valkey: EmbeddedServer, tmp_path: Path
) -> None:
    prefix = client.settings.key_prefix
    done = clean_place.run("-c", block(0), cwd=tmp_path, REDIS_URL=valkey.url, REDIS_KEY_PREFIX=prefix)
    assert (done.stdout, done.stderr) == ("{'tutor_id': 'T001', 'name': 'John Smith'}\n", "")


def test_a_service_tests_itself_there_with_nothing_but_the_kit(
    clean_place: CleanPlace, tmp_path: Path
) -> None:
    (tmp_path / "test_service.py").write_text(block(1))
    # As a user calls it: the plugin is found by its entry point, and finds a server by itself.
    done = clean_place.run("-m", "pytest", "-p", "no:cacheprovider", "--strict-markers", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert "1 passed" in done.stdout


def test_the_readme_names_everything_that_the_kit_has() -> None:
    assert [name for name in testing.__all__ if name.islower() and f"`{name}(" not in README] == []
