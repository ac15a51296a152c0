"""Where one entry stands, at every step of its life."""

from __future__ import annotations

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.entry_state import EntryState, entry_state
from tests.queue.conftest import tutor

TUTORS = QueueChannels.TUTORS


def publish(client: RedisClient) -> str:
    MessagePublisher(client).publish(TUTORS, tutor(1))
    ((entry_id, _),) = client.redis.xrevrange(client.keys.stream(TUTORS), count=1)
    return entry_id.decode()


def place(state: EntryState) -> tuple[bool, bool, bool]:
    return state.entry is not None, state.waiting, state.pending is not None


def test_it_waits_is_pending_is_done_and_is_trimmed(client: RedisClient, consumer: MessageConsumer) -> None:
    entry_id = publish(client)
    assert place(entry_state(client, TUTORS, entry_id)) == (True, True, False)
    consumer.create_consumer_group(TUTORS)
    assert place(entry_state(client, TUTORS, entry_id)) == (True, True, False)
    consumer.read(TUTORS, 1)
    held = entry_state(client, TUTORS, entry_id)
    assert place(held) == (True, False, True)
    assert held.pending is not None
    assert (held.pending.consumer, held.pending.deliveries) == ("one", 1)
    consumer.acknowledge(TUTORS, entry_id)
    assert place(entry_state(client, TUTORS, entry_id)) == (True, False, False)
    client.redis.xtrim(client.keys.stream(TUTORS), maxlen=0, approximate=False)
    gone = entry_state(client, TUTORS, entry_id)
    assert (place(gone), gone.delivered, gone.exists) == ((False, False, False), True, False)


def test_failed_attempts_and_the_next_one_are_shown(client: RedisClient, consumer: MessageConsumer) -> None:
    entry_id = publish(client)
    consumer.create_consumer_group(TUTORS)
    consumer.read(TUTORS, 1)
    assert consumer.retry(TUTORS, entry_id, "no luck")
    state = entry_state(client, TUTORS, entry_id)
    assert [(one.consumer, one.error) for one in state.attempts] == [("one", "no luck")]
    assert state.retry_due is not None
    assert state.pending is not None


def test_what_was_deleted_while_pending_is_still_known(
    client: RedisClient, consumer: MessageConsumer
) -> None:
    entry_id = publish(client)
    consumer.create_consumer_group(TUTORS)
    consumer.read(TUTORS, 1)
    client.redis.xdel(client.keys.stream(TUTORS), entry_id)
    state = entry_state(client, TUTORS, entry_id)
    assert (place(state), state.exists) == ((False, False, True), True)


def test_an_entry_that_never_was_is_nowhere(client: RedisClient) -> None:
    assert place(entry_state(client, TUTORS, "5-5")) == (False, False, False)
    publish(client)
    assert not entry_state(client, TUTORS, "5-5").exists
