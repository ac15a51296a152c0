"""Killing a drain at any moment changes nothing in the tables at the end."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome
from tests.conftest import settings_for
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store

SESSIONS = QueueChannels.SESSIONS
MESSAGES = 20_000
KILLS = 20

DRAIN = """
import sys
from queue_core import MessageConsumer, QueueChannels, RedisClient, RedisSettings
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.stopping import stop_on_signals
from tutormax_pipeline.store import Store

url, prefix, store, batch_size = sys.argv[1:]
settings = RedisSettings.load(url=url, key_prefix=prefix, worker_max_processing_time_seconds=0.05)
with RedisClient(settings) as client, Store.open(store) as tables, stop_on_signals() as stop:
    print("ready", flush=True)
    limits = DrainLimits(batch_size=int(batch_size))
    consumer, channel = MessageConsumer(client), QueueChannels.SESSIONS
    report = drain(consumer, tables, channel, run_id="r", limits=limits, stop=stop)
    print(report.messages, report.stopped, flush=True)
"""


def start(
    client: RedisClient, server: EmbeddedServer, store: str, batch_size: int
) -> subprocess.Popen[bytes]:
    arguments = [server.url, client.settings.key_prefix, store, str(batch_size)]
    process = subprocess.Popen([sys.executable, "-c", DRAIN, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def publish(client: RedisClient, count: int) -> None:
    records = ({"session_id": f"S{n:05d}", "tutor_id": "T"} for n in range(count))
    MessagePublisher(client).publish_batch(SESSIONS, records)


@pytest.mark.timeout(180)
def test_twenty_kills_over_twenty_thousand_messages(valkey: EmbeddedServer, tmp_path: Path) -> None:
    dice = random.Random(20261107)
    address = f"sqlite:///{tmp_path}/store.db"
    settings = settings_for(valkey, worker_max_processing_time_seconds=0.05)
    with RedisClient(settings) as client, Store.open(address) as store:
        publish(client, MESSAGES)
        progress = []
        for _ in range(KILLS):
            process = start(client, valkey, address, batch_size=100)
            time.sleep(dice.uniform(0.0, 0.06))
            process.send_signal(signal.SIGKILL)
            process.wait()
            progress.append(sum(store.outcome_counts(SESSIONS).values()))
        assert len(set(progress)) > KILLS / 3, "the kills were to fall between batches of one long drain"
        deadline = time.monotonic() + 60
        while (left := snapshot(client, SESSIONS)).waiting or left.pending:
            assert time.monotonic() < deadline
            drain(MessageConsumer(client), store, SESSIONS, run_id="last")
        assert store.outcome_counts(SESSIONS) == {
            Outcome.STORED: MESSAGES,
            Outcome.DUPLICATE: 0,
            Outcome.DEAD_LETTERED: 0,
        }
        assert store.row_count(SESSIONS) == MESSAGES
        seen = snapshot(client, SESSIONS)
        assert (seen.entries_added, seen.waiting, seen.pending) == (MESSAGES, 0, 0)


def test_sigterm_ends_a_drain_clean_and_the_rest_is_there_at_once(
    client: RedisClient, valkey: EmbeddedServer, store: Store, tmp_path: Path
) -> None:
    publish(client, 10_000)
    process = start(client, valkey, f"sqlite:///{tmp_path}/store.db", batch_size=50)
    deadline = time.monotonic() + 30
    while not sum(store.outcome_counts(SESSIONS).values()):
        assert time.monotonic() < deadline
    process.terminate()
    out, _ = process.communicate(timeout=30)
    messages, stopped = out.split()
    assert (process.returncode, stopped) == (0, b"True")
    assert 0 < int(messages) < 10_000
    assert orjson.loads(messages) == sum(store.outcome_counts(SESSIONS).values())
    report = drain(MessageConsumer(client), store, SESSIONS, run_id="next")
    assert report.messages == 10_000 - int(messages)
    assert (report.after.waiting, report.after.pending) == (0, 0)
