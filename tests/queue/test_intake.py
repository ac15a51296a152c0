"""What a worker takes next, whatever the server's pace. On each kind of server."""

from __future__ import annotations

import time

from queue_core import MessageConsumer, MessagePublisher, RedisClient
from queue_core.intake import Intake
from queue_core.lease import Lease
from queue_core.worker_statistics import Recorder
from tests.conftest import wait_until
from tests.queue.conftest import MakeWorker
from tests.queue.workers import SESSIONS, TUTORS, letters, publish


def test_new_messages_come_also_where_a_round_takes_longer_than_the_poll_interval(
    publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    channels = [TUTORS, SESSIONS]
    # The next look is due at once, as it is for whoever waited for answers meanwhile.
    intake = Intake(consumer, channels, Lease(consumer), Recorder(channels), batch_size=10, poll_seconds=0)
    assert intake.next(wait=True) is None
    publish(publisher, 3)
    batch = intake.next(wait=True)
    assert batch is not None
    assert (batch.channel, len(batch.entries)) == (TUTORS, 3)


def test_what_was_received_in_time_does_not_expire_while_it_waits_for_its_turn(
    client: RedisClient, publisher: MessagePublisher, make: MakeWorker
) -> None:
    handled: list[object] = []
    worker = make(
        lambda data: handled.append(data) or True, [TUTORS, SESSIONS], worker_poll_interval_ms=60_000
    )
    assert worker._intake.next(wait=True) is None
    session = {"session_id": "S", "tutor_id": "T"}
    publisher.publish(SESSIONS, session, metadata={"ttl_seconds": 0.5})
    assert worker._intake.next(wait=True) is None  # the wait gave it
    expired_at = time.time() + 0.5
    wait_until(lambda: time.time() > expired_at)
    assert worker.run_once() == 1
    assert (handled, letters(client)) == ([session], [])
