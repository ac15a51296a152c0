"""Draining by hand, and looking."""

from __future__ import annotations

import json
import socket
import subprocess
from pathlib import Path

import dagster as dg
import pytest

from queue_core import MessagePublisher, QueueChannels
from tests.cli.conftest import Command
from tutormax_pipeline.store import Store


def test_a_drain_by_hand_is_a_run_in_the_same_instance(
    tutormax: Command, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publisher.publish_batch(QueueChannels.TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(5)])
    done = tutormax("drain", "tutors", "--max-messages", "3", "--json")
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)["tutors"]
    assert (result["stored"], result["lag_after"]) == (3, 2)
    with dg.DagsterInstance.from_config(str(tmp_path / "home" / "dagster")) as instance:
        run = instance.get_run_by_id(result["run_id"])
    assert run is not None
    assert (run.job_name, run.status) == ("drain_tutors", dg.DagsterRunStatus.SUCCESS)
    assert run.tags["lane"] == "tutors"

    everything = tutormax("drain")
    assert everything.returncode == 0
    assert all(channel.name in everything.stdout for channel in QueueChannels.all())

    status = json.loads(tutormax("status", "--json").stdout)["channels"]
    assert status["tutors"]["rows"] == 5
    assert (status["tutors"]["waiting"], status["tutors"]["pending"], status["tutors"]["dead"]) == (0, 0, 0)


def test_status_fits_eighty_columns(tutormax: Command, publisher: MessagePublisher) -> None:
    publisher.publish(QueueChannels.TUTORS, {"tutor_id": "T", "name": "x"})
    done = tutormax("status")
    assert done.returncode == 0
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "waiting" in done.stdout


@pytest.mark.parametrize("command", ["status", "drain", "up"])
@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"REDIS_URL": "redis://127.0.0.1:1/0"}, "is not available"),
        ({"REDIS_URL": "redis://u:hunter2@127.0.0.1:1/0", "REDIS_PORT": "x"}, "REDIS_PORT"),
        ({"TUTORMAX_HOME": "/dev/null/home"}, "/dev/null/home"),
        ({"TUTORMAX_STORE_TIMEOUT_SECONDS": "soon"}, "TUTORMAX_STORE_TIMEOUT_SECONDS"),
    ],
)
def test_trouble_is_one_clear_line(
    tutormax: Command, command: str, changes: dict[str, str], words: str
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    arguments = {"status": [], "drain": ["tutors"], "up": ["--port", port]}[command]
    assert_one_line(tutormax(command, *arguments, **changes), words)


def test_a_taken_port_is_one_clear_line(tutormax: Command) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert_one_line(tutormax("up", "--port", str(port)), f"Port {port} on 127.0.0.1 cannot be had")


def test_a_locked_store_is_one_clear_line(
    tutormax: Command, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publisher.publish(QueueChannels.TUTORS, {"tutor_id": "T", "name": "x"})
    with Store.open(f"sqlite:///{tmp_path}/home/tutormax.db") as store:
        with store.engine.execution_options(begin="BEGIN IMMEDIATE").begin():
            done = tutormax("drain", "tutors", TUTORMAX_STORE_TIMEOUT_SECONDS="0.1")
            assert_one_line(done, "database is locked")
        assert tutormax("drain", "tutors").returncode == 0
        assert store.row_count(QueueChannels.TUTORS) == 1


def assert_one_line(done: subprocess.CompletedProcess[str], words: str) -> None:
    assert done.returncode == 1
    (line,) = [one for one in done.stderr.splitlines() if one.strip()]
    assert line.startswith("Error: ")
    assert words in line
    assert "hunter2" not in done.stderr + done.stdout
