"""What is wrong with the queue, beyond the books: a group that is gone, a queue that is nearly full."""

from __future__ import annotations

from datetime import UTC, datetime

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import CONSUMER_GROUP
from tests.pipeline.conftest import publish
from tutormax_pipeline.books import look
from tutormax_pipeline.doctor import queue
from tutormax_pipeline.drain import drain
from tutormax_pipeline.findings import Finding
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS


def drain_tutors(client: RedisClient, store: Store) -> None:
    drain(MessageConsumer(client), store, TUTORS, run_id="r")


def found(client: RedisClient, store: Store) -> list[Finding]:
    return list(queue.findings(client, store, [look(client, store, TUTORS, datetime.now(UTC))]))


def test_a_group_that_is_gone_is_found_until_the_next_drain_makes_it_anew(
    client: RedisClient, store: Store, publisher: MessagePublisher
) -> None:
    publish(publisher, 3)
    assert found(client, store) == []
    drain_tutors(client, store)
    assert found(client, store) == []
    client.redis.xgroup_destroy(client.keys.stream(TUTORS), CONSUMER_GROUP)
    (finding,) = [one for one in found(client, store) if one.check == "missing_group"]
    assert "3 entries" in finding.summary
    drain_tutors(client, store)
    assert found(client, store) == []


def test_a_queue_that_is_nearly_full_is_found(
    client: RedisClient, store: Store, publisher: MessagePublisher
) -> None:
    small = RedisClient(client.settings.model_copy(update={"queue_maxlen": 10}))
    with small:
        publish(publisher, 7)
        assert found(small, store) == []
        publish(publisher, 1, start=7)
        (finding,) = found(small, store)
    assert finding.check == "queue_full"
    assert finding.summary.startswith("8 entries are unprocessed, of 10")
