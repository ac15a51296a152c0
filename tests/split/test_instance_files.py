"""The files in deploy/dagster: alike wherever they need not differ, and nothing secret in them."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from tests.dagster_location.test_instance_settings import lane_limit
from tests.split.deployment import FILES
from tutormax_pipeline.code_server_runs import CodeServerRunLauncher
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.settings import PipelineSettings

FILE, CELERY_FILE = "dagster.yaml", "dagster.celery.yaml"
#: What is as it is because the processes share no disk.
PLACES = {"storage", "run_launcher", "compute_logs"}


def local(home: Path) -> dict[str, Any]:
    """The instance that ``tutormax up`` writes."""
    written = prepare_dagster_home(PipelineSettings.load(home=home)) / FILE
    found: dict[str, Any] = yaml.safe_load(written.read_text())
    return found


def deployed(name: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load((FILES / name).read_text())
    return found


def test_runs_are_queued_limited_watched_and_forgotten_as_on_one_machine(tmp_path: Path) -> None:
    found = deployed(FILE)
    assert {name: value for name, value in found.items() if name not in PLACES} == local(tmp_path)
    assert set(found) - set(local(tmp_path)) == PLACES


def test_with_workers_only_the_launcher_differs_and_the_time_to_start() -> None:
    usual, found = deployed(FILE), deployed(CELERY_FILE)
    assert found["run_launcher"] != usual["run_launcher"]
    assert found["run_monitoring"].pop("start_timeout_seconds") > 180
    assert {**found, "run_launcher": None} == {**usual, "run_launcher": None}


@pytest.mark.parametrize("name", [FILE, CELERY_FILE])
def test_where_things_are_and_who_may_comes_from_the_environment_alone(name: str) -> None:
    database = deployed(name)["storage"]["postgres"]["postgres_db"]
    assert database.pop("scheme") == "postgresql+psycopg2"
    assert all(re.fullmatch("DAGSTER_POSTGRES_[A-Z]+", value["env"]) for value in database.values())
    assert set(database) == {"hostname", "port", "username", "password", "db_name"}


def test_dagster_understands_it(
    dagster_database: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in dagster_database.items():
        monkeypatch.setenv(name, value)
    shutil.copy(FILES / FILE, tmp_path)
    local_home = prepare_dagster_home(PipelineSettings.load(home=tmp_path / "local"))
    assert lane_limit(tmp_path) == lane_limit(local_home)
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:
        assert isinstance(instance.run_launcher, CodeServerRunLauncher)
        assert instance.run_launcher.supports_check_run_worker_health
        assert instance.get_runs() == []
