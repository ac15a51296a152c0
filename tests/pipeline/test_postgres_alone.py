"""What is written beside the batches, by several at once on PostgreSQL: each as if it were alone."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from threading import Barrier
from typing import TypeVar

import pytest

from queue_core import QueueChannels
from queue_core.entry import Entry
from queue_core.entry_id import EntryId
from queue_core.letter_archive import ArchiveAction
from queue_core.outcomes import Outcome, Reason, Rejection
from tests.pipeline.test_archive import letters, signed
from tests.pipeline.test_prune import totals
from tests.pipeline.test_schema import OPENER
from tutormax_pipeline.store import Arrival, Store
from tutormax_pipeline.store.archive import StoreArchive
from tutormax_pipeline.store.books import adjust
from tutormax_pipeline.store.performance import refresh_performance
from tutormax_pipeline.store.prune import prune
from tutormax_pipeline.store.stock import replace_stock, stock_row

TUTORS = QueueChannels.TUTORS
WRITERS = 4
T = TypeVar("T")


@pytest.fixture
def stores(postgres_url: str) -> Iterator[list[Store]]:
    opened = [Store.open(postgres_url) for _ in range(WRITERS)]
    yield opened
    for store in opened:
        store.close()


def at_once(stores: list[Store], act: Callable[[int, Store], T]) -> list[T]:
    together = Barrier(len(stores))

    def work(number: int) -> T:
        together.wait(30)
        return act(number, stores[number])

    with ThreadPoolExecutor(len(stores)) as pool:
        return list(pool.map(work, range(len(stores))))


def test_of_several_operators_who_adjust_the_books_one_does(stores: list[Store]) -> None:
    now = datetime.now(UTC)
    done = at_once(
        stores,
        lambda number, store: adjust(
            store, TUTORS, -3, who=str(number), why="y", recorded_at=now, adjustments_made=0
        ),
    )
    assert Counter(done) == {True: 1, False: WRITERS - 1}


def test_several_who_prune_count_each_row_once(stores: list[Store]) -> None:
    rows = 500
    rejection = Rejection(Reason.MALFORMED, ())
    dead = [Arrival(Entry(f"1-{n}", {}), None, None, rejection) for n in range(rows)]
    stores[0].write(TUTORS, dead, "r")
    later = datetime.now(UTC) + timedelta(days=1)
    pruned = at_once(
        stores, lambda _, store: prune(store, TUTORS, recorded_before=later, oldest=EntryId(2**63, 0))
    )
    assert sum(one[Outcome.DEAD_LETTERED] for one in pruned) == rows
    assert totals(stores[0]) == {("tutors", "dead_lettered"): rows}


def test_several_who_take_stock_leave_that_of_one(stores: list[Store]) -> None:
    now = datetime.now(UTC)
    rows = [stock_row(letter, now) for letter in letters("1-0", "2-0", "3-0")]
    at_once(stores, lambda _, store: replace_stock(store, rows))


def test_several_who_archive_the_same_letters_keep_each_once(stores: list[Store]) -> None:
    receipts = at_once(
        stores,
        lambda number, store: StoreArchive(store).keep(
            letters("1-0", "2-0"), ArchiveAction.DISCARDED, who=str(number), why="y"
        ),
    )
    assert sorted(len(receipt.signed_before) for receipt in receipts) == [0, 2, 2, 2]
    assert len({receipt.signature.archived_at for receipt in receipts}) == WRITERS
    assert set(signed(StoreArchive(stores[0]))) == {("1-0", "discarded"), ("2-0", "discarded")}


def test_several_who_calculate_figures_replace_them_whole(stores: list[Store]) -> None:
    assert any(at_once(stores, lambda _, store: refresh_performance(store)))


def test_processes_may_open_a_new_database_at_once(own_postgres_url: str) -> None:
    pipe = subprocess.PIPE
    command = [sys.executable, "-c", OPENER]
    openers = [subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) for _ in range(WRITERS)]
    for opener in openers:
        print(own_postgres_url, file=opener.stdin, flush=True)
    assert [opener.communicate(timeout=60)[0].strip() for opener in openers] == ["opened"] * WRITERS
