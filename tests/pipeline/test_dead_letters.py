"""What becomes of dead letters that are put back: each as its message deserves, and the books balance."""

from __future__ import annotations

from datetime import timedelta

import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.errors import EditRefusedError
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome, Reason
from queue_core.serializer import serialize
from tests.pipeline.conftest import START, Drain, ledger, rows
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.archive import StoreArchive

TUTORS = QueueChannels.TUTORS
ALL = LetterFilter()


@pytest.fixture
def found(client: RedisClient, store: Store) -> DeadLetters:
    return dead_letters(client, store)


def refuse(store: Store, name: str) -> None:
    """Let the database refuse every tutor of this name, as a constraint of its owner would."""
    with store.engine.begin() as connection:
        connection.exec_driver_sql(
            f"CREATE TRIGGER picky BEFORE INSERT ON tutors WHEN NEW.name = '{name}' "
            "BEGIN SELECT RAISE(ABORT, 'no'); END"
        )


def take_back(store: Store) -> None:
    with store.engine.begin() as connection:
        connection.exec_driver_sql("DROP TRIGGER picky")


def assert_nothing_is_left(client: RedisClient, store: Store) -> None:
    seen = snapshot(client, TUTORS)
    assert (seen.waiting, seen.pending, seen.dead) == (0, 0, client.redis.xlen(client.keys.dead_letter))
    assert seen.entries_added == len(ledger(store))


@pytest.mark.parametrize(
    "fields",
    [
        {b"message": b"\xff\xfe\x00 not UTF-8"},
        {b"message": b'{"id": "trunc'},
        {b"message": b"x" * (1_048_576 + 1)},
        {b"other": b"\x00\x01"},
    ],
    ids=["invalid UTF-8", "truncated", "one byte too large", "no message field"],
)
def test_a_letter_has_the_bytes_received_after_a_drain_a_redrive_and_a_drain(
    client: RedisClient, store: Store, drained: Drain, found: DeadLetters, fields: dict[bytes, bytes]
) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), fields)
    for redrives in (0, 1):
        assert drained().outcomes[Outcome.DEAD_LETTERED] == (
            1 if redrives == 0 or b"message" in fields else 0
        )
        (letter,) = found.iterate()
        others = {name: value for name, value in letter.fields.items() if name != b"redrives"}
        assert ({b"message": letter.body} if letter.body is not None else {}) | others == fields
        assert letter.redrives == (redrives if b"message" in fields else 0)
        found.redrive(ALL, dry_run=False)
    drained()
    assert_nothing_is_left(client, store)


def test_once_its_cause_is_gone_a_redriven_message_becomes_a_row(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, found: DeadLetters
) -> None:
    refuse(store, "x")
    message_id = publisher.publish(TUTORS, {"tutor_id": "T1", "name": "x"})
    assert drained().reasons == {Reason.REJECTED: 1}
    take_back(store)
    found.redrive(ALL, dry_run=False)
    assert drained().outcomes == {Outcome.STORED: 1}
    assert [(row["tutor_id"], row["message_id"]) for row in rows(store)] == [("T1", message_id)]
    assert [(one, outcome) for _, one, outcome, _ in ledger(store)] == [
        (message_id, Outcome.DEAD_LETTERED),
        (message_id, Outcome.STORED),
    ]
    assert_nothing_is_left(client, store)


def test_a_redriven_older_message_never_overwrites_a_newer_row(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, found: DeadLetters
) -> None:
    refuse(store, "old")
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": "old"}, published_at=START)
    publisher.publish(TUTORS, {"tutor_id": "T2", "name": "old"}, published_at=START)
    drained()
    newer = START + timedelta(microseconds=1)
    newest = publisher.publish(TUTORS, {"tutor_id": "T1", "name": "new"}, published_at=newer)
    drained()
    take_back(store)
    assert found.redrive(ALL, dry_run=False).redriven == 2
    assert drained().outcomes == {Outcome.STORED: 2}
    assert [(row["tutor_id"], row["name"]) for row in rows(store)] == [("T1", "new"), ("T2", "old")]
    assert rows(store)[0]["message_id"] == newest
    assert_nothing_is_left(client, store)


def test_a_redriven_message_that_is_stored_already_ends_as_a_duplicate(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, found: DeadLetters
) -> None:
    record, stream = {"tutor_id": "T1", "name": "x"}, client.keys.stream(TUTORS)
    expired = serialize(stream, record, message_id="m-1", metadata={"ttl_seconds": 1e-9})
    client.redis.xadd(stream, {"message": expired})
    drained()
    publisher.publish(TUTORS, record, message_id="m-1", ttl_seconds=0)
    drained()
    body = serialize(stream, record, message_id="m-1", metadata={"ttl_seconds": 0})
    client.redis.xadd(client.keys.dead_letter, {"message": body, "channel": "tutors"})
    assert found.redrive(LetterFilter(text=b'"ttl_seconds":0}'), dry_run=False).redriven == 1
    assert drained().outcomes == {Outcome.DUPLICATE: 1}
    assert len(rows(store)) == 1


def test_an_edited_message_becomes_a_row_under_its_own_message_id(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, found: DeadLetters
) -> None:
    message_id = publisher.publish(TUTORS, {"tutor_id": "T1", "name": "x", "rating": 50}, published_at=START)
    assert drained().reasons == {Reason.INVALID: 1}
    (letter,) = found.iterate()
    found.edit(letter.id, {"rating": 5}, who="ann", why="typo")
    assert drained().outcomes == {Outcome.STORED: 1}
    (row,) = rows(store)
    assert (row["message_id"], row["rating"], row["published_at"]) == (message_id, 5, START)
    assert [one.body for one in StoreArchive(store).letters()] == [letter.body]
    assert_nothing_is_left(client, store)


def test_a_message_from_another_channel_is_accepted_by_an_empty_edit(
    client: RedisClient, store: Store, drained: Drain, found: DeadLetters
) -> None:
    body = serialize("other:tutors", {"tutor_id": "T1", "name": "x"}, message_id="m-1")
    client.redis.xadd(client.keys.stream(TUTORS), {"message": body})
    assert drained().reasons == {Reason.INVALID: 1}
    (letter,) = found.iterate()
    found.edit(letter.id, {}, who="ann", why="was meant for us")
    assert drained().outcomes == {Outcome.STORED: 1}


def test_an_edit_that_the_contract_refuses_moves_nothing_and_names_the_field(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, found: DeadLetters
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": "SECRET", "rating": 50})
    drained()
    (letter,) = found.iterate()
    with pytest.raises(EditRefusedError, match="rating: ") as refused:
        found.edit(letter.id, {"rating": 7, "name": "SECRET"}, who="ann", why="typo")
    assert "SECRET" not in str(refused.value)
    assert (found.count(), StoreArchive(store).letters()) == (1, [])
    assert drained().messages == 0


def test_a_discarded_letter_leaves_the_books_as_they_are(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, found: DeadLetters
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": "x", "rating": 50})
    drained()
    assert found.discard(ALL, who="ann", why="test data", dry_run=False).discarded == 1
    assert drained().messages == 0
    assert [outcome for *_, outcome, _ in ledger(store)] == [Outcome.DEAD_LETTERED]
    assert_nothing_is_left(client, store)


def test_no_error_of_a_letter_holds_a_value_of_its_message(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, found: DeadLetters
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": ["SECRET"], "email": 5, "rating": "SECRET"})
    drained()
    assert "SECRET" not in repr(found.groups()) + repr(list(found.iterate()))
