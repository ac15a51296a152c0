"""Tracing a message: under whichever id it is asked for, the whole story comes out, in order."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import text

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.letter_filter import LetterFilter
from queue_core.outcomes import Outcome
from tests.pipeline.conftest import Drain
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.store import Store
from tutormax_pipeline.story import standing, tell
from tutormax_pipeline.trace import MessageTrace, trace

pytestmark = pytest.mark.on_both_databases

TUTORS, SESSIONS = QueueChannels.TUTORS, QueueChannels.SESSIONS
SECRET = "Zoë SECRET"
#: Before the messages are published, and not so long ago that they are expired.
START = datetime.now(UTC) - timedelta(minutes=5)

Traced = Callable[..., MessageTrace]


@pytest.fixture
def traced(client: RedisClient, store: Store) -> Traced:
    """The one message that an id stands for."""

    def one(asked: str, **options: object) -> MessageTrace:
        (found,) = trace(client, store, asked, **options).messages
        return found

    return one


def publish(client: RedisClient, message_id: str = "m-1", **data: object) -> str:
    record = {"tutor_id": "T1", "name": SECRET, **data}
    metadata = {"source": "api", "priority": SECRET}
    MessagePublisher(client).publish(
        TUTORS, record, message_id=message_id, published_at=START, metadata=metadata
    )
    return newest(client)


def newest(client: RedisClient) -> str:
    ((entry_id, _),) = client.redis.xrevrange(client.keys.stream(TUTORS), count=1)
    return entry_id.decode()


def story(message: MessageTrace) -> list[str]:
    return [one.what for one in tell(message)]


def test_what_waits_is_found_in_the_stream_and_said_to_wait(client: RedisClient, traced: Traced) -> None:
    entry_id = publish(client)
    found = traced("m-1")
    assert standing(found) == "waiting"
    assert story(found) == [
        "Published",
        f"Entered tutors as entry {entry_id}",
        "Waits in tutors: nobody has read it",
    ]
    assert tell(found)[0].at == START
    assert tell(found)[0].details == ("fields of its metadata: priority, source",)


def test_what_is_stored_is_told_with_its_run_and_its_row(
    client: RedisClient, drained: Drain, traced: Traced
) -> None:
    entry_id = publish(client)
    drained()
    found = traced("m-1")
    assert standing(found) == "stored"
    assert story(found) == [
        "Published",
        f"Entered tutors as entry {entry_id}",
        "Stored",
        "Is a row of tutors",
    ]
    stored, row = tell(found)[2:]
    assert (stored.run_id, stored.details) == ("run-1", ("delivered once",))
    assert row.aside == "tutor_id T1"


def test_an_entrys_id_finds_its_message(client: RedisClient, drained: Drain, traced: Traced) -> None:
    entry_id = publish(client)
    assert traced(entry_id).message_id == "m-1"
    drained()
    assert traced(entry_id) == traced("m-1")


def test_one_id_of_entries_in_two_streams_finds_both_messages(client: RedisClient, store: Store) -> None:
    for channel, message_id in ((TUTORS, "m-1"), (SESSIONS, "m-2")):
        MessagePublisher(client).publish(
            channel, {"tutor_id": "T", "name": "x", "session_id": "S"}, message_id=message_id
        )
        stream = client.keys.stream(channel)
        ((_, fields),) = client.redis.xrange(stream)
        client.redis.delete(stream)
        client.redis.xadd(stream, fields, id="7-0")
    assert [one.message_id for one in trace(client, store, "7-0").messages] == ["m-1", "m-2"]


def test_a_newer_message_that_replaced_it_is_named(
    client: RedisClient, drained: Drain, traced: Traced
) -> None:
    publish(client)
    MessagePublisher(client).publish(
        TUTORS,
        {"tutor_id": "T1", "name": "y"},
        message_id="m-2",
        published_at=START + timedelta(minutes=1),
    )
    drained()
    (_, row) = tell(traced("m-1"))[-2:]
    assert row.what == "Its row of tutors holds message m-2 by now"
    assert story(traced("m-2"))[-1] == "Is a row of tutors"


def test_without_its_record_the_replaced_message_is_still_accounted_for(
    client: RedisClient, drained: Drain, traced: Traced, store: Store
) -> None:
    publish(client)
    drained()
    client.redis.xtrim(client.keys.stream(TUTORS), maxlen=0, approximate=False)
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM tutors"))
    found = traced("m-1")
    assert tell(found)[0].at == START
    assert tell(found)[1].details == ("no longer in the stream",)
    assert story(found)[-1].startswith("No row of tutors holds it now")


def test_a_duplicate_is_told_after_the_entry_that_was_stored(
    client: RedisClient, drained: Drain, traced: Traced
) -> None:
    publish(client)
    publish(client)
    drained()
    found = traced("m-1")
    assert [one.ledger.outcome for one in found.entries if one.ledger] == [Outcome.STORED, Outcome.DUPLICATE]
    assert standing(found) == "stored"
    assert any(one.startswith("Found to be a duplicate") for one in story(found))


def test_what_a_reader_holds_is_pending_with_who_since_when_and_how_often(
    client: RedisClient, consumer: MessageConsumer, traced: Traced
) -> None:
    publish(client)
    consumer.create_consumer_group(TUTORS)
    assert consumer.read(TUTORS, 1)
    found = traced("m-1")
    assert standing(found) == "pending"
    last = tell(found)[-1]
    assert last.what.startswith("Pending on consumer-of-the-test for ")
    assert last.details == ("delivered once",)


def test_failed_attempts_and_the_next_one_are_told(
    client: RedisClient, consumer: MessageConsumer, traced: Traced
) -> None:
    entry_id = publish(client)
    consumer.create_consumer_group(TUTORS)
    consumer.read(TUTORS, 1)
    consumer.retry(TUTORS, entry_id, "the mail server is away")
    found = traced("m-1")
    assert standing(found) == "waits for its retry"
    (attempt,) = [one for one in tell(found) if "failed" in one.what]
    assert (attempt.what, attempt.details) == (
        "An attempt by consumer-of-the-test failed",
        ("the mail server is away",),
    )
    assert attempt.at is not None
    assert any(one.startswith("Is tried again at ") for one in story(found))


def test_a_dead_letter_is_found_by_all_three_ids(client: RedisClient, drained: Drain, traced: Traced) -> None:
    entry_id = publish(client, rating=9)
    drained()
    (letter,) = dead_letters(client).iterate()
    for asked in ("m-1", entry_id, letter.id):
        found = traced(asked)
        assert (found.message_id, standing(found)) == ("m-1", "dead letter")
    (told,) = [one for one in tell(found) if one.what.startswith("Is dead letter")]
    assert told.what == f"Is dead letter {letter.id} (invalid)"
    assert told.details[0].startswith("rating: ")
    assert "Became a dead letter (invalid)" in story(found)


def test_a_redriven_message_is_told_to_its_end(
    client: RedisClient, store: Store, drained: Drain, traced: Traced
) -> None:
    publish(client, rating=9)
    drained()
    dead_letters(client).redrive(LetterFilter(), dry_run=False)
    again = newest(client)
    assert standing(traced("m-1")) == "waiting"
    assert f"Entered tutors as entry {again}, redriven once" in story(traced("m-1"))
    drained()
    (letter,) = dead_letters(client).iterate()
    dead_letters(client, store).edit(letter.id, {"rating": 5}, who="Ann", why="a slip of the pen")
    drained()
    found = traced("m-1")
    assert standing(found) == "stored"
    assert f"Its dead letter was redriven, as entry {again}" in story(found)
    (edited,) = [one for one in tell(found) if "archived" in one.what]
    assert edited.what.startswith(f"Dead letter {letter.id} (invalid) was edited")
    assert edited.aside == "by Ann: a slip of the pen"
    assert found.envelope is not None
    assert found.envelope.data["rating"] == 5
    told = tell(found)
    assert [one.at for one in told if one.at] == sorted(one.at for one in told if one.at)
    assert traced(letter.id) == found


def test_a_discarded_letter_is_found_by_its_id_and_told_with_who_and_why(
    client: RedisClient, store: Store, drained: Drain, traced: Traced
) -> None:
    publish(client, rating=9)
    drained()
    (letter,) = dead_letters(client).iterate()
    dead_letters(client, store).discard([letter.id], who="Ann", why="a test", dry_run=False)
    found = traced(letter.id)
    assert (found.message_id, standing(found)) == ("m-1", "discarded")
    assert tell(found)[-1].aside == "by Ann: a test"


def test_an_entry_whose_message_cannot_be_read_is_told_by_its_own_id(
    client: RedisClient, drained: Drain, traced: Traced, store: Store
) -> None:
    stream = client.keys.stream(TUTORS)
    entry_id = client.redis.xadd(stream, {"message": "junk"}).decode()
    client.redis.xadd(stream, {"message": "junk too"})
    assert standing(traced(entry_id)) == "waiting"
    drained()
    first = next(dead_letters(client).iterate())
    for asked in (entry_id, first.id):
        found = traced(asked)
        assert (found.message_id, standing(found)) == (None, "dead letter")
        assert [one.id for one in found.letters] == [first.id]
    with store.engine.begin() as connection:
        connection.execute(text("DELETE FROM message_ledger"))
    client.redis.xtrim(stream, maxlen=0, approximate=False)
    assert [one.id for one in traced(entry_id).letters] == [first.id]


def test_an_acknowledged_entry_without_a_ledger_row_is_told_so(
    client: RedisClient, consumer: MessageConsumer, traced: Traced
) -> None:
    entry_id = publish(client)
    consumer.create_consumer_group(TUTORS)
    consumer.read(TUTORS, 1)
    consumer.acknowledge(TUTORS, entry_id)
    assert standing(traced("m-1")) == "unknown"
    assert story(traced("m-1"))[-1].startswith("Is not in the ledger")


def test_a_letter_deleted_by_hand_is_not_taken_for_a_redriven_one(
    client: RedisClient, drained: Drain, traced: Traced
) -> None:
    publish(client, rating=9)
    drained()
    client.redis.delete(client.keys.dead_letter)
    assert standing(traced("m-1")) == "gone from the dead letters"
    assert story(traced("m-1"))[-1] == "Its dead letter is gone: redriven or deleted by hand"


@pytest.mark.parametrize("asked", ["m-2", "5-5", f"{2**64}-0", "", "ümlaut/\n"])
def test_what_nobody_knows_is_not_found_and_the_whole_of_each_stream_was_searched(
    client: RedisClient, store: Store, asked: str
) -> None:
    publish(client)
    found = trace(client, store, asked)
    assert found.messages == ()
    assert [(one.channel.name, one.looked_at, one.complete) for one in found.searches] == [
        ("tutors", 1, True),
        ("sessions", 0, True),
        ("feedback", 0, True),
    ]


def test_the_search_is_bounded_and_says_how_far_it_went(client: RedisClient, store: Store) -> None:
    publish(client)
    for number in range(30):
        publish(client, f"other-{number}")
    counted: list[int] = []
    found = trace(client, store, "m-1", most_entries=25, progress=counted.append)
    assert found.messages == ()
    search = found.searches[0]
    assert (search.looked_at, search.complete, sum(counted)) == (25, False, 25)
    assert search.back_to is not None


def test_nothing_that_is_told_is_out_of_the_message(
    client: RedisClient, store: Store, drained: Drain, traced: Traced
) -> None:
    publish(client)
    publish(client, "m-2", rating=9)
    drained()
    for asked in ("m-1", "m-2"):
        found = traced(asked)
        assert SECRET not in repr(tell(found))
        assert SECRET not in repr(found)


@pytest.mark.parametrize("asked", ["\ud800", "\u0661\u0662-\u0660", "' OR 1=1", "", "0-0"])
def test_an_odd_id_is_one_that_nobody_knows(client: RedisClient, store: Store, asked: str) -> None:
    assert trace(client, store, asked).messages == ()
