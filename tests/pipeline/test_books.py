"""The books: every entry ever added is in one place, and each way of losing one is told apart."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

import pytest
from sqlalchemy import delete, select

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.census import put_back
from queue_core.channels import CONSUMER_GROUP
from queue_core.entry import Entry
from queue_core.outcomes import Outcome
from tests.pipeline.conftest import Drain, ledger, publish, rows
from tutormax_pipeline import books as bookkeeping
from tutormax_pipeline.book_findings import explain
from tutormax_pipeline.books import Books
from tutormax_pipeline.store import Arrival, Store, StoreError
from tutormax_pipeline.store.books import adjust
from tutormax_pipeline.store.tables import book_adjustments, message_ledger

pytestmark = pytest.mark.on_both_databases

TUTORS = QueueChannels.TUTORS

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


def names(books: Books) -> list[str]:
    return [finding.check for finding in explain(books)]


def stream_ids(client: RedisClient) -> list[bytes]:
    return [entry_id for entry_id, _ in client.redis.xrange(client.keys.stream(TUTORS))]


def lose_rows(store: Store, count: int) -> list[str]:
    """Delete the oldest rows of the ledger; returns their entry ids."""
    gone = [entry_id for entry_id, *_ in ledger(store)][:count]
    with store.engine.begin() as connection:
        connection.execute(delete(message_ledger).where(message_ledger.c.entry_id.in_(gone)))
    return gone


def settle_as_lost(client: RedisClient, store: Store, entry_ids: list[str]) -> None:
    """What a drain does with entries that were deleted under it."""
    arrivals = [Arrival(Entry(entry_id, {}), None, None) for entry_id in entry_ids]
    store.write(TUTORS, arrivals, "r")
    client.redis.xack(client.keys.stream(TUTORS), CONSUMER_GROUP, *entry_ids)


def test_the_books_of_a_channel_that_was_never_used_balance(look: Look) -> None:
    for _ in range(2):
        books = look()
        assert (books.balanced, books.added, books.accounted, explain(books)) == (True, 0, 0, [])


def test_every_state_an_entry_can_be_in_is_counted_once(
    client: RedisClient,
    store: Store,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    drained: Drain,
    look: Look,
) -> None:
    stream = client.keys.stream(TUTORS)
    publish(publisher, 3)
    client.redis.xadd(stream, client.redis.xrange(stream, count=1)[0][1])
    client.redis.xadd(stream, {"message": "junk"})
    drained()
    publish(publisher, 7)
    assert len(consumer.read(TUTORS, 2)) == 2
    books = look()
    assert {outcome: books.outcome(outcome) for outcome in Outcome} == {
        Outcome.STORED: 3,
        Outcome.DUPLICATE: 1,
        Outcome.DEAD_LETTERED: 1,
        Outcome.LOST: 0,
    }
    assert (books.added, books.waiting, books.pending, books.difference) == (12, 5, 2, 0)
    assert books.balanced
    assert explain(books) == []


def test_an_entry_that_is_stored_and_not_yet_acknowledged_is_counted_once(
    client: RedisClient, store: Store, publisher: MessagePublisher, consumer: MessageConsumer, look: Look
) -> None:
    publish(publisher, 3)
    entries = consumer.read(TUTORS, 2)
    store.write(TUTORS, [Arrival(entries[0], None, None)], "r")
    books = look()
    assert (books.pending, books.waiting, books.outcome(Outcome.LOST), books.difference) == (1, 1, 1, 0)


def test_more_waiting_than_one_step_counts_is_exact(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, look: Look
) -> None:
    publish(publisher, 2_500)
    assert look().waiting == 2_500
    consumer.read(TUTORS, 100)
    publish(publisher, 2_450)
    books = look()
    assert (books.waiting, books.pending, books.balanced) == (4_850, 100, True)


@pytest.mark.parametrize("drain_between", [False, True])
def test_waiting_entries_deleted_from_outside_are_missing(
    client: RedisClient, publisher: MessagePublisher, drained: Drain, look: Look, drain_between: bool
) -> None:
    publish(publisher, 10)
    drained(max_messages=4, batch_size=4)
    assert look().balanced
    client.redis.xdel(client.keys.stream(TUTORS), *stream_ids(client)[5:8])
    if drain_between:
        drained()
        publish(publisher, 5)
    books = look()
    assert (books.difference, books.unrecorded, books.rewound) == (3, (), False)
    assert names(books) == ["deleted_unread"]
    assert "3 entries" in explain(books)[0].summary


def test_waiting_entries_trimmed_from_outside_are_missing(
    client: RedisClient, publisher: MessagePublisher, drained: Drain, look: Look
) -> None:
    publish(publisher, 10)
    drained(max_messages=4, batch_size=4)
    client.redis.xtrim(client.keys.stream(TUTORS), maxlen=2, approximate=False)
    books = look()
    assert (books.difference, books.waiting, names(books)) == (4, 2, ["deleted_unread"])
    drained()
    publish(publisher, 20)
    drained()
    assert look().difference == 4


def test_processed_entries_trimmed_or_deleted_from_outside_are_not_missing(
    client: RedisClient, publisher: MessagePublisher, drained: Drain, look: Look
) -> None:
    publish(publisher, 10)
    drained(max_messages=8, batch_size=8)
    client.redis.xdel(client.keys.stream(TUTORS), *stream_ids(client)[3:5])
    assert look().balanced
    client.redis.xtrim(client.keys.stream(TUTORS), maxlen=2, approximate=False)
    books = look()
    assert (books.balanced, books.waiting) == (True, 2)


@pytest.mark.parametrize("how", ["delete", "trim"])
def test_pending_entries_deleted_from_outside_are_named_and_stay_an_alarm_until_written_off(
    client: RedisClient,
    store: Store,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    look: Look,
    write_off: Look,
    how: str,
) -> None:
    publish(publisher, 5)
    taken = [entry.id for entry in consumer.read(TUTORS, 3)]
    stream = client.keys.stream(TUTORS)
    if how == "delete":
        client.redis.xdel(stream, *taken[:2])
    else:
        client.redis.xtrim(stream, minid=taken[2], approximate=False)
    books = look()
    assert (books.balanced, books.pending, books.deleted_pending) == (True, 3, tuple(taken[:2]))
    (finding,) = explain(books)
    assert (finding.check, finding.entry_ids) == ("deleted_pending", tuple(taken[:2]))
    settle_as_lost(client, store, taken[:2])
    books = look()
    assert (books.balanced, books.pending, books.outcome(Outcome.LOST), names(books)) == (
        True,
        1,
        2,
        ["lost"],
    )
    write_off()
    books = look()
    assert (books.balanced, books.adjustments, explain(books)) == (True, 0, [])
    client.redis.xdel(stream, taken[2])
    settle_as_lost(client, store, [taken[2]])
    assert (look().lost_unacknowledged, names(look())) == (1, ["lost"])


def test_what_was_stored_before_it_was_deleted_is_not_lost(
    client: RedisClient, store: Store, publisher: MessagePublisher, consumer: MessageConsumer, look: Look
) -> None:
    publish(publisher, 1)
    (entry,) = consumer.read(TUTORS, 1)
    store.write(TUTORS, [Arrival(entry, None, None)], "r")
    client.redis.xdel(client.keys.stream(TUTORS), entry.id)
    assert look().deleted_pending == ()


@pytest.mark.parametrize("published_after", [0, 4, 10, 30])
@pytest.mark.parametrize("drained_after", [False, True])
def test_a_stream_that_was_flushed_is_noticed_and_its_loss_counted(
    client: RedisClient,
    publisher: MessagePublisher,
    drained: Drain,
    look: Look,
    write_off: Look,
    published_after: int,
    drained_after: bool,
) -> None:
    publish(publisher, 10)
    drained(max_messages=6, batch_size=6)
    assert look().balanced
    client.redis.delete(client.keys.stream(TUTORS))
    publish(publisher, published_after)
    if drained_after:
        drained()
    for _ in range(2):
        books = look()
        assert (books.rewound, books.balanced, books.difference) == (True, False, 4)
        assert names(books) == ["stream_began_anew"]
        assert "4 entries" in explain(books)[0].summary
    write_off()
    publish(publisher, 3)
    books = look()
    assert (books.balanced, explain(books)) == (True, [])
    drained()
    assert look().balanced


def test_a_stream_that_was_flushed_before_anybody_looked_is_noticed_by_the_ledger(
    client: RedisClient, publisher: MessagePublisher, drained: Drain, look: Look, write_off: Look
) -> None:
    publish(publisher, 10)
    drained()
    client.redis.delete(client.keys.stream(TUTORS))
    publish(publisher, 3)
    books = look()
    assert (books.difference, names(books)) == (-10, ["more_than_added"])
    write_off()
    assert look().balanced


def test_an_older_state_of_the_stream_is_noticed(
    client: RedisClient,
    store: Store,
    publisher: MessagePublisher,
    drained: Drain,
    look: Look,
    write_off: Look,
) -> None:
    stream = client.keys.stream(TUTORS)
    publish(publisher, 6)
    drained()
    older = client.redis.dump(stream)
    publish(publisher, 4)
    drained(max_messages=1, batch_size=1)
    assert look().balanced
    client.redis.restore(stream, 0, older, replace=True)
    books = look()
    assert (books.rewound, books.difference) == (True, 3)
    write_off()
    publish(publisher, 2)
    drained()
    assert look().balanced


def test_lost_ledger_rows_are_named_and_repaired_by_the_next_drain(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, look: Look
) -> None:
    publish(publisher, 8)
    drained()
    table = rows(store)
    gone = lose_rows(store, 3)
    books = look()
    assert (books.difference, books.unrecorded, names(books)) == (3, tuple(gone), ["not_in_ledger"])
    assert explain(books)[0].entry_ids == tuple(gone)
    assert bookkeeping.repair(client, books) == 3
    assert bookkeeping.repair(client, books) == 0
    assert (look().balanced, look().pending) == (True, 3)
    assert drained().messages == 3
    books = look()
    assert (books.balanced, books.outcome(Outcome.STORED), books.pending) == (True, 8, 0)
    assert [row["name"] for row in rows(store)] == [row["name"] for row in table]


def test_lost_ledger_rows_and_deleted_entries_are_told_apart(
    client: RedisClient, store: Store, publisher: MessagePublisher, drained: Drain, look: Look
) -> None:
    publish(publisher, 8)
    drained(max_messages=5, batch_size=5)
    client.redis.xdel(client.keys.stream(TUTORS), *stream_ids(client)[-2:])
    gone = lose_rows(store, 1)
    books = look()
    assert (books.difference, books.unrecorded) == (3, tuple(gone))
    assert names(books) == ["not_in_ledger", "deleted_unread"]
    assert "2 entries" in explain(books)[1].summary


def test_only_a_hundred_entries_are_named(
    store: Store, publisher: MessagePublisher, drained: Drain, look: Look
) -> None:
    publish(publisher, 1_300)
    drained()
    lose_rows(store, 1_250)
    books = look()
    (finding,) = explain(books)
    assert (len(books.unrecorded), len(finding.entry_ids)) == (1_250, 100)
    assert "1,250 entries" in finding.summary


def test_what_does_not_need_it_is_not_put_back(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, drained: Drain
) -> None:
    publish(publisher, 3)
    (held,) = consumer.read(TUTORS, 1)
    waiting = stream_ids(client)[-1].decode()
    assert put_back(client, TUTORS, [held.id, waiting, "1-1"]) == 0
    (pending,) = consumer.get_pending_messages(TUTORS)
    assert (pending.consumer, pending.deliveries) == (consumer.name, 1)


def test_a_group_that_is_made_again_does_not_disturb_the_books(
    client: RedisClient, publisher: MessagePublisher, drained: Drain, look: Look
) -> None:
    publish(publisher, 9)
    drained(max_messages=6, batch_size=6)
    stream = client.keys.stream(TUTORS)
    client.redis.xtrim(stream, minid=stream_ids(client)[2], approximate=False)
    client.redis.xgroup_destroy(stream, CONSUMER_GROUP)
    books = look()
    assert (books.balanced, books.waiting) == (True, 7)
    assert drained().repeated == 4
    books = look()
    assert (books.balanced, books.waiting, books.outcome(Outcome.STORED)) == (True, 0, 9)


def test_an_adjustment_is_kept_with_who_and_why_and_made_only_where_there_is_one_to_make(
    client: RedisClient,
    store: Store,
    publisher: MessagePublisher,
    drained: Drain,
    look: Look,
    write_off: Look,
) -> None:
    publish(publisher, 4)
    client.redis.xdel(client.keys.stream(TUTORS), *stream_ids(client)[:3])
    write_off()
    write_off()
    columns = book_adjustments.c
    with store.engine.connect() as connection:
        query = select(columns.channel, columns.entries, columns.who, columns.why)
        assert [tuple(row) for row in connection.execute(query)] == [("tutors", -3, "an operator", "a test")]
    drained()
    assert look().balanced


def test_what_can_be_repaired_is_not_written_off(
    store: Store, publisher: MessagePublisher, drained: Drain, look: Look, write_off: Look
) -> None:
    publish(publisher, 4)
    drained()
    lose_rows(store, 1)
    with pytest.raises(StoreError, match=r"Of tutors, 1 can be put back.*tutormax doctor --repair"):
        write_off()
    assert (look().difference, look().adjustments_made) == (1, 0)


def test_of_two_operators_who_write_off_at_once_one_is_refused(
    client: RedisClient, store: Store, publisher: MessagePublisher, look: Look
) -> None:
    publish(publisher, 4)
    client.redis.xdel(client.keys.stream(TUTORS), *stream_ids(client)[:3])
    now, books = datetime.now(UTC), look()
    first, second = (
        adjust(store, TUTORS, -3, who="x", why="y", recorded_at=now, adjustments_made=books.adjustments_made)
        for _ in range(2)
    )
    assert (first, second) == (True, False)
    assert look().balanced
