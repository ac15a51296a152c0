"""Draining by hand: the Dagster job, in this process, recorded where the UI shows it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from pathlib import Path

import dagster as dg
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tests.cli.conftest import COMMAND, Command
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.database import Purpose

TUTORS = QueueChannels.TUTORS


def publish(publisher: MessagePublisher, count: int) -> None:
    publisher.publish_batch(TUTORS, ({"tutor_id": f"T{n}", "name": "x"} for n in range(count)))


def run_record(dagster_home: Path, run_id: str) -> dg.DagsterRun:
    with dg.DagsterInstance.from_config(str(dagster_home)) as instance:
        run = instance.get_run_by_id(run_id)
    assert run is not None
    return run


def test_a_drain_by_hand_is_a_run_of_the_instance_of_the_home(
    process: Command, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publish(publisher, 5)
    done = process("drain", "tutors", "--max-messages", "3", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    result = json.loads(done.stdout)["tutors"]
    assert (result["stored"], result["lag_after"], result["dagster/row_count"]) == (3, 2, 3)
    run = run_record(tmp_path / "home" / "dagster", result["run_id"])
    assert (run.job_name, run.status) == ("drain_tutors", dg.DagsterRunStatus.SUCCESS)
    assert run.tags["lane"] == "tutors"


def test_every_channel_is_drained_when_none_is_named(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient
) -> None:
    publish(publisher, 2)
    publisher.publish_session_data({"session_id": "S", "tutor_id": "T"})
    publisher.publish_feedback({"feedback_id": "F", "tutor_id": "T", "rating": 5})
    done = tutormax("drain")
    assert done.returncode == 0
    assert all(channel.name in done.stdout for channel in QueueChannels.all())
    assert max(map(len, done.stdout.splitlines())) <= 80
    for channel in QueueChannels.all():
        seen = snapshot(client, channel)
        assert (seen.waiting, seen.pending) == (0, 0)
    channels = json.loads(tutormax("status", "--json").stdout)["channels"]
    assert [channels[channel.name]["rows"] for channel in QueueChannels.all()] == [2, 1, 1]


def test_a_dagster_home_of_ones_own_is_used(
    tutormax: Command, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publish(publisher, 1)
    own = tmp_path / "own"
    own.mkdir()
    done = tutormax("drain", "tutors", "--json", DAGSTER_HOME=str(own))
    assert run_record(own, json.loads(done.stdout)["tutors"]["run_id"]).job_name == "drain_tutors"


def test_a_drain_that_fails_is_told_and_recorded(
    tutormax: Command, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publish(publisher, 1)
    with (
        Store.open(f"sqlite:///{tmp_path}/home/tutormax.db") as store,
        store.engine.execution_options(purpose=Purpose.ALONE).begin(),
    ):
        done = tutormax("drain", "tutors", "--json", TUTORMAX_STORE_TIMEOUT_SECONDS="0.1")
    assert (done.returncode, done.stderr) == (1, "")
    result = json.loads(done.stdout)["tutors"]
    assert "database is locked" in result["error"]
    run = run_record(tmp_path / "home" / "dagster", result["run_id"])
    assert run.status == dg.DagsterRunStatus.FAILURE


def test_what_a_failed_drain_had_in_hand_is_drained_by_the_next(
    tutormax: Command, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publish(publisher, 3)
    with Store.open(f"sqlite:///{tmp_path}/home/tutormax.db") as store:
        with store.engine.execution_options(purpose=Purpose.ALONE).begin():
            assert tutormax("drain", "tutors", TUTORMAX_STORE_TIMEOUT_SECONDS="0.1").returncode == 1
        assert tutormax("drain", "tutors").returncode == 0
        assert store.row_count(TUTORS) == 3


def test_ctrl_c_ends_the_drain_in_order_and_begins_no_other(
    environment: dict[str, str], publisher: MessagePublisher, client: RedisClient, tmp_path: Path
) -> None:
    publish(publisher, 10_000)
    with Store.open(f"sqlite:///{tmp_path}/home/tutormax.db") as store:
        process = subprocess.Popen(
            [*COMMAND, "drain", "--batch-size", "10", "--json"],
            env={**os.environ, **environment},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        deadline = time.monotonic() + 60
        while not store.row_count(TUTORS):
            assert time.monotonic() < deadline
            assert process.poll() is None
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
        assert (process.returncode, err) == (1, b"")
        results = json.loads(out)
        assert list(results) == ["tutors"]
        assert results["tutors"]["error"].startswith("Stopped as asked: ")
        stored = store.row_count(TUTORS)
    seen = snapshot(client, TUTORS)
    assert 0 < stored < 10_000
    assert seen.waiting + seen.pending == 10_000 - stored


@pytest.mark.parametrize(
    "arguments",
    [
        ["teachers"],
        ["tutors", "--batch-size", "0"],
        ["tutors", "--max-messages", "0"],
        ["tutors", "--max-seconds", "0"],
        ["tutors", "--linger-seconds", "-1"],
    ],
    ids=" ".join,
)
def test_an_argument_that_cannot_be_is_refused_with_what_may_be(
    tutormax: Command, arguments: list[str]
) -> None:
    done = tutormax("drain", *arguments)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("Error: Invalid value for ")
