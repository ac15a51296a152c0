"""What is wrong with the Dagster instance: looked at only where there is one."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.definitions.run_request import InstigatorType
from dagster._core.remote_origin import (
    InProcessCodeLocationOrigin,
    RemoteInstigatorOrigin,
    RemoteRepositoryOrigin,
)
from dagster._core.scheduler.instigation import InstigatorState, InstigatorStatus, TickData, TickStatus
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._daemon.types import DaemonHeartbeat
from dagster._utils.error import SerializableErrorInfo

from tutormax_pipeline.definitions import defs
from tutormax_pipeline.doctor import dagster_home
from tutormax_pipeline.findings import Finding
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.settings import PipelineSettings

NOW = datetime.now(UTC)
NO_LUCK = SerializableErrorInfo("no luck", [], None)


@pytest.fixture
def settings(tmp_path: Path) -> PipelineSettings:
    return PipelineSettings.load(home=tmp_path / "home")


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as `tutormax up` makes it, with the databases that take Dagster seconds to make."""
    settings = PipelineSettings.load(home=tmp_path_factory.mktemp("prepared") / "home")
    with dg.DagsterInstance.from_config(str(prepare_dagster_home(settings))) as instance:
        instance.get_daemon_heartbeats()
        instance.all_instigator_state()
        instance.get_runs(limit=1)
    return settings.home


@pytest.fixture
def instance(prepared: Path, settings: PipelineSettings) -> Iterator[dg.DagsterInstance]:
    """The instance of `tutormax up`, whose daemon was heard of just now."""
    shutil.copytree(prepared, settings.home)
    with dg.DagsterInstance.from_config(str(settings.dagster_home)) as instance:
        beat(instance)
        yield instance


def beat(instance: dg.DagsterInstance, seconds_ago: float = 0, *, failing: bool = False) -> None:
    errors = [NO_LUCK] if failing else []
    moment = NOW.timestamp() - seconds_ago
    instance.add_daemon_heartbeat(DaemonHeartbeat(moment, "SENSOR", "an id", errors))


def found(settings: PipelineSettings, now: datetime = NOW) -> list[Finding]:
    return list(dagster_home.findings(settings, now))


def checks(settings: PipelineSettings, now: datetime = NOW) -> list[str]:
    return [one.check for one in found(settings, now)]


def write(settings: PipelineSettings, text: str) -> None:
    (settings.dagster_home / "dagster.yaml").write_text(text)


def sensor_state(instance: dg.DagsterInstance, name: str, status: InstigatorStatus) -> InstigatorState:
    location = InProcessCodeLocationOrigin(LoadableTargetOrigin(module_name="tutormax_pipeline.definitions"))
    origin = RemoteInstigatorOrigin(RemoteRepositoryOrigin(location, "__repository__"), name)
    state = InstigatorState(origin, InstigatorType.SENSOR, status)
    instance.add_instigator_state(state)
    return state


def test_where_there_is_no_instance_nothing_is_said(settings: PipelineSettings) -> None:
    assert checks(settings) == []


def test_an_instance_as_we_set_it_up_has_nothing_wrong(
    settings: PipelineSettings, instance: dg.DagsterInstance
) -> None:
    assert checks(settings) == []


def test_settings_that_do_not_load_are_found(settings: PipelineSettings) -> None:
    prepare_dagster_home(settings)
    write(settings, "run_monitoring: {enabled: perhaps}\n")
    (finding,) = found(settings)
    assert finding.check == "dagster_yaml"
    assert str(settings.dagster_home / "dagster.yaml") in finding.remedy


def test_settings_without_a_watch_on_runs_a_queue_or_an_end_of_ticks_are_found(
    settings: PipelineSettings, instance: dg.DagsterInstance
) -> None:
    write(
        settings,
        "run_coordinator: {module: dagster.core.run_coordinator, class: DefaultRunCoordinator}\n"
        "run_monitoring: {enabled: false}\n"
        "retention: {sensor: {purge_after_days: {skipped: -1}}}\n",
    )
    assert checks(settings) == ["run_monitoring", "run_queue", "retention"]


@pytest.mark.parametrize(("seconds_ago", "expected"), [(60, []), (600, ["daemon"])])
def test_a_daemon_that_is_silent_is_found(
    settings: PipelineSettings, instance: dg.DagsterInstance, seconds_ago: float, expected: list[str]
) -> None:
    beat(instance, seconds_ago)
    assert checks(settings) == expected


def test_a_daemon_that_never_was_is_found(settings: PipelineSettings) -> None:
    prepare_dagster_home(settings)
    (finding,) = found(settings)
    assert (finding.check, "never" in finding.summary) == ("daemon", True)


def test_a_daemon_that_reports_errors_is_found(
    settings: PipelineSettings, instance: dg.DagsterInstance
) -> None:
    beat(instance, failing=True)
    (finding,) = found(settings)
    assert (finding.check, "SENSOR" in finding.summary) == ("daemon_errors", True)


def test_a_queue_sensor_that_is_off_is_found(
    settings: PipelineSettings, instance: dg.DagsterInstance
) -> None:
    sensor_state(instance, "tutors_queue_sensor", InstigatorStatus.STOPPED)
    sensor_state(instance, "another_sensor", InstigatorStatus.STOPPED)
    (finding,) = found(settings)
    assert (finding.check, "tutors_queue_sensor" in finding.summary) == ("sensor_off", True)


@pytest.mark.parametrize(
    ("status", "expected"), [(TickStatus.FAILURE, ["tick_failed"]), (TickStatus.SKIPPED, [])]
)
def test_a_sensor_whose_last_tick_failed_is_found(
    settings: PipelineSettings, instance: dg.DagsterInstance, status: TickStatus, expected: list[str]
) -> None:
    state = sensor_state(instance, "tutors_queue_sensor", InstigatorStatus.RUNNING)
    for ago, outcome in ((60, TickStatus.FAILURE), (0, status)):
        instance.create_tick(
            TickData(
                state.instigator_origin_id,
                state.instigator_name,
                InstigatorType.SENSOR,
                outcome,
                NOW.timestamp() - ago,
                selector_id=state.selector_id,
                error=NO_LUCK if outcome is TickStatus.FAILURE else None,
            )
        )
    assert checks(settings) == expected


def test_a_run_that_does_not_end_is_found(settings: PipelineSettings, instance: dg.DagsterInstance) -> None:
    run = instance.create_run_for_job(defs.resolve_job_def("drain_tutors"))
    later = NOW + timedelta(hours=3)
    beat(instance, -timedelta(hours=3).total_seconds())
    (finding,) = found(settings, later)
    assert (finding.check, run.run_id in finding.summary) == ("old_run", True)
    assert checks(settings) == []
    instance.report_run_failed(run)
    assert checks(settings, later) == []
