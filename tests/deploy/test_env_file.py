"""deploy/check_env.py: what is missing before `make up-compose`, and how to make it."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from tests.deploy.env_file import checked, made_env

NAMES = {
    "REDIS_PASSWORD",
    "REDIS_COMMANDER_PASSWORD",
    "POSTGRES_PASSWORD",
    "DAGSTER_POSTGRES_PASSWORD",
    "TUTORMAX_POSTGRES_PASSWORD",
}


def own_env(folder: Path, text: str, mode: int = 0o600) -> Path:
    file = folder / ".env"
    file.write_text(text)
    file.chmod(mode)
    return file


def test_every_missing_secret_is_named_with_how_to_make_it(tmp_path: Path) -> None:
    done = checked(tmp_path)
    assert done.returncode == 1
    assert {line.split()[0] for line in done.stderr.splitlines()[:-1]} == NAMES
    assert done.stderr.splitlines()[-1].endswith("python3 deploy/check_env.py --make")
    assert not (tmp_path / ".env").exists()


def test_what_is_made_is_enough_secret_and_for_its_owner_alone(tmp_path: Path) -> None:
    made = made_env(tmp_path)
    assert set(made) == NAMES
    assert len(set(made.values())) == len(NAMES)
    assert all(len(value) == 48 for value in made.values())
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    assert checked(tmp_path).returncode == 0


def test_what_is_set_already_stays(tmp_path: Path) -> None:
    own_env(tmp_path, "REDIS_DB=3\nREDIS_PASSWORD='a-password-of-ones-own'")
    done = checked(tmp_path, "--make", POSTGRES_PASSWORD="from-the-environment")
    assert done.returncode == 0, done.stderr
    text = (tmp_path / ".env").read_text()
    assert text.startswith("REDIS_DB=3\nREDIS_PASSWORD='a-password-of-ones-own'\n")
    assert text.count("REDIS_PASSWORD=") == 1
    assert "\nPOSTGRES_PASSWORD=" not in text


def test_a_password_that_would_break_an_address_is_refused_and_not_shown(tmp_path: Path) -> None:
    made_env(tmp_path)
    done = checked(tmp_path, "--make", REDIS_PASSWORD="p@ss/word:longer-than-16")
    assert done.returncode == 1
    assert done.stderr.startswith("REDIS_PASSWORD is to be 16 or more letters")
    assert "p@ss" not in done.stderr + done.stdout


def test_an_empty_value_counts_as_missing(tmp_path: Path) -> None:
    own_env(tmp_path, "REDIS_PASSWORD=\n# POSTGRES_PASSWORD=commented-out-0123456789\n")
    stderr = checked(tmp_path).stderr
    assert "REDIS_PASSWORD is not set" in stderr
    assert "\nPOSTGRES_PASSWORD is not set" in stderr


def test_secrets_are_not_added_to_a_file_that_others_can_read(tmp_path: Path) -> None:
    file = own_env(tmp_path, "REDIS_DB=3\n", 0o644)
    made_env(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o602])
def test_secrets_that_others_can_read_are_complained_of_until_they_cannot(tmp_path: Path, mode: int) -> None:
    made_env(tmp_path)
    (tmp_path / ".env").chmod(mode)
    done = checked(tmp_path)
    assert done.returncode == 1
    assert done.stderr == ".env holds secrets and can be read by others: chmod 600 .env\n"
    assert checked(tmp_path, "--make").returncode == 0
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600


def test_a_variable_that_is_empty_in_the_environment_is_named_for_it_wins(tmp_path: Path) -> None:
    made_env(tmp_path)
    for options in ([], ["--make"]):
        done = checked(tmp_path, *options, REDIS_PASSWORD="")
        assert done.returncode == 1
        assert done.stderr == "REDIS_PASSWORD is empty in the environment, which wins over .env: unset it\n"


@pytest.mark.parametrize(
    "value",
    [
        "a-password-of-ones-own # of the queue",
        "'a-password-of-ones-own' # it's of the queue",
        '"a-password-of-ones-own"',
    ],
)
def test_a_comment_after_a_value_is_none_of_it(tmp_path: Path, value: str) -> None:
    file = own_env(tmp_path, f"REDIS_PASSWORD={value}\nPOSTGRES_PASSWORD= # none yet\n")
    done = checked(tmp_path, "--make")
    assert done.returncode == 0, done.stderr
    assert "REDIS_PASSWORD" not in done.stdout
    assert file.read_text().count("\nPOSTGRES_PASSWORD=") == 2


def test_what_is_no_text_is_said_in_a_line(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"NAME=caf\xe9\n")
    done = checked(tmp_path)
    assert done.returncode == 1
    assert done.stderr == ".env cannot be read as UTF-8 text: UnicodeDecodeError\n"
