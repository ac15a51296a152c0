"""deploy/check_env.py: what is missing before `make up-compose`, and how to make it."""

from __future__ import annotations

import stat
from pathlib import Path

from tests.deploy.env_file import checked, made_env

NAMES = {
    "REDIS_PASSWORD",
    "REDIS_COMMANDER_PASSWORD",
    "POSTGRES_PASSWORD",
    "DAGSTER_POSTGRES_PASSWORD",
    "TUTORMAX_POSTGRES_PASSWORD",
}


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
    (tmp_path / ".env").write_text("REDIS_DB=3\nREDIS_PASSWORD='a-password-of-ones-own'")
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
    (tmp_path / ".env").write_text("REDIS_PASSWORD=\n# POSTGRES_PASSWORD=commented-out-0123456789\n")
    stderr = checked(tmp_path).stderr
    assert "REDIS_PASSWORD is not set" in stderr
    assert "\nPOSTGRES_PASSWORD is not set" in stderr
