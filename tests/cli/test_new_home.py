"""A home's Dagster instance: made once, however many come at once; its errors are one line."""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tutormax_pipeline.dagster_instance import InstanceError, open_instance
from tutormax_pipeline.doctor import dagster_home
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.settings import PipelineSettings

OPEN = """
import sys
import dagster
from tutormax_pipeline.dagster_instance import open_instance
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.settings import PipelineSettings
print(flush=True)
sys.stdin.readline()
with open_instance(prepare_dagster_home(PipelineSettings.load())) as instance:
    print(instance.get_runs_count())
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that several processes opened for the first time at the same moment."""
    home = tmp_path_factory.mktemp("new") / "home"
    opening = [
        subprocess.Popen(
            [sys.executable, "-c", OPEN],
            env={**os.environ, "TUTORMAX_HOME": str(home)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(4)
    ]
    for process in opening:
        assert process.stdout
        process.stdout.readline()
    for process in opening:
        assert process.stdin
        process.stdin.write("\n")
        process.stdin.flush()
    assert [process.communicate(timeout=100) for process in opening] == [("0\n", "")] * 4
    return home


@pytest.fixture
def settings(prepared: Path, tmp_path: Path) -> PipelineSettings:
    shutil.copytree(prepared, tmp_path / "home")
    return PipelineSettings.load(home=tmp_path / "home")


def damage(settings: PipelineSettings) -> None:
    """As two processes used to leave it that both took the tables for missing."""
    with closing(sqlite3.connect(settings.dagster_home / "schedules" / "schedules.db")) as database, database:
        database.execute("INSERT INTO alembic_version VALUES ('b22f16781a7c'), ('ea99fc4ea9eb')")


def test_processes_that_open_a_new_home_at_once_all_find_their_tables(prepared: Path) -> None:
    with open_instance(prepared / "dagster") as instance:
        assert instance.get_runs_count() == 0


def test_tables_that_dagster_cannot_use_are_told_in_one_line(
    settings: PipelineSettings, tutormax: Command
) -> None:
    damage(settings)
    done = tutormax("drain", "tutors")
    assert (done.returncode, done.stdout, len(done.stderr.splitlines())) == (1, "", 1)
    assert done.stderr.startswith(f"Error: Dagster's instance in {settings.dagster_home} does not load: ")
    assert "move history, storage and schedules out of" in done.stderr


def test_the_doctor_knows_what_to_do_about_such_tables(settings: PipelineSettings) -> None:
    damage(settings)
    (finding,) = dagster_home.findings(settings, datetime.now(UTC))
    assert finding.check == "dagster_storage"
    assert "move history, storage and schedules out of" in finding.remedy
    for name in ("history", "schedules"):
        (settings.dagster_home / name).rename(settings.home / name)
    open_instance(settings.dagster_home).dispose()


def test_a_storage_that_is_no_database_is_told_in_one_line(settings: PipelineSettings) -> None:
    (settings.dagster_home / "schedules" / "schedules.db").write_text("x" * 4096)
    with pytest.raises(InstanceError, match=r"file is not a database\. Stop what uses it"):
        open_instance(prepare_dagster_home(settings))
