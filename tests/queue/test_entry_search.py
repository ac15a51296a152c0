"""Finding the entries of a message in a stream that has no index of them."""

from __future__ import annotations

import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.entry_search import find_entries, message_id_of
from tests.queue.conftest import tutor

TUTORS = QueueChannels.TUTORS


def publish(client: RedisClient, *message_ids: str) -> list[str]:
    for number, message_id in enumerate(message_ids):
        MessagePublisher(client).publish(TUTORS, tutor(number), message_id=message_id)
    return [entry_id.decode() for entry_id, _ in client.redis.xrange(client.keys.stream(TUTORS))]


@pytest.mark.parametrize("message_id", ["m-1", "ümlaut", "a/b\\c\"d'", "%d+-.*", "\u2028"])
def test_every_entry_of_the_message_is_found_and_no_other(client: RedisClient, message_id: str) -> None:
    first, _, third, _ = publish(client, message_id, "other", message_id, f"not-{message_id}")
    found = find_entries(client, TUTORS, message_id, most_entries=100)
    assert (found.entry_ids, found.looked_at, found.complete) == ((first, third), 4, True)


def test_an_id_that_is_only_in_the_data_is_not_taken_for_the_messages_own(client: RedisClient) -> None:
    MessagePublisher(client).publish(TUTORS, {"tutor_id": "m-1", "name": "x"}, message_id="m-2")
    assert find_entries(client, TUTORS, "m-1", most_entries=100).entry_ids == ()


def test_a_stream_of_several_pages_is_searched_to_its_beginning(client: RedisClient) -> None:
    ids = publish(client, "wanted", *(f"m-{number}" for number in range(1_100)))
    steps: list[int] = []
    found = find_entries(client, TUTORS, "wanted", most_entries=10_000, progress=steps.append)
    assert (found.entry_ids, found.looked_at, found.complete) == ((ids[0],), 1_101, True)
    assert sum(steps) == 1_101
    assert len(steps) > 2


@pytest.mark.parametrize("most", [1, 19, 20, 21, 45])
def test_it_looks_at_no_more_than_it_may(client: RedisClient, most: int) -> None:
    ids = publish(client, *(f"m-{number}" for number in range(50)))
    found = find_entries(client, TUTORS, "m-0", most_entries=most)
    assert (found.looked_at, found.complete, found.entry_ids) == (most, False, ())
    reached = find_entries(client, TUTORS, f"m-{50 - most}", most_entries=most)
    assert reached.entry_ids == (ids[50 - most],)


def test_a_search_that_just_reaches_the_beginning_is_complete(client: RedisClient) -> None:
    publish(client, *(f"m-{number}" for number in range(40)))
    assert find_entries(client, TUTORS, "nope", most_entries=40).complete
    assert not find_entries(client, TUTORS, "nope", most_entries=39).complete


def test_where_there_is_no_stream_there_is_nothing_to_look_at(client: RedisClient) -> None:
    found = find_entries(client, TUTORS, "m-1", most_entries=100)
    assert (found.entry_ids, found.looked_at, found.back_to, found.complete) == ((), 0, None, True)


def test_an_unreadable_message_has_no_id() -> None:
    assert message_id_of(b"junk") is None
    assert message_id_of(None) is None
