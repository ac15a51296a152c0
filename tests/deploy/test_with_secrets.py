"""deploy/with_secrets.py: secrets from files, for a command that reads its environment."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from kombu.utils.url import parse_url  # type: ignore[import-untyped]

from deploy.with_secrets import with_secrets
from tests.deploy.compose_file import ROOT
from tests.split.conftest import NASTY
from tutormax_pipeline.store.address import read_address

SCRIPT = ROOT / "deploy" / "with_secrets.py"


def secrets(folder: Path, **content: str) -> Path:
    for name, value in content.items():
        (folder / name).write_text(value)
    return folder


def test_each_file_becomes_a_variable_and_the_addresses_are_made_of_them(tmp_path: Path) -> None:
    folder = secrets(tmp_path, redis_password="r\n", tutormax_postgres_password="t\n", other="x")
    given = {"DAGSTER_POSTGRES_HOST": "db.example", "REDIS_HOST": "queue"}
    assert with_secrets(folder, given) == {
        **given,
        "REDIS_PASSWORD": "r",
        "TUTORMAX_POSTGRES_PASSWORD": "t",
        "TUTORMAX_STORE_URL": "postgresql://tutormax:t@db.example:5432/tutormax",
        "TUTORMAX_CELERY_BROKER_URL": "redis://:r@broker:6380/0",
    }


def test_what_is_set_already_wins(tmp_path: Path) -> None:
    folder = secrets(tmp_path, redis_password="r", tutormax_postgres_password="t")
    given = {"REDIS_PASSWORD": "own", "TUTORMAX_STORE_URL": "sqlite:///x.db"}
    found = with_secrets(folder, given)
    assert {name: found[name] for name in given} == given


def test_any_password_reaches_server_and_broker_as_it_is(tmp_path: Path) -> None:
    folder = secrets(tmp_path, redis_password=NASTY, tutormax_postgres_password=NASTY)
    found = with_secrets(folder, {"DAGSTER_POSTGRES_HOST": "db.example", "DAGSTER_POSTGRES_PORT": "25060"})
    store = read_address(found["TUTORMAX_STORE_URL"])
    assert (store.host, store.port, store.password) == ("db.example", 25060, NASTY)
    broker = parse_url(found["TUTORMAX_CELERY_BROKER_URL"])
    assert (broker["hostname"], broker["port"], broker["password"]) == ("broker", 6380, NASTY)
    assert found["REDIS_PASSWORD"] == NASTY


def test_an_empty_variable_is_none(tmp_path: Path) -> None:
    folder = secrets(tmp_path, redis_password="r", tutormax_postgres_password="t")
    found = with_secrets(
        folder, {"REDIS_PASSWORD": "", "TUTORMAX_STORE_URL": "", "DAGSTER_POSTGRES_HOST": ""}
    )
    assert found["REDIS_PASSWORD"] == "r"
    assert found["TUTORMAX_STORE_URL"] == "postgresql://tutormax:t@postgres:5432/tutormax"


def test_a_service_without_a_secret_gets_no_address_with_one(tmp_path: Path) -> None:
    folder = secrets(tmp_path, dagster_postgres_password="d")
    assert with_secrets(folder, {}) == {"DAGSTER_POSTGRES_PASSWORD": "d"}
    assert with_secrets(tmp_path / "none", {}) == {}


def test_the_command_takes_its_place_and_its_exit_code_comes_through(tmp_path: Path) -> None:
    folder = secrets(tmp_path, redis_password="r")
    program = "import os, sys; print(os.getpid(), os.environ['REDIS_PASSWORD']); sys.exit(7)"
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), sys.executable, "-c", program],
        env={**os.environ, "SECRETS_FOLDER": str(folder)},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        output, _ = process.communicate(timeout=30)
    assert output.split() == [str(process.pid), "r"]
    assert process.returncode == 7


def test_without_a_command_it_says_how_it_is_used() -> None:
    done = subprocess.run([sys.executable, str(SCRIPT)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (
        1,
        "Give the command to start: python with_secrets.py COMMAND ...\n",
    )


def test_a_secret_that_is_no_text_is_said_in_a_line_that_shows_none_of_it(tmp_path: Path) -> None:
    (tmp_path / "redis_password").write_bytes(b"hunter\xe9")
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "true"],
        env={**os.environ, "SECRETS_FOLDER": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    expected = f"A file of {tmp_path} cannot be read as UTF-8 text: UnicodeDecodeError\n"
    assert (done.returncode, done.stderr) == (1, expected)
