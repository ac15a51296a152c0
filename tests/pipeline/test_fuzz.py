"""Whatever is in a stream has one outcome; what is stored reads back equal, what is dead keeps its bytes.

In CI (``TUTORMAX_FORBID_SKIPS``) the same examples are tried each time; elsewhere new ones.
"""

from __future__ import annotations

import json
import os
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from queue_core import Channel, MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.errors import PublishError
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome
from queue_core.serializer import serialize
from tests.conftest import settings_for
from tests.pipeline.conftest import ledger, letters, rows
from tests.pipeline.nasty import BODIES, KEYS, TEXTS, VALUES
from tests.queue.json_values import values
from tutormax_pipeline.drain import drain
from tutormax_pipeline.records import record_class
from tutormax_pipeline.store import Store

TUTORS, SESSIONS = QueueChannels.TUTORS, QueueChannels.SESSIONS

fuzz = settings(
    max_examples=60,
    deadline=None,
    derandomize="TUTORMAX_FORBID_SKIPS" in os.environ,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
)


class Place:
    """A queue and a store that examples share; each looks at its own entries only."""

    def __init__(self, client: RedisClient, store: Store) -> None:
        self.client, self.store = client, store

    def add(self, channel: Channel, bodies: list[bytes]) -> dict[str, bytes]:
        """Add bodies to the stream as they are; gives them by entry id."""
        pipeline = self.client.pipeline()
        for body in bodies:
            pipeline.xadd(self.client.keys.stream(channel), {"message": body})
        return {entry_id.decode(): body for entry_id, body in zip(pipeline.execute(), bodies, strict=True)}

    def entries(self, channel: Channel, after: str) -> dict[str, bytes]:
        """Bodies by entry id, of the entries after one."""
        found = self.client.redis.xrange(self.client.keys.stream(channel), f"({after}", "+")
        return {entry_id.decode(): fields[b"message"] for entry_id, fields in found}

    def drain(self, channel: Channel) -> None:
        report = drain(MessageConsumer(self.client), self.store, channel, run_id="fuzz")
        assert report.retried == 0
        seen = snapshot(self.client, channel)
        assert (seen.waiting, seen.pending) == (0, 0)

    def assert_one_outcome_each(self, channel: Channel, sent: dict[str, bytes]) -> Counter[str]:
        """Each entry has one ledger row; stored ones read back equal, dead ones kept their bytes."""
        outcomes = {
            entry_id: (outcome, message_id)
            for entry_id, message_id, outcome, _ in ledger(self.store, channel)
            if entry_id in sent
        }
        assert outcomes.keys() == sent.keys()
        dead = Counter(
            (letter[b"entry_id"].decode(), letter[b"message"])
            for letter in letters(self.client)
            if letter[b"channel"].decode() == channel.name and letter[b"entry_id"].decode() in sent
        )
        assert dead == Counter(
            (entry_id, sent[entry_id])
            for entry_id, (outcome, _) in outcomes.items()
            if outcome == Outcome.DEAD_LETTERED
        )
        table = {row[channel.id_field]: row for row in rows(self.store, channel)}
        for entry_id, (outcome, message_id) in outcomes.items():
            if outcome != Outcome.STORED:
                continue
            # Read by Python's own json, which shares no code with what stored it.
            data = json.loads(sent[entry_id])["data"]
            row = table[data[channel.id_field]]
            if row["entry_id"] == entry_id:
                assert row["message_id"] == message_id
                assert_reads_back(channel, row, data)
        return Counter(outcome for outcome, _ in outcomes.values())


@pytest.fixture(scope="module")
def place(valkey: EmbeddedServer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    address = f"sqlite:///{tmp_path_factory.mktemp('fuzz')}/store.db"
    with RedisClient(settings_for(valkey)) as client, Store.open(address) as store:
        yield Place(client, store)


def assert_reads_back(channel: Channel, row: dict[str, Any], data: dict[str, Any]) -> None:
    """A row holds the values of a record: in its columns, and in ``extra`` what the record does not list."""
    fields = record_class(channel).model_fields
    for name in fields:
        expected = data.get(name)
        if isinstance(row[name], datetime):
            moment = datetime.fromisoformat(expected)
            expected = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
        if isinstance(expected, (dict, list)):
            assert exact(row[name]) == exact(expected)
        else:
            assert row[name] == expected
    unlisted = {name: value for name, value in data.items() if name not in fields}
    assert exact(row["extra"]) == exact(unlisted or None)


def exact(value: object) -> str:
    """Text that is the same for the same value only: 1 is not 1.0, and -0.0 not 0.0."""
    return json.dumps(value, sort_keys=True)


def envelope(channel: str, data: bytes, *, message_id: str) -> bytes:
    """An envelope around the text of its data, with the right checksum where it can have one."""
    try:
        digest = orjson.loads(serialize(channel, json.loads(data)))["checksum"]
    except (ValueError, PublishError, RecursionError):
        digest = "0" * 64
    return (
        b'{"id":"%s","timestamp":"2026-11-07T21:00:00Z","channel":"%s","data":%s,"metadata":{},"checksum":"%s"}'
        % (message_id.encode(), channel.encode(), data, digest.encode())
    )


def test_nasty_bodies_are_dead_letters_with_their_exact_bytes(place: Place) -> None:
    sent = place.add(TUTORS, list(BODIES.values()))
    place.drain(TUTORS)
    assert place.assert_one_outcome_each(TUTORS, sent) == {Outcome.DEAD_LETTERED: len(BODIES)}


#: The nasty values that mean the same to every reader of JSON.
CLEAR = {
    "zero with a sign",
    "zero with a sign, as an integer",
    "the least number",
    "below the least number",
    "the largest number",
    "many digits",
    "an exponent in capitals",
    "an integer as a float",
    "2^53 - 1",
    "the same key in two compositions",
    "an empty key",
    "a prototype",
    "Python's own names",
    "a pair of surrogates",
    "an escaped slash",
    "nested 60 deep",
    "1,000 keys",
    "spaces within",
}
OBJECTS = {
    "the same key in two compositions",
    "an empty key",
    "a prototype",
    "Python's own names",
    "1,000 keys",
}
SMALL = {
    "zero with a sign",
    "zero with a sign, as an integer",
    "the least number",
    "below the least number",
    "many digits",
    "an integer as a float",
}


@pytest.mark.parametrize(
    ("field", "taken"),
    [
        ("unlisted", CLEAR),
        ("metrics", OBJECTS),
        ("rating", SMALL),
        ("sessions_count", {"zero with a sign, as an integer", "2^53 - 1"}),
    ],
)
def test_nasty_values_in_a_field_are_stored_where_they_are_clear_and_fit(
    place: Place, field: str, taken: set[str]
) -> None:
    stream = place.client.keys.stream(TUTORS)
    bodies = {
        name: envelope(
            stream,
            b'{"tutor_id":"%s-%d","name":"x","%s":%s}' % (field.encode(), number, field.encode(), value),
            message_id=f"{field}-{number}",
        )
        for number, (name, value) in enumerate(VALUES.items())
    }
    sent = place.add(TUTORS, list(bodies.values()))
    place.drain(TUTORS)
    outcomes = place.assert_one_outcome_each(TUTORS, sent)
    assert outcomes == {Outcome.STORED: len(taken), Outcome.DEAD_LETTERED: len(VALUES) - len(taken)}
    stored = {row["entry_id"] for row in rows(place.store)}
    assert {name for name, entry_id in zip(bodies, sent, strict=True) if entry_id in stored} == taken


def test_nasty_texts_are_stored_as_they_are_wherever_text_may_stand(place: Place) -> None:
    publisher, stored = MessagePublisher(place.client), {}
    for number, text in enumerate(TEXTS.values()):
        data = {
            "tutor_id": f"text-{number}-{text[:100]}",
            "name": text,
            "subject": text,
            "email": text,
            "qualifications": [text, text],
            "demographics": {text: text},
            "metrics": {"deep": [{text: [text]}]},
            text or "key": text,
        }
        publisher.publish(TUTORS, data)
        stored[data["tutor_id"]] = data
    place.drain(TUTORS)
    table = {row["tutor_id"]: row for row in rows(place.store)}
    for record_id, data in stored.items():
        assert_reads_back(TUTORS, table[record_id], data)


def test_a_nasty_message_id_is_kept_as_it_is(place: Place) -> None:
    publisher = MessagePublisher(place.client)
    ids = [text for text in TEXTS.values() if 0 < len(text) <= 128]
    for number, message_id in enumerate(ids):
        publisher.publish(TUTORS, {"tutor_id": f"id-{number}", "name": "x"}, message_id=message_id)
        publisher.publish(TUTORS, {"tutor_id": f"id-{number}", "name": "twice"}, message_id=message_id)
    place.drain(TUTORS)
    table = {row["tutor_id"]: row for row in rows(place.store)}
    found = [
        (table[f"id-{number}"]["message_id"], table[f"id-{number}"]["name"]) for number in range(len(ids))
    ]
    assert found == [(message_id, "x") for message_id in ids]


def test_fields_named_like_columns_and_like_pythons_own_are_fields_like_any_other(place: Place) -> None:
    data = {"tutor_id": "keys", "name": "x", **{key: f"value of {key}" for key in KEYS}}
    message_id = MessagePublisher(place.client).publish(TUTORS, data)
    place.drain(TUTORS)
    (row,) = [row for row in rows(place.store) if row["tutor_id"] == "keys"]
    assert row["message_id"] == message_id
    assert_reads_back(TUTORS, row, data)


texts = st.sampled_from(list(TEXTS.values())) | st.text(max_size=30)
anything = values | texts | st.integers() | st.floats()
moments = st.datetimes(timezones=st.none() | st.timezones()).map(datetime.isoformat)
sessions = st.fixed_dictionaries(
    {"session_id": st.text(min_size=1, max_size=8), "tutor_id": st.just("T1")},
    optional={
        "student_id": texts,
        "student_ids": st.lists(texts, max_size=3),
        "scheduled_start": moments,
        "ended_at": moments,
        "duration_minutes": st.floats(min_value=0, allow_infinity=False) | st.integers(0, 2**53 - 1),
        "participants": st.integers(0, 2**53 - 1),
        "status": st.sampled_from(["scheduled", "no_show"]),
        "engagement": st.floats(0, 1),
        "notes": texts,
        "subject": anything,
    },
)
unlisted = st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=10), anything, max_size=4)
records = st.builds(lambda listed, more: {**more, **listed}, sessions, unlisted)


@fuzz
@given(data=st.lists(records, min_size=1, max_size=20))
def test_what_publish_takes_is_stored_equal_or_dead_and_what_it_refuses_is_not_there(
    place: Place, data: list[dict[str, object]]
) -> None:
    stream = place.client.keys.stream(SESSIONS)
    last = place.client.redis.xrevrange(stream, count=1)
    after = last[0][0].decode() if last else "0-0"
    report = MessagePublisher(place.client).publish_batch(SESSIONS, data, raise_if_refused=False)
    sent = place.entries(SESSIONS, after)
    assert list(sent) == [result.entry_id for result in report.results if result.error is None]
    place.drain(SESSIONS)
    assert place.assert_one_outcome_each(SESSIONS, sent)[Outcome.DUPLICATE] == 0


@st.composite
def bodies(draw: st.DrawFn) -> bytes:
    """An envelope that was right once, and then something happened to its bytes."""
    try:
        body = serialize("STREAM", draw(records), message_id=draw(st.sampled_from(["a", "b"]) | texts))
    except PublishError:
        body = b"{}"
    for _ in range(draw(st.integers(0, 3))):
        place = draw(st.integers(0, len(body)))
        length = draw(st.sampled_from([0, 1, 2, 20]))
        put = draw(st.binary(max_size=4) | st.sampled_from(list(VALUES.values())[:40]))
        body = body[:place] + put + body[place + length :]
    return body


@fuzz
@given(data=st.lists(bodies() | st.binary(max_size=50), min_size=1, max_size=20))
def test_every_byte_string_has_exactly_one_outcome(place: Place, data: list[bytes]) -> None:
    stream = place.client.keys.stream(SESSIONS).encode()
    sent = place.add(SESSIONS, [body.replace(b"STREAM", stream) for body in data])
    place.drain(SESSIONS)
    place.assert_one_outcome_each(SESSIONS, sent)
