"""examples/queue_example.py, as a person runs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from queue_core import RedisClient
from queue_core.embedded import EmbeddedServer

ROOT = Path(__file__).parents[2]


def run(folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "queue_example.py")],
        env={**os.environ, "PYTHONPATH": str(ROOT), "REDIS_RETRY_BACKOFF_MS": "1", **variables},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("named", [True, False], ids=["the Redis that is named", "one of its own"])
def test_it_tells_the_whole_story(
    valkey: EmbeddedServer, client: RedisClient, tmp_path: Path, named: bool
) -> None:
    done = run(tmp_path, **({"REDIS_URL": valkey.url} if named else {}))
    assert done.returncode == 0, done.stderr
    for words in (
        "2. Published a batch: 10 sessions",
        "3. Read {'tutor_id': 'T001', 'name': 'Ann'}",
        "Acknowledged: 0 pending",
        "4. A worker: 9 processed, 4 tried again, 1 dead letter",
        "retries_exhausted after 4 attempts; last attempt: ValueError in handle_session",
        "tutors: 0 waiting, 0 pending, 0 dead",
        "sessions: 0 waiting, 0 pending, 1 dead",
    ):
        assert words in done.stdout
    assert list(client.redis.scan_iter("queue-example-*")) == []


def test_redis_away_is_one_line(tmp_path: Path) -> None:
    done = run(tmp_path, REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 1
    assert done.stderr.startswith("Error: Redis at 127.0.0.1:1/0 is not available")
    assert len(done.stderr.splitlines()) == 1
