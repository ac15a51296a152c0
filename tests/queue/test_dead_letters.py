"""Looking at dead letters, on each kind of server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import Channel
from queue_core.dead_letter import DeadLetters, Letter, LetterFilter
from queue_core.errors import LetterGoneError, QueueUnavailableError
from queue_core.letter import MOST_FIELDS, DeadLetter
from queue_core.letter_pages import PAGE_LETTERS
from queue_core.outcomes import Reason, Rejection
from tests.queue.conftest import Like, tutor
from tests.queue.letters import bury

TUTORS, SESSIONS = QueueChannels.TUTORS, QueueChannels.SESSIONS


@pytest.fixture
def letters(client: RedisClient) -> DeadLetters:
    return DeadLetters(client)


def ids(found: object) -> list[str]:
    return [letter.id for letter in found]  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    "fields",
    [
        {b"message": b"\xff\xfe\x00 not UTF-8"},
        {b"message": b'{"id": "trunc'},
        {b"message": b"x" * (1_048_576 + 1)},
        {b"other": b"\x00\x01"},
        {b"message": b"{}", b"trace": b"\x80", b"": b"", b"\xff": b"\r\n", b"field:message": b"x"},
        {b"message": b"{}", **{b"f%d\xff" % n: b"\x00%d" % n for n in range(MOST_FIELDS + 1)}},
    ],
    ids=["invalid UTF-8", "truncated", "one byte too large", "no message", "more fields", "many fields"],
)
def test_a_letter_gives_back_the_bytes_received(
    client: RedisClient, letters: DeadLetters, fields: dict[bytes, bytes]
) -> None:
    (letter_id,) = bury(client, fields=fields)
    letter = letters.get(letter_id)
    received = dict(letter.fields)
    if letter.body is not None:
        received[b"message"] = letter.body
    assert received == fields


def test_the_attempts_that_failed_come_with_the_letter(client: RedisClient, letters: DeadLetters) -> None:
    MessagePublisher(client).publish(TUTORS, tutor(1))
    consumer = MessageConsumer(client, "one")
    (entry,) = consumer.read(TUTORS, 1)
    assert consumer.retry(TUTORS, entry.id, "handler: refused") is not None
    consumer.dead_letter(TUTORS, [Letter(entry, Rejection(Reason.RETRIES_EXHAUSTED, ()))])
    (letter,) = letters.iterate()
    (attempt,) = letter.attempts
    assert (attempt.consumer, attempt.error) == ("one", "handler: refused")
    assert abs(datetime.now(UTC) - datetime.fromisoformat(attempt.at)) < timedelta(minutes=1)


def test_letters_come_oldest_first_and_no_more_than_wanted(client: RedisClient, letters: DeadLetters) -> None:
    buried = bury(client, PAGE_LETTERS * 2 + 7)
    assert ids(letters.iterate()) == buried
    assert ids(letters.iterate(limit=3)) == buried[:3]
    assert ids(letters.iterate(limit=PAGE_LETTERS + 1)) == buried[: PAGE_LETTERS + 1]
    assert ids(letters.iterate(limit=10_000)) == buried


def test_pages_of_large_letters_are_bounded_by_their_bytes(client: RedisClient, letters: DeadLetters) -> None:
    buried = bury(client, 12, name="x" * 1_000_000)
    read = letters.iterate()
    next(read)
    # What the first page does not hold is not in memory: removed letters are then not seen.
    client.redis.xdel(client.keys.dead_letter, buried[-1])
    assert len(list(read)) == 10


def test_letters_that_are_moved_while_one_reads_are_left_out(
    client: RedisClient, letters: DeadLetters
) -> None:
    buried = bury(client, PAGE_LETTERS + 2)
    read = letters.iterate()
    first = next(read)
    client.redis.xdel(client.keys.dead_letter, *buried[: PAGE_LETTERS + 1])
    assert [first.id, *ids(read)] == [*buried[:PAGE_LETTERS], buried[-1]]


def test_letters_that_arrive_while_one_reads_are_left_for_the_next_time(
    client: RedisClient, letters: DeadLetters
) -> None:
    buried = bury(client, PAGE_LETTERS + 1)
    read = letters.iterate()
    first = next(read)
    bury(client, 3)
    assert [first.id, *ids(read)] == buried


def test_without_bodies_everything_but_what_was_received_is_read(
    client: RedisClient, letters: DeadLetters
) -> None:
    bury(client, fields={b"message": b"x" * 500, b"trace": b"t", b"redrives": b"2"})
    bury(client, fields={b"f%d" % n: b"v" for n in range(MOST_FIELDS + 1)})
    with_message, without = letters.iterate(bodies=False)
    assert (with_message.body, with_message.body_bytes) == (None, 500)
    assert (with_message.redrives, with_message.redrivable) == (2, True)
    assert b"trace" not in with_message.fields
    assert (without.body_bytes, without.fields, without.redrivable) == (None, {}, False)
    whole = letters.get(with_message.id)
    assert with_message.errors == whole.errors
    assert whole.body == b"x" * 500


def test_a_filter_finds_the_letters_it_means(client: RedisClient, letters: DeadLetters) -> None:
    first = bury(client, 2, reason=Reason.INVALID, errors=("rating: bad",), name="SECRET")
    second = bury(client, 1, channel=SESSIONS, errors=("database: no",))
    third = bury(client, fields={b"other": b"SECRET"}, reason=Reason.MALFORMED)
    message_id = letters.get(first[0]).message_id
    found: list[tuple[LetterFilter, list[str]]] = [
        (LetterFilter(), [*first, *second, *third]),
        (LetterFilter(channel=SESSIONS), second),
        (LetterFilter(reason="invalid"), first),
        (LetterFilter(error="RATING"), first),
        (LetterFilter(error="database"), [*second, *third]),
        (LetterFilter(message_id=message_id), first[:1]),
        (LetterFilter(text=b"SECRET"), first),
        (LetterFilter(ids=(third[0], first[1], "9-9")), [first[1], *third]),
        (LetterFilter(channel=TUTORS, ids=(second[0], first[1])), [first[1]]),
        (LetterFilter(older_than_seconds=60), []),
        (LetterFilter(newer_than_seconds=60), [*first, *second, *third]),
    ]
    for chosen, expected in found:
        assert ids(letters.iterate(chosen)) == ids(letters.iterate(chosen, bodies=False)) == expected
        assert letters.count(chosen) == len(expected)
    later = DeadLetters(client, now=lambda: datetime.now(UTC) + timedelta(hours=1))
    assert later.count(LetterFilter(older_than_seconds=60)) == 4
    assert ids(letters.iterate([third[0], first[0]])) == [first[0], third[0]]


@pytest.mark.parametrize("channel", [None, TUTORS, SESSIONS], ids=str)
def test_counting_by_channel_reads_no_letter(
    client: RedisClient, letters: DeadLetters, like: Like, channel: Channel | None
) -> None:
    bury(client, 3)
    bury(client, 2, channel=SESSIONS)
    expected = {None: 5, TUTORS: 3, SESSIONS: 2}[channel]
    before = client.redis.info("commandstats").get("cmdstat_xrange", {"calls": 0})["calls"]
    assert letters.count(LetterFilter(channel=channel)) == expected
    after = client.redis.info("commandstats").get("cmdstat_xrange", {"calls": 0})["calls"]
    assert after == before


def test_where_nothing_ever_failed_there_is_nothing(letters: DeadLetters) -> None:
    assert (letters.count(), letters.count(LetterFilter(channel=TUTORS)), letters.groups()) == (0, 0, [])
    assert list(letters.iterate()) == list(letters.iterate(["1-0"])) == []


@pytest.mark.parametrize("letter_id", ["1-0", "999999999999999-5"])
def test_a_letter_that_is_not_there_is_named(
    client: RedisClient, letters: DeadLetters, letter_id: str
) -> None:
    bury(client)
    with pytest.raises(LetterGoneError, match=f"There is no dead letter {letter_id}"):
        letters.get(letter_id)


def test_groups_say_what_is_wrong_with_how_many(client: RedisClient, letters: DeadLetters) -> None:
    bury(client, 2, reason=Reason.INVALID, errors=("student_ids.3: bad", "x: y"))
    bury(client, 4, channel=SESSIONS, errors=("database: no",))
    last = bury(client, 3, reason=Reason.INVALID, errors=("student_ids.7: bad",))[-1]
    big, small = letters.groups(LetterFilter(channel=TUTORS)) + letters.groups(LetterFilter(channel=SESSIONS))
    assert (big.reason, big.field, big.error, big.count) == ("invalid", "student_ids.*", "bad", 5)
    assert big.example_id == last
    assert (small.channel, small.count) == ("sessions", 4)


def test_letters_of_another_format_are_shown_with_what_can_be_read(
    client: RedisClient, letters: DeadLetters
) -> None:
    theirs = [
        client.redis.xadd(client.keys.dead_letter, {"error": "boom", "original": b"\xff"}).decode(),
        client.redis.xadd(client.keys.dead_letter, {f"f{n}": "v" for n in range(3_000)}).decode(),
    ]
    ours = bury(client)
    assert ids(letters.iterate()) == [*theirs, *ours]
    first: DeadLetter = letters.get(theirs[0])
    assert (first.channel, first.reason, first.fields) == ("", "", {b"error": b"boom", b"original": b"\xff"})
    assert [group.count for group in letters.groups()] == [2, 1]
    assert letters.count() == 3


def test_the_last_id_that_can_be_ends_the_reading(client: RedisClient, letters: DeadLetters) -> None:
    last = f"{2**64 - 1}-{2**64 - 1}"
    client.redis.xadd(client.keys.dead_letter, {"a": "b"}, id=last)
    assert ids(letters.iterate()) == ids(letters.iterate([last])) == [last]


def test_a_server_that_is_away_is_told(own_client: RedisClient) -> None:
    bury(own_client)
    own_client.redis.shutdown(nosave=True)
    with pytest.raises(QueueUnavailableError):
        DeadLetters(own_client).groups()
