"""The effect happens once, in order, and a refused row takes nobody along."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import text

from queue_core import QueueChannels
from queue_core.outcomes import Outcome, Reason
from tests.pipeline.conftest import START, ledger, rows
from tutormax_pipeline.store import Arrival, Store, StoreUnavailableError

TUTORS = QueueChannels.TUTORS
Make = Callable[..., Arrival]


def outcomes(store: Store, *arrivals: Arrival) -> list[tuple[Outcome, bool]]:
    settled = store.write(TUTORS, arrivals, "run-1")
    return [(one.outcome, one.repeated) for one in settled]


def test_the_same_entry_again_changes_nothing(store: Store, arrival: Make) -> None:
    assert outcomes(store, arrival("1-0", "a")) == [(Outcome.STORED, False)]
    before = (rows(store), ledger(store))
    assert outcomes(store, arrival("1-0", "a")) == [(Outcome.STORED, True)]
    assert (rows(store), ledger(store)) == before


@pytest.mark.parametrize("together", [True, False])
def test_the_same_message_in_two_entries_takes_effect_once(
    store: Store, arrival: Make, together: bool
) -> None:
    first, second = arrival("1-0", "a", rating=1.0), arrival("2-0", "a", rating=2.0)
    batches = [[first, second]] if together else [[first], [second]]
    found = [one for batch in batches for one in outcomes(store, *batch)]
    assert found == [(Outcome.STORED, False), (Outcome.DUPLICATE, False)]
    assert [row["rating"] for row in rows(store)] == [1.0]
    assert ledger(store) == [("1-0", "a", "stored", None), ("2-0", "a", "duplicate", None)]


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_an_older_message_never_overwrites_a_newer_row(
    store: Store, arrival: Make, together: bool, order: tuple[int, ...]
) -> None:
    made = [arrival(f"{9 - n}-0", f"m{n}", minute=n, rating=float(n)) for n in range(3)]
    batches = [[made[n] for n in order]] if together else [[made[n]] for n in order]
    for batch in batches:
        assert outcomes(store, *batch) == [(Outcome.STORED, False)] * len(batch)
    (row,) = rows(store)
    assert (row["rating"], row["message_id"]) == (2.0, "m2")


@pytest.mark.parametrize(("earlier", "later"), [("5-2", "5-10"), ("99-0", "100-0"), ("5-9", "10-0")])
@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize("swapped", [True, False])
def test_messages_of_the_same_instant_are_ordered_by_entry_id_as_a_number(
    store: Store, arrival: Make, earlier: str, later: str, together: bool, swapped: bool
) -> None:
    both = [arrival(earlier, "a", rating=1.0), arrival(later, "b", rating=2.0)]
    both = both[::-1] if swapped else both
    for batch in [both] if together else [[one] for one in both]:
        outcomes(store, *batch)
    assert [row["rating"] for row in rows(store)] == [2.0]


def test_what_is_stored_reads_back_equal(store: Store, arrival: Make) -> None:
    data = {
        "name": "Zoë \U0001f600 'quoted' \\ \n",
        "rating": 5,
        "qualifications": ["a", "ü"],
        "demographics": {"age": 36, "nested": {"x": [1.5, None, True]}},
        "active": False,
        "unlisted": {"kept": [1, 2]},
        "extra": "a field of that name",
    }
    outcomes(store, arrival("1-0", "a", **data))
    (row,) = rows(store)
    extra = row.pop("extra")
    assert {name: row[name] for name in ("name", "rating", "qualifications", "demographics", "active")} == {
        name: data[name] for name in ("name", "rating", "qualifications", "demographics", "active")
    }
    assert extra == {"unlisted": {"kept": [1, 2]}, "extra": "a field of that name"}
    assert row["subject"] is row["metrics"] is None
    assert (row["message_id"], row["entry_id"], row["run_id"]) == ("a", "1-0", "run-1")
    assert row["published_at"] == START
    assert row["stored_at"].utcoffset().total_seconds() == 0


def test_rows_that_only_the_database_refuses_are_found_and_the_rest_is_stored(
    store: Store, arrival: Make
) -> None:
    with store.engine.begin() as connection:
        connection.execute(
            text(
                "CREATE TRIGGER picky BEFORE INSERT ON tutors WHEN NEW.name = 'SECRET-BAD' "
                "BEGIN SELECT RAISE(ABORT, 'no'); END"
            )
        )
    batch = [arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n:02d}") for n in range(20)]
    for n in (3, 11):
        batch[n] = arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n:02d}", name="SECRET-BAD")
    older = arrival("30-0", "older", minute=1, tutor_id="both", name="good")
    newer = arrival("31-0", "newer", minute=2, tutor_id="both", name="SECRET-BAD")
    settled = store.write(TUTORS, [*batch, older, newer], "run-1")
    refused = [one for one in settled if one.outcome is Outcome.DEAD_LETTERED]
    assert [one.arrival.entry.id for one in refused] == ["3-0", "11-0", "31-0"]
    assert {one.rejection.reason for one in refused} == {Reason.REJECTED}
    assert "SECRET" not in str([one.rejection for one in refused])
    assert len(rows(store)) == 19
    assert rows(store)[-1]["name"] == "good"
    assert sorted(one[0] for one in ledger(store) if one[2:] == ("dead_lettered", "rejected")) == [
        "11-0",
        "3-0",
        "31-0",
    ]


def test_a_locked_database_is_unavailable_and_nothing_was_written(tmp_path: Path, arrival: Make) -> None:
    with Store.open(f"sqlite:///{tmp_path}/s.db", timeout_seconds=0.05) as store:
        other = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StoreUnavailableError, match=r"locked.*TUTORMAX_STORE_URL") as caught:
            store.write(TUTORS, [arrival("1-0", "a", name="SECRET")], "run-1")
        assert "SECRET" not in str(caught.value)
        other.execute("ROLLBACK")
        assert ledger(store) == []
        assert outcomes(store, arrival("1-0", "a")) == [(Outcome.STORED, False)]
        other.close()


def test_counts_are_by_outcome(store: Store, arrival: Make) -> None:
    outcomes(store, arrival("1-0", "a"), arrival("2-0", "a"), arrival("3-0", "b", tutor_id=""))
    assert store.outcome_counts(TUTORS) == {
        Outcome.STORED: 1,
        Outcome.DUPLICATE: 1,
        Outcome.DEAD_LETTERED: 1,
    }
    assert store.row_count(TUTORS) == 1
