"""Nothing of a message is anywhere in Dagster: a whole day of work with marked values, and a search for them.

Values that are people's, and the bytes of messages that could not be read, all carry the mark.
"""

import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.embedded import EmbeddedServer
from queue_core.outcomes import Message, Rejection
from tests.conftest import settings_for
from tests.dagster_location.test_assets import Resources
from tutormax_pipeline import judge
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.records import Record
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.database import Purpose
from tutormax_pipeline.store.tables import record_table

MARK = "Zq8Marked"
#: The id of a message at which the code fails, with words that quote it.
POISON = "poison"
#: What only a database refuses: text that it cannot take, of a tutor who has this id.
REFUSED = "refused"

TUTORS, SESSIONS, FEEDBACK = QueueChannels.TUTORS, QueueChannels.SESSIONS, QueueChannels.FEEDBACK


@pytest.fixture
def client(valkey: EmbeddedServer) -> Iterator[RedisClient]:
    """Messages are retried at once, as they are in the runs; see ``_settings``."""
    with RedisClient(settings_for(valkey)) as client:
        yield client


@pytest.fixture(autouse=True)
def _settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_MAX_RETRIES", "1")
    monkeypatch.setenv("REDIS_RETRY_BACKOFF_MS", "1")
    monkeypatch.setenv("REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS", "0.02")


@pytest.fixture
def instance(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """One with its databases and compute logs in files, as in production."""
    home = tmp_path / "dagster"
    home.mkdir()
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance


@pytest.fixture(autouse=True)
def _a_message_at_which_the_code_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    real = judge.validate

    def validate(contract: type[Record], message: Message) -> Record | Rejection:
        if message.data.get("tutor_id") == POISON:
            raise RuntimeError(f"cannot cope with {message.data}")
        return real(contract, message)

    monkeypatch.setattr(judge, "validate", validate)


def publish_everything(client: RedisClient, publisher: MessagePublisher) -> None:
    """Good, bad, poisonous and duplicate messages, every value of theirs marked that may be."""
    person = {"name": MARK, "email": f"{MARK}@x.org", "demographics": {MARK: MARK}, "hobby": MARK}
    for n in range(3):
        publisher.publish_tutor_data({"tutor_id": f"T{n}", **person, "qualifications": [MARK]})
        publisher.publish_session_data(
            {"session_id": f"S{n}", "tutor_id": "T0", "notes": MARK, "outcome": MARK, "status": "completed"}
        )
        publisher.publish_feedback({"feedback_id": f"F{n}", "tutor_id": "T0", "rating": 4, "comment": MARK})
    publisher.publish_tutor_data({"tutor_id": "T0", **person, "qualifications": [MARK]}, message_id="traced")
    publisher.publish_tutor_data({"tutor_id": POISON, **person})
    publisher.publish_tutor_data({"tutor_id": REFUSED, **person})
    publisher.publish(TUTORS, {"tutor_id": "T9", **person, "rating": MARK, "active": MARK})
    publisher.publish(SESSIONS, {"session_id": "S9", "tutor_id": "T0", "notes": MARK, "status": MARK})
    publisher.publish(FEEDBACK, {"feedback_id": "F9", "tutor_id": "T0", "rating": 99, "comment": MARK})
    stream = client.keys.stream(TUTORS)
    ((_, again),) = client.redis.xrange(stream, count=1)
    client.redis.xadd(stream, again)
    client.redis.xadd(stream, {"message": again[b"message"].replace(b'"T0"', b'"T5"')})
    client.redis.xadd(stream, {"message": f"not JSON {MARK}"})
    client.redis.xadd(stream, {MARK: MARK})


def refuse_one(store: Store) -> None:
    """The database refuses one tutor, in words that quote the row."""
    table = record_table(TUTORS).name
    with store.engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER refuse BEFORE INSERT ON {table} WHEN NEW.tutor_id = '{REFUSED}' "
            f"BEGIN SELECT RAISE(ABORT, 'refused {MARK}'); END"
        )


def run_job(
    name: str, instance: dg.DagsterInstance, resources: Resources, config: dict[str, Any] | None = None
) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def(name)
    return job.execute_in_process(
        instance=instance, resources=resources, run_config=config, raise_on_error=False
    )


#: What a job cannot do without.
_CONFIG = {"trace_message": {"ops": {"trace": {"config": {"message_id": "traced"}}}}}


def everything_that_runs(instance: dg.DagsterInstance, resources: Resources) -> None:
    """Every job of the code location, as it is when nothing is configured, and every asset and check."""
    names = [job.name for job in defs.get_repository_def().get_all_jobs() if not job.name.startswith("__")]
    assert "drain_all" in names
    for name in ["drain_all", *names, "__ASSET_JOB"]:
        assert run_job(name, instance, resources, _CONFIG.get(name)).success, name


def traces(instance: dg.DagsterInstance, folder: Path) -> dict[str, str]:
    """All that Dagster kept, by where it kept it."""
    kept = {
        f"events of {run.job_name}": "".join(entry.to_json() for entry in instance.all_logs(run.run_id))
        for run in instance.get_runs()
    }
    kept |= {f"tags of {run.job_name} {run.run_id}": str(run.tags) for run in instance.get_runs()}
    for file in folder.rglob("*"):
        if file.is_file():
            kept[file.relative_to(folder).as_posix()] = file.read_bytes().decode("latin-1")
    return kept


def test_the_search_finds_what_is_there(instance: dg.DagsterInstance, tmp_path: Path) -> None:
    @dg.op
    def tell(context: dg.OpExecutionContext) -> None:
        context.log.info("logged %s", MARK)
        context.add_output_metadata({"said": MARK})
        print(f"printed {MARK}")

    @dg.job(tags={"about": MARK})
    def telling() -> None:
        tell()

    telling.execute_in_process(instance=instance)
    found = {place for place, text in traces(instance, tmp_path / "dagster").items() if MARK in text}
    assert "events of telling" in found
    assert any(place.startswith("tags of telling") for place in found)
    assert any(place.endswith(".db") for place in found)
    assert any(place.endswith(".out") for place in found)


@pytest.mark.long
def test_a_whole_day_leaves_nothing_of_a_message_in_dagster(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: Resources,
    instance: dg.DagsterInstance,
    store: Store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    caplog.set_level(logging.DEBUG)
    publish_everything(client, publisher)
    refuse_one(store)
    MessageConsumer(client, "died").create_consumer_group(TUTORS)
    MessageConsumer(client, "died").read(TUTORS, 2)
    everything_that_runs(instance, resources)
    letters = list(DeadLetters(client).iterate())
    reasons = {letter.reason for letter in letters}
    assert reasons >= {"malformed", "checksum_mismatch", "invalid", "rejected", "retries_exhausted"}
    assert store.row_count(TUTORS) == 3
    out, err = capfd.readouterr()
    kept = {**traces(instance, tmp_path / "dagster"), "stdout": out, "stderr": err, "log": caplog.text}
    assert "STEP_SUCCESS" in kept["events of drain_all"]
    assert "tutor_performance" in kept["events of __ASSET_JOB"]
    assert [place for place, text in kept.items() if MARK in text] == []


def test_a_run_that_fails_with_messages_in_hand_leaves_nothing_of_them(
    publisher: MessagePublisher,
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    store: Store,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TUTORMAX_STORE_TIMEOUT_SECONDS", "0.05")
    caplog.set_level(logging.DEBUG)
    publish_everything(client, publisher)
    config = {"ops": {name: {"config": {"outage_seconds": 0}} for name in ("tutors", "sessions", "feedback")}}
    with store.engine.execution_options(purpose=Purpose.ALONE).begin():
        assert not run_job("drain_all", instance, resources, config).success
    out, err = capfd.readouterr()
    kept = {**traces(instance, tmp_path / "dagster"), "stdout": out, "stderr": err, "log": caplog.text}
    assert "STEP_FAILURE" in kept["events of drain_all"]
    assert [place for place, text in kept.items() if MARK in text] == []
