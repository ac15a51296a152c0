"""A stop that is asked for ends a drain in order; asked for again, it ends at once."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot
from queue_core.stopping import stop_on_signals
from tests.conftest import wait_until
from tests.pipeline.conftest import Drainer
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store

SESSIONS = QueueChannels.SESSIONS


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_drain_in_order_and_the_rest_is_there_at_once(
    client: RedisClient, valkey: EmbeddedServer, drainer: Drainer, store: Store, number: signal.Signals
) -> None:
    records = ({"session_id": f"S{n:05d}", "tutor_id": "T"} for n in range(10_000))
    MessagePublisher(client).publish_batch(SESSIONS, records)
    process = drainer.start(client, valkey, store.address, batch_size=20)
    wait_until(lambda: store.row_count(SESSIONS), timeout_seconds=30)
    os.kill(process, number)
    code, report = drainer.wait()
    assert code == 0
    assert report is not None
    messages, stopped = report
    assert stopped
    assert 0 < messages < 10_000
    assert messages == sum(store.outcome_counts(SESSIONS).values())
    left = snapshot(client, SESSIONS)
    assert left.waiting + left.pending == 10_000 - messages
    after = drain(MessageConsumer(client), store, SESSIONS, run_id="next")
    assert (after.messages, after.repeated) == (10_000 - messages, 0)
    assert (after.after.waiting, after.after.pending) == (0, 0)


def test_a_signal_ends_a_drain_that_lingers(
    client: RedisClient, valkey: EmbeddedServer, drainer: Drainer, tmp_path: Path
) -> None:
    process = drainer.start(client, valkey, f"sqlite:///{tmp_path}/store.db", linger_seconds=60)
    wait_until(lambda: client.redis.info("clients")["blocked_clients"], timeout_seconds=30)
    os.kill(process, signal.SIGTERM)
    assert drainer.wait() == (0, [0, True])
    assert client.redis.xinfo_consumers(client.keys.stream(SESSIONS), "tutormax-workers") == []


def test_a_second_signal_acts_as_usual_unless_it_is_the_same_request() -> None:
    usual: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: usual.append(number))
    try:
        with stop_on_signals() as stop:
            assert not stop()
            signal.raise_signal(signal.SIGTERM)
            signal.raise_signal(signal.SIGTERM)
            assert stop()
            assert usual == []
            stop.requested_at -= 1.5
            signal.raise_signal(signal.SIGTERM)
            assert usual == [signal.SIGTERM]
        signal.raise_signal(signal.SIGTERM)
        assert usual == [signal.SIGTERM] * 2
    finally:
        signal.signal(signal.SIGTERM, before)


def test_in_another_thread_signals_stay_as_they_are() -> None:
    before = signal.getsignal(signal.SIGTERM)
    inside = []

    def enter() -> None:
        with stop_on_signals() as stop:
            inside.append((signal.getsignal(signal.SIGTERM), stop()))

    thread = threading.Thread(target=enter)
    thread.start()
    thread.join()
    assert inside == [(before, False)]
