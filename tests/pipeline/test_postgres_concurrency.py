"""Several writers of the same entries, messages and rows in PostgreSQL: the effect happens once, no error."""

from __future__ import annotations

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest

from queue_core import QueueChannels
from queue_core.outcomes import Outcome
from tests.conftest import wait_until
from tests.pipeline.conftest import ledger, rows
from tests.postgres import PostgresServer
from tutormax_pipeline.store import Arrival, Settlement, Store, StoreUnavailableError

TUTORS = QueueChannels.TUTORS
Make = Callable[..., Arrival]


@pytest.fixture
def stores(postgres_url: str) -> Iterator[list[Store]]:
    opened = [Store.open(postgres_url) for _ in range(4)]
    yield opened
    for store in opened:
        store.close()


@contextmanager
def held(store: Store, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What this store writes stays uncommitted until the event is set."""
    may_commit = threading.Event()

    @contextmanager
    def patient(purpose: Any) -> Iterator[Any]:
        with begin(purpose) as connection:
            yield connection
            assert may_commit.wait(30)

    begin = store._begin
    with monkeypatch.context() as patch:
        patch.setattr(store, "_begin", patient)
        yield may_commit


def _sessions(postgres: PostgresServer, store: Store, condition: str) -> bool:
    query = f"SELECT count(*) FROM pg_stat_activity WHERE datname = %s AND {condition}"
    with psycopg.connect(postgres.url()) as connection:
        found = connection.execute(query.encode(), (store.engine.url.database,)).fetchone()
    return found is not None and found[0] > 0


def waits_for_another(postgres: PostgresServer, store: Store) -> bool:
    """Whether somebody waits for a lock in the store's database."""
    return _sessions(postgres, store, "wait_event_type = 'Lock'")


def has_written(postgres: PostgresServer, store: Store) -> bool:
    """Whether somebody has written to the store's database and has not committed yet."""
    return _sessions(postgres, store, "backend_xid IS NOT NULL AND state = 'idle in transaction'")


@pytest.mark.parametrize(
    ("second", "outcomes"),
    [
        ([("1-0", "a")], [("stored", True)]),
        ([("2-0", "a")], [("duplicate", False)]),
        (
            [("0-1", "z"), ("2-0", "a"), ("3-0", "b")],
            [("stored", False), ("duplicate", False), ("stored", False)],
        ),
    ],
    ids=["the same entry", "another entry of the same message", "among others"],
)
def test_what_two_drains_settle_at_once_is_stored_by_the_first(
    postgres: PostgresServer,
    stores: list[Store],
    arrival: Make,
    monkeypatch: pytest.MonkeyPatch,
    second: list[tuple[str, str]],
    outcomes: list[tuple[str, bool]],
) -> None:
    one, other, *_ = stores
    batch = [arrival(entry_id, message_id, tutor_id=message_id) for entry_id, message_id in second]
    with ThreadPoolExecutor(2) as pool, held(one, monkeypatch) as may_commit:
        first = pool.submit(one.write, TUTORS, [arrival("1-0", "a", tutor_id="a")], "run-1")
        wait_until(lambda: has_written(postgres, one), 30)
        late = pool.submit(other.write, TUTORS, batch, "run-2")
        wait_until(lambda: waits_for_another(postgres, one), 30)
        may_commit.set()
        assert [(one.outcome.value, one.repeated) for one in first.result(30)] == [("stored", False)]
        assert [(one.outcome.value, one.repeated) for one in late.result(30)] == outcomes
    stored = [message_id for _, message_id, outcome, _ in ledger(one) if outcome == "stored"]
    assert sorted(stored) == sorted({"a", *(message_id for _, message_id in second)})


@pytest.mark.parametrize("known", [1, 2, 19, 20, 21])
def test_duplicates_are_ordinary_and_nothing_is_logged_of_them(
    stores: list[Store], arrival: Make, caplog: pytest.LogCaptureFixture, known: int
) -> None:
    batch = [arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n}") for n in range(21)]
    stores[0].write(TUTORS, batch[:known], "run-1")
    for again in (batch[known - 1 : known + 5], batch[:20], batch):
        settled = stores[0].write(TUTORS, again, "run-2")
        assert {one.outcome for one in settled} == {Outcome.STORED}
    assert stores[0].row_count(TUTORS) == 21
    assert not caplog.records


def test_where_the_first_fails_the_one_that_waited_stores(
    postgres: PostgresServer, stores: list[Store], arrival: Make
) -> None:
    one, other, *_ = stores
    with psycopg.connect(one.engine.url.set(drivername="postgresql").render_as_string()) as holder:
        holder.execute(
            "INSERT INTO message_ledger (channel, entry_id, message_id, outcome, deliveries, run_id, "
            "recorded_at) VALUES ('tutors', '1-0', 'a', 'stored', 1, 'doomed', now())"
        )
        with ThreadPoolExecutor(1) as pool:
            late = pool.submit(other.write, TUTORS, [arrival("2-0", "a")], "run-2")
            wait_until(lambda: waits_for_another(postgres, one), 30)
            holder.rollback()
            assert [one.outcome for one in late.result(30)] == [Outcome.STORED]


def test_a_hammer_of_writers_with_the_same_entries_in_other_orders(
    stores: list[Store], arrival: Make
) -> None:
    """Each message in two entries, each entry written by every writer, in batches of another order each."""
    made = [
        arrival(f"{n}-{copy}", f"m{n}", minute=n % 50, tutor_id=f"T{n % 40}", rating=n % 6)
        for n in range(300)
        for copy in (0, 1)
    ]
    settled: Counter[tuple[str, bool]] = Counter()

    def work(number: int) -> list[Settlement]:
        mine = random.Random(number).sample(made, len(made))
        batches = [mine[at : at + 60] for at in range(0, len(mine), 60)]
        together.wait()
        return [one for batch in batches for one in stores[number].write(TUTORS, batch, f"run-{number}")]

    together = threading.Barrier(len(stores))
    with ThreadPoolExecutor(len(stores)) as pool:
        for settlements in pool.map(work, range(len(stores))):
            settled.update((one.outcome.value, one.repeated) for one in settlements)
    assert (settled["stored", False], settled["duplicate", False]) == (300, 300)
    assert settled["dead_lettered", False] == settled["dead_lettered", True] == 0
    newest = {
        f"T{n}": max(one.message.published_at for one in made if one.record.tutor_id == f"T{n}")
        for n in range(40)
    }
    assert {row["tutor_id"]: row["published_at"] for row in rows(stores[0])} == newest


def test_a_deadlock_is_done_again_and_nobody_notices(
    postgres: PostgresServer, stores: list[Store], arrival: Make
) -> None:
    store, other, *_ = stores
    for name in ("A", "B"):
        store.write(TUTORS, [arrival(f"1-{ord(name)}", name, tutor_id=name)], "before")
    with psycopg.connect(store.engine.url.set(drivername="postgresql").render_as_string()) as enemy:
        enemy.execute("SET deadlock_timeout = '60s'")  # so that the other one is the victim
        enemy.execute("SELECT 1 FROM tutors WHERE tutor_id = 'B' FOR UPDATE")
        with ThreadPoolExecutor(2) as pool:
            both = [arrival(f"2-{n}", f"m{n}", minute=1, tutor_id=n) for n in "AB"]
            late = pool.submit(other.write, TUTORS, both, "run-2")
            wait_until(lambda: waits_for_another(postgres, store), 30)
            enemy.execute("SELECT 1 FROM tutors WHERE tutor_id = 'A' FOR UPDATE")
            enemy.rollback()
            assert [one.outcome for one in late.result(30)] == [Outcome.STORED] * 2
    assert {row["run_id"] for row in rows(store)} == {"run-2"}


def test_a_lock_that_somebody_holds_is_unavailable_after_the_time_out(
    postgres_url: str, arrival: Make
) -> None:
    with Store.open(postgres_url, timeout_seconds=0.3) as store, psycopg.connect(postgres_url) as holder:
        holder.execute("LOCK TABLE message_ledger")
        with pytest.raises(StoreUnavailableError, match=r"lock timeout|statement timeout") as caught:
            store.write(TUTORS, [arrival("1-0", "a", name="SECRET")], "run-1")
        assert "\n" not in str(caught.value)
        holder.rollback()
        assert [one.outcome for one in store.write(TUTORS, [arrival("1-0", "a")], "run-2")] == [
            Outcome.STORED
        ]
