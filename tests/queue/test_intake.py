"""What a worker takes next, whatever the server's pace. On each kind of server."""

from __future__ import annotations

from queue_core import MessageConsumer, MessagePublisher
from queue_core.intake import Intake
from queue_core.lease import Lease
from queue_core.worker_statistics import Recorder
from tests.queue.workers import SESSIONS, TUTORS, publish


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
