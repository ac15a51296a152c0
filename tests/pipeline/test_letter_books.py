"""The books of the dead letters: each is there or was moved on by somebody, or there is an alarm."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.census import take_census
from queue_core.channels import CONSUMER_GROUP
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.entry_id import ZERO
from queue_core.letter_counts import letter_counts, recount_letters
from queue_core.outcomes import Reason, Rejection
from queue_core.serializer import serialize
from tests.pipeline.conftest import Drain, publish
from tutormax_pipeline import books as bookkeeping
from tutormax_pipeline.book_findings import explain
from tutormax_pipeline.books import Books
from tutormax_pipeline.letter_books import LetterBooks
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.store import Arrival, Store
from tutormax_pipeline.store.prune import prune
from tutormax_pipeline.store.tables import book_adjustments

pytestmark = pytest.mark.on_both_databases

TUTORS, SESSIONS = QueueChannels.TUTORS, QueueChannels.SESSIONS
ALL = LetterFilter()

Look = Callable[[], Books]


@pytest.fixture
def look(client: RedisClient, store: Store) -> Look:
    return lambda: bookkeeping.look(client, store, TUTORS, datetime.now(UTC))


@pytest.fixture
def write_off(client: RedisClient, store: Store) -> Look:
    def adjust() -> Books:
        now = datetime.now(UTC)
        return bookkeeping.write_off(client, store, TUTORS, who="an operator", why="a test", now=now)

    return adjust


@pytest.fixture
def letters(client: RedisClient, store: Store) -> DeadLetters:
    return dead_letters(client, store)


@pytest.fixture
def buried(client: RedisClient, drained: Drain) -> Callable[[int], None]:
    """Drain so many messages that can only be dead letters; each could be mended."""

    def bury(count: int) -> None:
        stream = client.keys.stream(TUTORS)
        for number in range(count):
            wrong = {"tutor_id": f"T{number}", "name": "x", "rating": 9}
            client.redis.xadd(stream, {"message": serialize(stream, wrong)})
        drained()

    return bury


def names(books: Books) -> list[str]:
    return [finding.check for finding in explain(books)]


def figures(books: LetterBooks) -> tuple[int, int, int, int, bool]:
    return books.dead, books.there, books.moved, books.gone, books.exact


def lose(client: RedisClient, how: str) -> None:
    keys = client.keys
    if how == "letters":
        client.redis.delete(keys.dead_letter)
    elif how == "letters and counts":
        client.redis.delete(keys.dead_letter, keys.dead_letter_counts)
    elif how == "trimmed":
        client.redis.xtrim(keys.dead_letter, maxlen=0, approximate=False)
    else:
        client.redis.delete(*client.redis.keys(f"{client.settings.key_prefix}:*"))


def test_letters_that_are_redriven_edited_or_discarded_are_accounted_for(
    client: RedisClient, letters: DeadLetters, buried: Callable[[int], None], look: Look, drained: Drain
) -> None:
    buried(5)
    assert figures(look().letters) == (5, 5, 0, 0, True)
    one, two, three, *_ = (letter.id for letter in letters.iterate())
    assert letters.redrive([one], dry_run=False).redriven == 1
    assert figures(look().letters) == (5, 4, 1, 0, True)
    letters.edit(two, {"rating": 4}, who="ann", why="w")
    assert letters.discard([three], who="ann", why="w", dry_run=False).discarded == 1
    assert figures(look().letters) == (5, 2, 3, 0, True)
    drained()
    books = look()
    assert figures(books.letters) == (6, 3, 3, 0, True)
    assert (books.balanced, explain(books)) == (True, [])
    counts = letter_counts(client)
    assert counts.letters == counts.counted == 3


@pytest.mark.parametrize("looked", [True, False], ids=["looked at before", "never looked at"])
@pytest.mark.parametrize(
    ("how", "exact"),
    [("letters", True), ("trimmed", True), ("letters and counts", False), ("everything", False)],
)
def test_letters_that_somebody_deletes_are_an_alarm(
    client: RedisClient, buried: Callable[[int], None], look: Look, looked: bool, how: str, exact: bool
) -> None:
    buried(4)
    if looked:
        assert look().balanced
    lose(client, how)
    for _ in range(2):
        books = look()
        assert (books.balanced, books.letters.gone, books.letters.exact) == (False, 4, exact)
        finding = explain(books)[-1]
        assert (finding.check, finding.severity) == ("dead_letters_gone", "error")
        assert finding.summary.startswith("4 dead letters gone" if exact else "Up to 4 dead letters gone")
        assert (" since 20" in finding.summary) == looked
        assert "tutormax doctor --write-off tutors" in finding.remedy


def test_counting_anew_does_not_silence_it(
    client: RedisClient, buried: Callable[[int], None], look: Look, letters: DeadLetters
) -> None:
    buried(5)
    letters.redrive(ALL, limit=1, dry_run=False)
    client.redis.xtrim(client.keys.dead_letter, maxlen=1, approximate=False)
    before = look()
    assert recount_letters(client) == {"tutors": 1}
    for books in (before, look()):
        assert figures(books.letters) == (5, 1, 1, 3, True)
        assert names(books) == ["dead_letters_gone"]
    client.redis.delete(client.keys.dead_letter)
    assert recount_letters(client) == {}
    assert figures(look().letters) == (5, 0, 1, 4, True)


def test_what_was_moved_on_before_everything_was_flushed_is_not_said_to_be_gone(
    client: RedisClient, buried: Callable[[int], None], look: Look, letters: DeadLetters, write_off: Look
) -> None:
    buried(6)
    letters.discard(ALL, who="ann", why="w", dry_run=False)
    assert look().balanced
    buried(2)
    lose(client, "everything")
    books = look()
    assert (books.letters.gone, books.letters.forgotten, books.letters.exact) == (2, 6, False)
    write_off()
    assert names(look()) == []
    buried(3)
    letters.discard(ALL, who="ann", why="w", dry_run=False)
    assert figures(look().letters)[1:] == (0, 3, 0, True)


def test_the_count_of_those_moved_on_falling_back_is_an_alarm_by_itself(
    client: RedisClient, buried: Callable[[int], None], look: Look, letters: DeadLetters, write_off: Look
) -> None:
    buried(3)
    letters.discard(ALL, who="ann", why="w", dry_run=False)
    assert look().balanced
    client.redis.delete(client.keys.dead_letter_counts)
    books = look()
    assert (books.letters.gone, names(books)) == (0, ["dead_letters_gone"])
    assert "none is known to be gone" in explain(books)[0].summary
    write_off()
    buried(3)
    letters.discard(ALL, who="ann", why="w", dry_run=False)
    assert look().balanced


def test_it_is_acknowledged_for_ever_by_name_and_the_next_loss_is_an_alarm_again(
    client: RedisClient, store: Store, buried: Callable[[int], None], look: Look, write_off: Look
) -> None:
    buried(3)
    lose(client, "letters")
    assert write_off().letters.gone == 3
    assert (look().balanced, names(look())) == (True, [])
    assert write_off().balanced
    columns = book_adjustments.c
    with store.engine.connect() as connection:
        query = select(columns.channel, columns.entries, columns.who, columns.why)
        kept = [tuple(row) for row in connection.execute(query)]
    assert kept == [("tutors:dead_letter", -3, "an operator", "a test")]
    recount_letters(client)
    buried(2)
    assert look().balanced
    lose(client, "letters")
    assert look().letters.gone == 2


def test_one_command_writes_off_what_was_lost_of_the_stream_and_of_the_letters(
    client: RedisClient,
    publisher: MessagePublisher,
    buried: Callable[[int], None],
    look: Look,
    write_off: Look,
) -> None:
    buried(2)
    publish(publisher, 3)
    assert look().balanced
    lose(client, "everything")
    assert names(look()) == ["stream_began_anew", "dead_letters_gone"]
    write_off()
    assert (look().balanced, names(look())) == (True, [])


def test_letters_of_another_channel_are_another_account(
    client: RedisClient, store: Store, buried: Callable[[int], None], look: Look
) -> None:
    buried(2)
    consumer = MessageConsumer(client)
    client.redis.xadd(client.keys.stream(SESSIONS), {"message": "junk"})
    entries = consumer.read(SESSIONS, 1)
    rejection = Rejection(Reason.MALFORMED, ("x",))
    (settlement,) = store.write(SESSIONS, [Arrival(entries[0], None, None, rejection)], "r")
    assert settlement.rejection == rejection
    (first, *_) = client.redis.xrange(client.keys.dead_letter)
    client.redis.xdel(client.keys.dead_letter, first[0])
    assert look().letters.gone == 1
    assert bookkeeping.look(client, store, SESSIONS, datetime.now(UTC)).balanced


def test_an_entry_whose_letter_is_still_to_be_written_is_no_alarm(
    client: RedisClient, store: Store, consumer: MessageConsumer, look: Look, drained: Drain
) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), {"message": "junk"})
    (entry,) = consumer.read(TUTORS, 1)
    rejection = Rejection(Reason.MALFORMED, ("x",))
    store.write(TUTORS, [Arrival(entry, None, None, rejection)], "a run that dies")
    assert (figures(look().letters)[:4], look().balanced) == ((0, 0, 0, 0), True)
    consumer.release(TUTORS, [entry.id])
    drained()
    assert (figures(look().letters)[:4], look().balanced) == ((1, 1, 0, 0), True)


def test_a_group_that_is_made_again_is_no_alarm_while_it_delivers_again_what_it_had(
    client: RedisClient, consumer: MessageConsumer, buried: Callable[[int], None], look: Look, drained: Drain
) -> None:
    buried(3)
    client.redis.xgroup_destroy(client.keys.stream(TUTORS), CONSUMER_GROUP)
    assert look().balanced
    consumer.release(TUTORS, [entry.id for entry in consumer.read(TUTORS, 2)])
    assert look().balanced
    drained()
    assert (figures(look().letters)[:4], look().balanced) == ((3, 3, 0, 0), True)


def test_pruned_rows_count(
    client: RedisClient, store: Store, buried: Callable[[int], None], look: Look
) -> None:
    buried(3)
    client.redis.xtrim(client.keys.stream(TUTORS), maxlen=0, approximate=False)
    oldest = take_census(client, TUTORS, ZERO).oldest
    later = datetime.now(UTC) + timedelta(days=1)
    assert prune(store, TUTORS, recorded_before=later, oldest=oldest).total() == 3
    assert (figures(look().letters), look().balanced) == ((3, 3, 0, 0, True), True)


def test_counts_of_before_it_was_counted_who_moved_letters_on_are_taken_as_they_are(
    client: RedisClient, buried: Callable[[int], None], look: Look
) -> None:
    buried(3)
    assert client.redis.hgetall(client.keys.dead_letter_counts) == {b"tutors": b"3"}
    assert look().balanced


def test_a_letter_whose_channel_is_named_like_a_count_disturbs_none(
    client: RedisClient, letters: DeadLetters, buried: Callable[[int], None], look: Look
) -> None:
    buried(2)
    letters.discard(ALL, who="ann", why="w", dry_run=False)
    client.redis.xadd(client.keys.dead_letter, {"message": "x", "channel": "tutors:moved"})
    recount_letters(client)
    assert figures(look().letters)[1:3] == (0, 2)
    letters.discard(ALL, who="ann", why="w", dry_run=False)
    assert (figures(look().letters)[1:3], look().balanced) == ((0, 2), True)
    assert letter_counts(client).counted == 0
