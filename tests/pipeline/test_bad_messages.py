"""A message that can never be stored: a clear outcome, its exact bytes kept, its neighbours untouched."""

from __future__ import annotations

import json
from collections import Counter
from datetime import UTC, datetime

import orjson
import pytest
from sqlalchemy import text

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.outcomes import Outcome, Reason
from queue_core.serializer import serialize
from tests.conftest import settings_for
from tests.pipeline.conftest import Drain, assert_books_balance, ledger, letters, publish, rows
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS


def bad_bodies(stream: str) -> dict[str, tuple[Reason, bytes]]:
    def body(**data: object) -> bytes:
        return serialize(stream, {"tutor_id": "BAD", "name": "SECRET", **data})

    without_checksum = orjson.loads(body())
    del without_checksum["checksum"]
    return {
        "not JSON": (Reason.MALFORMED, b"SECRET"),
        "empty": (Reason.MALFORMED, b""),
        "invalid UTF-8": (Reason.MALFORMED, body().replace(b"SECRET", b"\xff\xfe")),
        "truncated": (Reason.MALFORMED, body()[:-9]),
        "nested too deep": (Reason.MALFORMED, b"[" * 100_000),
        "a list": (Reason.MALFORMED, b'["SECRET"]'),
        "no checksum": (Reason.MALFORMED, orjson.dumps(without_checksum)),
        "the same key twice": (
            Reason.MALFORMED,
            body().replace(b'"name":', b'"name":"other","name":'),
        ),
        "NaN": (Reason.MALFORMED, body(rating=4).replace(b'"rating":4', b'"rating":NaN')),
        "another name": (Reason.CHECKSUM_MISMATCH, body().replace(b"SECRET", b"SECRET!")),
        "too large": (Reason.TOO_LARGE, body(notes="x" * 1_048_576)),
        "wrong channel": (Reason.INVALID, serialize("other:tutors", {"tutor_id": "BAD", "name": "x"})),
        "rating of 6": (Reason.INVALID, body(rating=6)),
        "rating as text": (Reason.INVALID, body(rating="4.8")),
        "no name": (Reason.INVALID, serialize(stream, {"tutor_id": "BAD"})),
        "no id": (Reason.INVALID, body(tutor_id=None)),
        "no fields": (Reason.INVALID, serialize(stream, {})),
        "expired": (
            Reason.EXPIRED,
            serialize(stream, {"tutor_id": "BAD", "name": "x"}, metadata={"ttl_seconds": 1e-9}),
        ),
    }


@pytest.mark.parametrize("batch_size", [1, 7, 2_000])
def test_each_bad_message_has_its_outcome_and_its_neighbours_are_stored(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, batch_size: int
) -> None:
    stream = client.keys.stream(TUTORS)
    bad = bad_bodies(stream)
    added = []
    for number, (_, body) in enumerate(bad.values()):
        publish(publisher, 1, start=number)
        added.append(client.redis.xadd(stream, {"message": body}))
    report = drained(batch_size=batch_size)
    assert report.outcomes == {Outcome.STORED: len(bad), Outcome.DEAD_LETTERED: len(bad)}
    assert report.reasons == Counter(reason for reason, _ in bad.values())
    assert (report.after.pending, report.after.waiting) == (0, 0)
    found = letters(client)
    assert [letter[b"reason"].decode() for letter in found] == [reason for reason, _ in bad.values()]
    assert [letter[b"message"] for letter in found] == [body for _, body in bad.values()]
    assert [letter[b"entry_id"] for letter in found] == added
    assert {(letter[b"channel"], letter[b"deliveries"]) for letter in found} == {(b"tutors", b"1")}
    assert all(orjson.loads(letter[b"errors"]) for letter in found)
    assert b"SECRET" not in b"".join(letter[b"errors"] for letter in found)
    reasons = {entry_id: reason for entry_id, _, _, reason in ledger(store) if reason}
    assert reasons == dict(zip(map(bytes.decode, added), (reason for reason, _ in bad.values()), strict=True))
    assert [row["tutor_id"] for row in rows(store)] == [f"T{n:05d}" for n in range(len(bad))]
    assert_books_balance(client, store)


@pytest.mark.parametrize("count", [1, 5_000])
def test_an_entry_without_a_message_keeps_the_fields_it_has(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, count: int
) -> None:
    publish(publisher, 2)
    client.redis.xadd(client.keys.stream(TUTORS), {f"other{n}": b"\x00\xff" for n in range(count)})
    publish(publisher, 2, start=2)
    assert drained().outcomes == {Outcome.STORED: 4, Outcome.DEAD_LETTERED: 1}
    (letter,) = letters(client)
    assert letter[b"reason"].decode() == Reason.MALFORMED
    assert b"message" not in letter
    if count == 1:
        assert letter[b"field:other0"] == b"\x00\xff"
    else:
        assert len(json.loads(letter[b"fields"].decode("latin-1"))) == count
    assert_books_balance(client, store)


def test_a_value_that_only_the_database_refuses_is_a_dead_letter_with_its_bytes(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    with store.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER picky BEFORE INSERT ON tutors WHEN NEW.rating > 4 "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    publisher.publish_batch(
        TUTORS, [{"tutor_id": f"T{n}", "name": "SECRET", "rating": n % 3 + 2.5} for n in range(30)]
    )
    sent = [fields[b"message"] for _, fields in client.redis.xrange(client.keys.stream(TUTORS))]
    report = drained()
    assert report.outcomes == {Outcome.STORED: 20, Outcome.DEAD_LETTERED: 10}
    assert report.reasons == {Reason.REJECTED: 10}
    assert [letter[b"message"] for letter in letters(client)] == sent[2::3]
    assert b"SECRET" not in b"".join(letter[b"errors"] for letter in letters(client))
    assert_books_balance(client, store)


def test_an_old_entry_expires_unless_its_own_time_to_live_says_otherwise(
    client: RedisClient, store: Store, drained: Drain
) -> None:
    stream = client.keys.stream(TUTORS)
    given = [{}, {"ttl_seconds": 0}, {"ttl_seconds": "soon"}, {"ttl_seconds": False}, {"ttl_seconds": 10**12}]
    for number, metadata in enumerate(given, start=1):
        body = serialize(stream, {"tutor_id": f"T{number}", "name": "x"}, metadata=metadata)
        client.redis.xadd(stream, {"message": body}, id=f"{number}-0")
    assert drained().reasons == {Reason.EXPIRED: 3}
    assert [row["tutor_id"] for row in rows(store)] == ["T2", "T5"]
    assert [letter[b"entry_id"] for letter in letters(client)] == [b"1-0", b"3-0", b"4-0"]


def test_the_age_that_counts_is_that_of_the_entry_and_not_that_of_the_envelope(
    store: Store, publisher: MessagePublisher, drained: Drain
) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T1", "name": "x"}, published_at=datetime(2020, 1, 1, tzinfo=UTC))
    assert drained().outcomes == {Outcome.STORED: 1}


def test_with_a_default_time_to_live_of_zero_nothing_expires(valkey: EmbeddedServer, store: Store) -> None:
    with RedisClient(settings_for(valkey, message_ttl_seconds=0)) as client:
        stream = client.keys.stream(TUTORS)
        for number, metadata in enumerate([{}, {"ttl_seconds": 60}], start=1):
            body = serialize(stream, {"tutor_id": f"T{number}", "name": "x"}, metadata=metadata)
            client.redis.xadd(stream, {"message": body}, id=f"{number}-0")
        report = drain(MessageConsumer(client), store, TUTORS, run_id="r")
    assert report.outcomes == {Outcome.STORED: 1, Outcome.DEAD_LETTERED: 1}
    assert [row["tutor_id"] for row in rows(store)] == ["T1"]
