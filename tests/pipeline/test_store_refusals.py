"""What the database refuses: a value, which is its message's fault, or everything, which is nobody's."""

from __future__ import annotations

import sqlite3
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from queue_core import QueueChannels
from queue_core.outcomes import Outcome, Reason
from tests.pipeline.conftest import ledger, rows
from tests.pipeline.refusing import refusing
from tutormax_pipeline.store import Arrival, Settlement, Store, StoreError, StoreUnavailableError

pytestmark = pytest.mark.on_both_databases

TUTORS = QueueChannels.TUTORS
Make = Callable[..., Arrival]
BAD = "SECRET-BAD"


@pytest.fixture
def picky(store: Store) -> Iterator[Store]:
    """A store whose database refuses tutors of a certain name."""
    with refusing(store, "tutors", f"NEW.name = '{BAD}'", f"does not like {BAD}"):
        yield store


def refused(settlements: list[Settlement]) -> list[str]:
    """Entry ids of those the database refused, each of which says so and no more."""
    found = [one for one in settlements if one.rejection is not None]
    for one in found:
        assert one.outcome is Outcome.DEAD_LETTERED
        assert one.rejection is not None
        assert one.rejection.reason is Reason.REJECTED
        assert one.rejection.message_id
        assert one.rejection.published_at
        assert BAD not in str(one.rejection)
    return [one.arrival.entry.id for one in found]


def by_outcome(store: Store) -> dict[str, str]:
    return {entry_id: outcome for entry_id, _, outcome, _ in ledger(store)}


@pytest.mark.parametrize("bad", [[0], [19], [3, 11], [4, 5, 6, 7], list(range(19)), list(range(20))], ids=str)
def test_rows_that_only_the_database_refuses_are_found_and_the_rest_is_stored(
    picky: Store, arrival: Make, bad: list[int]
) -> None:
    batch = [
        arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n:02d}", name=BAD if n in bad else "good") for n in range(20)
    ]
    settled = picky.write(TUTORS, batch, "run-1")
    assert [one.arrival.entry.id for one in settled] == [f"{n}-0" for n in range(20)]
    assert refused(settled) == [f"{n}-0" for n in bad]
    assert [row["tutor_id"] for row in rows(picky)] == [f"T{n:02d}" for n in range(20) if n not in bad]
    assert by_outcome(picky) == {f"{n}-0": "dead_lettered" if n in bad else "stored" for n in range(20)}
    assert {reason for *_, reason in ledger(picky)} <= {None, "rejected"}


def test_a_refused_row_leaves_the_one_it_would_have_replaced(picky: Store, arrival: Make) -> None:
    picky.write(TUTORS, [arrival("1-0", "a")], "run-1")
    assert refused(picky.write(TUTORS, [arrival("2-0", "b", minute=1, name=BAD)], "run-1")) == ["2-0"]
    assert [(row["name"], row["message_id"]) for row in rows(picky)] == [("x", "a")]


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)])
def test_where_the_newest_of_a_record_is_refused_the_one_before_it_wins(
    picky: Store, arrival: Make, order: tuple[int, ...]
) -> None:
    made = [
        arrival("1-0", "oldest", minute=0, name="oldest"),
        arrival("2-0", "older", minute=1, name="older"),
        arrival("3-0", "newest", minute=2, name=BAD),
    ]
    assert refused(picky.write(TUTORS, [made[n] for n in order], "run-1")) == ["3-0"]
    assert [row["name"] for row in rows(picky)] == ["older"]
    assert by_outcome(picky) == {"1-0": "stored", "2-0": "stored", "3-0": "dead_lettered"}


@pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])
def test_a_second_entry_of_a_refused_message_is_no_duplicate_of_it(
    picky: Store, arrival: Make, together: bool
) -> None:
    both = [arrival("1-0", "a", name=BAD), arrival("2-0", "a", name="corrected")]
    for batch in [both] if together else [[one] for one in both]:
        picky.write(TUTORS, batch, "run-1")
    assert by_outcome(picky) == {"1-0": "dead_lettered", "2-0": "stored"}
    assert [row["name"] for row in rows(picky)] == ["corrected"]


def test_duplicates_and_repeated_entries_stay_what_they_are_beside_a_refused_one(
    picky: Store, arrival: Make
) -> None:
    picky.write(TUTORS, [arrival("1-0", "a")], "run-1")
    batch = [
        arrival("1-0", "a"),
        arrival("2-0", "a"),
        arrival("3-0", "b", tutor_id="T2", name=BAD),
        arrival("4-0", "c", tutor_id="T3"),
        arrival("5-0", "c", tutor_id="T3"),
        arrival("6-0", "d", tutor_id="T4", name=7),
    ]
    settled = picky.write(TUTORS, batch, "run-2")
    assert [(one.outcome.value, one.repeated) for one in settled] == [
        ("stored", True),
        ("duplicate", False),
        ("dead_lettered", False),
        ("stored", False),
        ("duplicate", False),
        ("dead_lettered", False),
    ]
    assert {reason for *_, reason in ledger(picky)} == {None, "rejected", "invalid"}
    assert [row["tutor_id"] for row in rows(picky)] == ["T1", "T3"]


def test_a_refused_entry_delivered_again_is_still_refused_once_the_database_would_take_it(
    store: Store, arrival: Make
) -> None:
    with refusing(store, "tutors", f"NEW.name = '{BAD}'"):
        store.write(TUTORS, [arrival("1-0", "a", name=BAD)], "run-that-died")
    (again,) = store.write(TUTORS, [arrival("1-0", "a", name=BAD)], "run-2")
    assert again.repeated
    assert refused([again]) == ["1-0"]
    assert rows(store) == []


def test_a_batch_of_nothing_but_refused_versions_of_one_record_is_settled(
    picky: Store, arrival: Make
) -> None:
    batch = [arrival(f"{n}-0", f"m{n}", minute=n % 60, name=BAD) for n in range(1_000)]
    assert len(refused(picky.write(TUTORS, batch, "run-1"))) == 1_000


def test_a_ledger_that_refuses_is_no_messages_fault(store: Store, arrival: Make) -> None:
    batch = [arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n}", name=BAD) for n in range(6)]
    with (
        refusing(store, "message_ledger", "NEW.entry_id = '3-0'", "ledger says no"),
        pytest.raises(StoreError, match=r"ledger says no|CheckViolation") as caught,
    ):
        store.write(TUTORS, batch, "run-1")
    assert BAD not in "".join(traceback.format_exception(caught.value))
    assert (rows(store), ledger(store)) == ([], [])


def test_a_locked_database_is_unavailable_and_nothing_was_written(tmp_path: Path, arrival: Make) -> None:
    with Store.open(f"sqlite:///{tmp_path}/s.db", timeout_seconds=0.05) as store:
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match=r"locked.*TUTORMAX_STORE_URL") as caught:
            store.write(TUTORS, [arrival("1-0", "a", name=BAD)], "run-1")
        assert BAD not in str(caught.value)
        assert "\n" not in str(caught.value)
        other.execute("ROLLBACK")
        other.close()
        assert ledger(store) == []
        store.write(TUTORS, [arrival("1-0", "a")], "run-2")
        assert by_outcome(store) == {"1-0": "stored"}


def test_a_full_disk_is_unavailable_and_nothing_of_the_batch_was_written(
    sqlite: Store, arrival: Make
) -> None:
    sqlite.write(TUTORS, [arrival("1-0", "a")], "run-1")
    batch = [arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n}", name=BAD * 1_000) for n in range(2, 40)]
    with sqlite.engine.connect() as connection:
        pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
        connection.exec_driver_sql(f"PRAGMA max_page_count={pages + 2}")
    with pytest.raises(StoreUnavailableError, match="full") as caught:
        sqlite.write(TUTORS, batch, "run-2")
    assert BAD not in str(caught.value)
    assert by_outcome(sqlite) == {"1-0": "stored"}
    assert len(rows(sqlite)) == 1
    with sqlite.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA max_page_count=100000")
    sqlite.write(TUTORS, batch, "run-3")
    assert len(rows(sqlite)) == len(ledger(sqlite)) == 39
