"""examples/worker.py, as a person runs it."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot
from queue_core.serializer import serialize
from tests.conftest import wait_until

ROOT = Path(__file__).parents[2]
TUTORS, SESSIONS, _ = QueueChannels.all()
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start(valkey: EmbeddedServer, client: RedisClient, tmp_path: Path) -> Start:
    def start_one(*options: str, **variables: str) -> subprocess.Popen[str]:
        redis = {"REDIS_URL": valkey.url, "REDIS_KEY_PREFIX": client.settings.key_prefix}
        return subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "worker.py"), *options],
            env={**os.environ, "PYTHONPATH": str(ROOT), **redis, **variables},
            cwd=tmp_path,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    return start_one


def stored(folder: Path) -> list[tuple[str, str]]:
    if not (folder / "worker.db").exists():
        return []
    with closing(sqlite3.connect(folder / "worker.db")) as database:
        try:
            return database.execute("SELECT channel, id FROM records ORDER BY 1, 2").fetchall()
        except sqlite3.OperationalError:  # its tables are not there yet
            return []


def test_it_stores_what_comes_until_it_is_asked_to_end(
    start: Start, client: RedisClient, publisher: MessagePublisher, tmp_path: Path
) -> None:
    process = start("--channels", "tutormax:tutors,tutormax:sessions", "--batch-size", "20")
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": "Ann Secret"})
    publisher.publish_batch(SESSIONS, [{"session_id": f"S{n}", "tutor_id": "T1"} for n in range(3)])
    wait_until(lambda: len(stored(tmp_path)) == 4, 60)
    process.send_signal(signal.SIGINT)
    _, console = process.communicate(timeout=60)
    assert process.returncode == 0
    assert stored(tmp_path) == [("sessions", f"S{n}") for n in range(3)] + [("tutors", "T1")]
    assert "4 processed, 0 failed, 0 dead letters" in console
    assert (tmp_path / "worker.log").read_text() == console
    assert "Secret" not in console
    assert not snapshot(client, TUTORS).pending


def test_a_message_that_comes_twice_takes_effect_once_and_an_older_one_undoes_nothing(
    start: Start, client: RedisClient, tmp_path: Path
) -> None:
    stream = client.keys.stream(TUTORS)
    for name, hour in (("new", 2), ("old", 1), ("new", 2)):
        moment = datetime(2026, 11, 7, hour, tzinfo=UTC)
        body = serialize(stream, {"tutor_id": "T1", "name": name}, message_id=name, published_at=moment)
        client.redis.xadd(stream, {"message": body})
    _, console = start("--once").communicate(timeout=60)
    assert console.count("came before") == 1
    with closing(sqlite3.connect(tmp_path / "worker.db")) as database:
        ((data,),) = database.execute("SELECT data FROM records")
    assert json.loads(data) == {"tutor_id": "T1", "name": "new"}


def test_a_database_that_somebody_has_locked_costs_no_message_an_attempt(
    start: Start, publisher: MessagePublisher, client: RedisClient, tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    process = start(REDIS_MAX_RETRIES="0")
    wait_until(lambda: log.exists() and "Working on" in log.read_text(), 60)
    with closing(sqlite3.connect(tmp_path / "worker.db", isolation_level=None)) as other:
        other.execute("BEGIN EXCLUSIVE")
        publisher.publish(TUTORS, {"tutor_id": "T1", "name": "x"})
        wait_until(lambda: "is back: SQLite: database is locked" in log.read_text(), 60)
        other.execute("ROLLBACK")
    wait_until(lambda: stored(tmp_path) == [("tutors", "T1")], 60)
    process.send_signal(signal.SIGTERM)
    _, console = process.communicate(timeout=60)
    assert "1 processed, 0 failed, 0 dead letters" in console


def test_redis_away_is_one_line(start: Start) -> None:
    process = start("--once", REDIS_URL="redis://127.0.0.1:1/0")
    _, words = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "Traceback" not in words
    assert "Error: Redis at 127.0.0.1:1/0 is not available" in words


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("--database=nowhere/worker.db", "unable to open database file"),
        ("--log=nowhere/worker.log", "No such file or directory"),
    ],
)
def test_what_cannot_work_is_one_line(start: Start, option: str, words: str) -> None:
    process = start("--once", option)
    _, console = process.communicate(timeout=60)
    assert process.returncode == 1
    assert console.startswith("Error: ")
    assert words in console
    assert console.count("\n") == 1
