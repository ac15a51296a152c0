"""The example that watches the queues, run as a reader runs it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from tests.conftest import wait_until
from tests.queue.letters import bury

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, str(ROOT / "examples" / "monitor_queues.py"), "--interval", "0.1"]
TUTORS = QueueChannels.TUTORS


def environment(**changes: str) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT), **changes}


def run(*options: str, **changes: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *options],
        env=environment(**changes),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_snapshot_shows_channels_consumers_and_dead_letters(
    valkey: EmbeddedServer, client: RedisClient, publisher: MessagePublisher
) -> None:
    bury(client, 1)
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "Ann"} for n in range(3)])
    MessageConsumer(client, "mine").read(TUTORS, 2)
    done = run("--snapshot", REDIS_URL=valkey.url, REDIS_KEY_PREFIX=client.keys.prefix)
    assert (done.returncode, done.stderr) == (0, "")
    (row,) = [line for line in done.stdout.splitlines() if line.startswith("tutors")]
    assert row.split()[1:5] == ["1", "2", "0", "1"]
    assert row.split()[-2:] == ["0.0", "0.0"]
    assert "mine holds 2" in done.stdout
    assert "dead: 1 of tutors, rejected" in done.stdout
    assert "Ann" not in done.stdout


def test_what_is_missing_is_one_line() -> None:
    done = run("--snapshot", REDIS_HOST="127.0.0.1", REDIS_PORT="1")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Redis at 127.0.0.1:1/0 is not available")
    assert done.stderr.count("\n") == 1
    done = run(REDIS_PORT="many")
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
    assert "REDIS_PORT" in done.stderr


def test_live_it_goes_on_until_it_is_asked_to_end(
    valkey: EmbeddedServer, client: RedisClient, tmp_path: Path
) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            COMMAND,
            env=environment(REDIS_URL=valkey.url, REDIS_KEY_PREFIX=client.keys.prefix),
            stdout=output,
            stderr=output,
        )
    try:
        wait_until(lambda: log.read_text().count("Queues on") >= 2, 30, "two looks")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
        assert "Traceback" not in log.read_text()
    finally:
        process.kill()
        process.wait()
