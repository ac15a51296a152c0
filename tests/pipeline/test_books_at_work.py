"""The books while others work on the same stream: no look raises a false alarm, and none is overlooked."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.census import take_census
from queue_core.dead_letter import LetterFilter
from queue_core.entry_id import ZERO
from queue_core.maintenance import maintain
from tests.conftest import wait_until
from tests.pipeline.conftest import publish
from tutormax_pipeline import books as bookkeeping
from tutormax_pipeline.books import Books
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.prune import prune

TUTORS = QueueChannels.TUTORS


@contextmanager
def repeated(action: Callable[[int], object]) -> Iterator[list[int]]:
    """Do it again and again in a thread, until the block is left; gives how often it was done."""
    stop, turns, errors = threading.Event(), [0], []

    def run() -> None:
        try:
            while not stop.is_set():
                action(turns[0])
                turns[0] += 1
        except Exception as error:  # noqa: BLE001 - raised in the test
            errors.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield turns
    finally:
        stop.set()
        thread.join(30)
    assert errors == []


def test_fifty_looks_beside_publishers_drains_and_maintenance_all_balance(
    client: RedisClient, tmp_path: Path
) -> None:
    # So few that trimming for room goes on all the time.
    bounded = RedisClient(client.settings.model_copy(update={"queue_maxlen": 1_500}))
    publisher = MessagePublisher(bounded)
    tomorrow = datetime.now(UTC) + timedelta(days=2)
    records = [{"tutor_id": f"T{n}", "name": "x"} for n in range(150)]

    def one_drain(turn: int) -> None:
        limits = DrainLimits(batch_size=100, max_messages=400)
        drain(MessageConsumer(client, f"run:{turn}"), drained, TUTORS, run_id=f"{turn}", limits=limits)

    url = f"sqlite:///{tmp_path}/store.db"
    with bounded, Store.open(url) as store, Store.open(url) as drained:
        seen: list[Books] = []
        with (
            repeated(lambda _: publisher.publish_batch(TUTORS, records, raise_if_refused=False)),
            repeated(one_drain) as drains,
            repeated(lambda _: maintain(client, TUTORS, tomorrow)),
        ):
            wait_until(lambda: drains[0] >= 2)
            while len(seen) < 50 or drains[0] < 5:
                seen.append(bookkeeping.look(client, store, TUTORS, datetime.now(UTC)))
        assert [(one.difference, one.rewound) for one in seen] == [(0, False)] * len(seen)
        assert len({one.added for one in seen}) >= 5
        assert any(one.pending for one in seen)


def test_fifty_looks_while_letters_are_made_redriven_and_discarded_all_balance(
    client: RedisClient, tmp_path: Path
) -> None:
    stream, url = client.keys.stream(TUTORS), f"sqlite:///{tmp_path}/store.db"

    def publish_junk(turn: int) -> None:
        for number in range(20):
            client.redis.xadd(stream, {"message": f"junk {turn} {number}"})

    with Store.open(url) as store, Store.open(url) as drained, Store.open(url) as archive:

        def one_drain(turn: int) -> None:
            limits = DrainLimits(batch_size=50, max_messages=200)
            drain(MessageConsumer(client, f"run:{turn}"), drained, TUTORS, run_id=f"{turn}", limits=limits)

        def redrive(_: int) -> None:
            dead_letters(client).redrive(LetterFilter(), limit=30, dry_run=False)

        def discard(_: int) -> None:
            chosen = [letter.id for letter in dead_letters(client).iterate(limit=30, bodies=False)]
            dead_letters(client, archive).discard(chosen, who="ann", why="w", dry_run=False)

        seen: list[Books] = []
        with repeated(publish_junk), repeated(one_drain) as drains, repeated(redrive), repeated(discard):
            wait_until(lambda: drains[0] >= 2)
            while len(seen) < 50 or drains[0] < 5:
                seen.append(bookkeeping.look(client, store, TUTORS, datetime.now(UTC)))
        found = [one.letters for one in seen]
        assert [(one.gone, one.forgotten) for one in found] == [(0, 0)] * len(seen)
        assert all(one.balanced for one in seen)
        # Not because there are more letters than rows: at rest both sides agree.
        drain(MessageConsumer(client, "last"), drained, TUTORS, run_id="last")
        last = bookkeeping.look(client, store, TUTORS, datetime.now(UTC)).letters
        assert last.dead == last.there + last.moved
        assert len({one.moved for one in found}) >= 5


def test_a_count_that_is_overtaken_by_trimming_is_begun_again(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer
) -> None:
    publish(publisher, 3_000)
    consumer.acknowledge(TUTORS, *(entry.id for entry in consumer.read(TUTORS, 10)))
    original, done = client.run, []

    def run(script: str, keys: list[str], args: list[str]) -> object:
        if script == "count_entries" and not done:
            done.append(True)
            consumer.acknowledge(TUTORS, *(entry.id for entry in consumer.read(TUTORS, 2_500)))
            assert maintain(client, TUTORS, datetime.now(UTC) + timedelta(days=2)).trimmed == 2_510
        return original(script, keys, args)

    client.run = run  # type: ignore[method-assign]
    census = take_census(client, TUTORS, ZERO)
    assert done
    assert (census.added, census.waiting, census.pending) == (3_000, 490, ())


def test_the_books_balance_after_trimming_and_pruning(
    client: RedisClient, store: Store, publisher: MessagePublisher
) -> None:
    publish(publisher, 500)
    later = datetime.now(UTC) + timedelta(days=2)

    def work(turn: int) -> None:
        drain(
            MessageConsumer(client, f"run:{turn}"),
            store,
            TUTORS,
            run_id=f"{turn}",
            limits=DrainLimits(max_messages=300, batch_size=300),
        )

    work(1)
    assert maintain(client, TUTORS, later).trimmed == 300
    oldest = take_census(client, TUTORS, ZERO).oldest
    assert prune(store, TUTORS, recorded_before=later, oldest=oldest).total() == 300
    books = bookkeeping.look(client, store, TUTORS, datetime.now(UTC))
    assert (books.balanced, sum(books.pruned.values()), books.waiting) == (True, 300, 200)
    work(2)
    books = bookkeeping.look(client, store, TUTORS, datetime.now(UTC))
    assert (books.balanced, books.added, books.accounted, books.waiting) == (True, 500, 500, 0)
