"""Dagster's storage is pruned: what is old goes, what people look at stays. On SQLite and on PostgreSQL."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from dagster._core.storage.event_log import SqliteEventLogStorage
from dagster._core.storage.event_log.schema import SqlEventLogStorageTable
from dagster._core.storage.runs.schema import RunsTable

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tests.split.deployment import FILES
from tutormax_pipeline.dagster_retention.prune import PruneReport, prune_dagster
from tutormax_pipeline.dagster_retention.runs import Retention, remove_run
from tutormax_pipeline.dagster_retention.storage import index_connection
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.lanes import consumer_name
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store

LATER = timedelta(days=15)
QUEUE, TABLE, OTHER = (dg.AssetKey(name) for name in ("queue", "table", "other"))
DRAIN, BUTTON = "drain_table", "button"


@dg.asset(check_specs=[dg.AssetCheckSpec("whole", asset="table")])
def table():
    return dg.MaterializeResult(check_results=[dg.AssetCheckResult(check_name="whole", passed=True)])


@dg.asset(config_schema={"fail": bool})
def other(context):
    if context.op_execution_context.op_config["fail"]:
        raise dg.Failure
    return dg.MaterializeResult()


location = dg.Definitions(
    assets=[table, other],
    jobs=[dg.define_asset_job(DRAIN, [TABLE]), dg.define_asset_job(BUTTON, [OTHER])],
    executor=dg.in_process_executor,
)


@pytest.fixture(params=["sqlite", "postgres"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


#: Where only choosing is tested, and not removing.
choosing = pytest.mark.parametrize("kind", ["sqlite"])


@pytest.fixture
def instance(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dg.DagsterInstance]:
    home = tmp_path / "home"
    home.mkdir()
    if kind == "postgres":
        for name, value in request.getfixturevalue("dagster_database").items():
            monkeypatch.setenv(name, value)
        shutil.copy(FILES / "dagster.yaml", home)
    else:
        (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.from_config(str(home)) as instance:
        yield instance


def run(instance: dg.DagsterInstance, job: str, *, fail: bool = False) -> str:
    config = {"ops": {"other": {"config": {"fail": fail}}}} if job == BUTTON else {}
    done = location.resolve_job_def(job).execute_in_process(
        instance=instance, run_config=config, raise_on_error=False
    )
    return done.run_id


def prune(
    instance: dg.DagsterInstance,
    *,
    days: int = 14,
    failed_days: int = 90,
    after: timedelta = LATER,
    most: int = 99,
) -> PruneReport:
    return prune_dagster(instance, Retention(days, failed_days, newest=2), datetime.now(UTC) + after, most)


def ids(instance: dg.DagsterInstance) -> set[str]:
    return set(instance.get_run_ids())


def traces_of(instance: dg.DagsterInstance, run_id: str) -> list[object]:
    """What is left of a run: events, and files whose name has its id."""
    files = list(Path(instance.root_directory).rglob(f"*{run_id}*"))
    query = sa.select(SqlEventLogStorageTable.c.id).where(SqlEventLogStorageTable.c.run_id == run_id)
    with index_connection(instance) as connection:
        return [*files, *connection.scalars(query)]


def test_old_runs_go_with_everything_that_belongs_to_them_and_the_newest_of_each_job_stay(
    instance: dg.DagsterInstance,
) -> None:
    old = [run(instance, DRAIN) for _ in range(5)]
    latest_other = run(instance, BUTTON)
    assert prune(instance, after=timedelta(days=13)).runs == {}
    assert ids(instance) == {*old, latest_other}
    report = prune(instance)
    assert report.runs == {DRAIN: 3}
    assert ids(instance) == {*old[3:], latest_other}
    assert [traces_of(instance, gone) for gone in old[:3]] == [[], [], []]
    assert all(instance.all_logs(kept) for kept in old[3:])
    if isinstance(instance.event_log_storage, SqliteEventLogStorage):
        assert report.bytes_after < report.bytes_before - 3 * 100_000
    # What remains can be built upon.
    assert run(instance, DRAIN) in ids(instance)


@choosing
def test_what_the_latest_state_of_an_asset_is_of_stays_at_any_age(instance: dg.DagsterInstance) -> None:
    first = run(instance, BUTTON)
    for _ in range(3):
        run(instance, BUTTON, fail=True)
    assert prune(instance).runs == {}
    event = instance.get_latest_materialization_event(OTHER)
    assert event is not None
    assert event.run_id == first


@choosing
def test_failed_runs_stay_for_longer_and_go_in_the_end(instance: dg.DagsterInstance) -> None:
    failed = [run(instance, BUTTON, fail=True) for _ in range(4)]
    assert prune(instance).runs == {}
    assert prune(instance, after=timedelta(days=91)).runs == {BUTTON: 2}
    assert ids(instance) == set(failed[2:])


@choosing
def test_a_run_in_flight_is_never_removed(instance: dg.DagsterInstance) -> None:
    job = location.resolve_job_def(DRAIN)
    starting, started = (
        instance.create_run_for_job(job, status=status).run_id
        for status in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED)
    )
    for _ in range(3):
        run(instance, DRAIN)
    assert prune(instance, after=timedelta(days=1_000)).runs == {DRAIN: 1}
    assert {starting, started} <= ids(instance)


@choosing
def test_one_turn_removes_a_bounded_number_oldest_first_and_the_next_goes_on(
    instance: dg.DagsterInstance,
) -> None:
    runs = [run(instance, DRAIN) for _ in range(6)]
    assert prune(instance, most=3).runs == {DRAIN: 3}
    assert ids(instance) == set(runs[3:])
    assert prune(instance, most=3).runs == {DRAIN: 1}
    assert prune(instance, most=3).runs == {}


@choosing
def test_a_removal_that_was_cut_short_is_ended_by_the_next(instance: dg.DagsterInstance) -> None:
    runs = [run(instance, DRAIN) for _ in range(3)]
    instance.event_log_storage.delete_events(runs[0])
    assert prune(instance).runs == {DRAIN: 1}
    assert ids(instance) == set(runs[1:])


def test_old_observations_and_results_go_but_for_the_newest(instance: dg.DagsterInstance) -> None:
    for number in range(5):
        observation = dg.AssetObservation(QUEUE, metadata={"waiting": number})
        result = dg.AssetCheckEvaluation(asset_key=QUEUE, check_name="age", passed=number == 4)
        for event in (observation, result):
            instance.report_runless_asset_event(event)
    assert prune(instance, after=timedelta(days=13)).events.observations == 0
    report = prune(instance)
    assert (report.events.observations, report.events.check_results) == (3, 4)
    found = instance.fetch_observations(QUEUE, limit=10).records
    shown = [one.asset_observation.metadata["waiting"].value for one in found if one.asset_observation]
    assert shown == [4, 3]
    key = dg.AssetCheckKey(QUEUE, "age")
    latest = instance.event_log_storage.get_latest_asset_check_execution_by_key([key])[key]
    assert latest.event is not None
    assert latest.event.dagster_event is not None
    assert latest.event.dagster_event.asset_check_evaluation_data.passed
    again = prune(instance)
    assert (again.events.observations, again.events.check_results) == (0, 0)


@choosing
def test_a_retention_of_nothing_keeps_everything(instance: dg.DagsterInstance) -> None:
    runs = [run(instance, DRAIN) for _ in range(3)]
    report = prune(instance, days=0, failed_days=0, after=timedelta(days=10_000))
    assert (report.runs, report.events.check_results) == ({}, 0)
    assert ids(instance) == set(runs)


@choosing
def test_what_a_removed_run_still_held_is_taken_up_by_the_next_drain(
    instance: dg.DagsterInstance, client: RedisClient, publisher: MessagePublisher, store: Store
) -> None:
    publisher.publish_batch(QueueChannels.TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(3)])
    died = run(instance, BUTTON, fail=True)
    held = MessageConsumer(client, consumer_name(died)).read(QueueChannels.TUTORS, 2)
    assert len(held) == 2
    remove_run(instance, died)
    settings = client.settings.model_copy(update={"worker_max_processing_time_seconds": 0.001})
    with RedisClient(settings) as impatient:
        report = drain(MessageConsumer(impatient), store, QueueChannels.TUTORS, run_id="next")
    assert (report.messages, snapshot(client, QueueChannels.TUTORS).pending) == (3, 0)


@choosing
def test_the_job_takes_the_environments_retention_and_shows_what_it_did(
    instance: dg.DagsterInstance, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TUTORMAX_DAGSTER_RETENTION_DAYS", "3")
    runs = [run(instance, DRAIN) for _ in range(3)]
    with instance.run_storage.connect() as connection:
        old = datetime.now(UTC).replace(tzinfo=None) - timedelta(days=4)
        connection.execute(sa.update(RunsTable).values(update_timestamp=old))
    config = {"ops": {"prune": {"config": {"newest_kept": 1}}}}
    job = defs.resolve_job_def("maintain_dagster")
    done = job.execute_in_process(instance=instance, run_config=config)
    (event,) = [one for one in done.all_events if one.is_successful_output]
    shown = event.step_output_data.metadata
    assert shown["runs_removed"].value == 2
    assert [one.data for one in shown["by_job"].records] == [{"job": DRAIN, "runs_removed": 2}]
    assert shown["storage_bytes"].value > 0
    assert ids(instance) == {*runs[2:], done.run_id}


def test_the_job_runs_every_night() -> None:
    schedule = defs.resolve_schedule_def("dagster_maintenance_schedule")
    assert (schedule.job_name, schedule.cron_schedule) == ("maintain_dagster", "47 3 * * *")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
