"""Pruning the ledger: what goes, what stays, and that nothing is forgotten of its number."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select, text

from queue_core import QueueChannels
from queue_core.entry import Entry
from queue_core.entry_id import EntryId
from queue_core.failpoints import recorded
from queue_core.outcomes import Outcome, Reason, Rejection
from tests.pipeline.conftest import ledger
from tutormax_pipeline.store import Arrival, Store
from tutormax_pipeline.store.prune import STEP_ROWS, prune
from tutormax_pipeline.store.tables import ledger_totals

pytestmark = pytest.mark.on_both_databases

TUTORS, SESSIONS = QueueChannels.TUTORS, QueueChannels.SESSIONS
LATER = datetime.now(UTC) + timedelta(days=1)
ALL = EntryId(2**63, 0)

Make = Callable[..., Arrival]


def dead(entry_id: str) -> Arrival:
    return Arrival(Entry(entry_id, {}), None, None, Rejection(Reason.MALFORMED, ()))


def lost(entry_id: str) -> Arrival:
    return Arrival(Entry(entry_id, {}), None, None)


def totals(store: Store) -> dict[tuple[str, str], int]:
    columns = ledger_totals.c
    with store.engine.connect() as connection:
        found = connection.execute(select(columns.channel, columns.outcome, columns.entries))
        return {(channel, outcome): entries for channel, outcome, entries in found}


def test_rows_go_whose_entry_is_before_the_oldest_as_a_number(store: Store) -> None:
    ids = ["8-9", "9-1", "9-9", "9-10", "10-1", "100-0"]
    store.write(TUTORS, [dead(one) for one in ids], "r")
    assert prune(store, TUTORS, recorded_before=LATER, oldest=EntryId(9, 10)) == {Outcome.DEAD_LETTERED: 3}
    assert {entry_id for entry_id, *_ in ledger(store)} == {"9-10", "10-1", "100-0"}


def test_rows_recorded_within_the_retention_stay(store: Store) -> None:
    before = datetime.now(UTC)
    store.write(TUTORS, [dead("1-1")], "r")
    assert prune(store, TUTORS, recorded_before=before, oldest=ALL).total() == 0
    assert prune(store, TUTORS, recorded_before=LATER, oldest=ALL).total() == 1


def test_their_numbers_are_kept_by_channel_and_final_state(store: Store, arrival: Make) -> None:
    for turn in (1, 2):
        batch = [arrival(f"{turn}-1", f"m{turn}"), arrival(f"{turn}-2", f"m{turn}"), dead(f"{turn}-3")]
        store.write(TUTORS, batch, "r")
        store.write(SESSIONS, [dead(f"{turn}-1")], "r")
        prune(store, TUTORS, recorded_before=LATER, oldest=ALL)
    assert totals(store) == {
        ("tutors", "stored"): 2,
        ("tutors", "duplicate"): 2,
        ("tutors", "dead_lettered"): 2,
    }
    assert len(ledger(store, SESSIONS)) == 2


def test_rows_of_lost_entries_stay_for_ever(store: Store) -> None:
    store.write(TUTORS, [lost("1-1"), dead("1-2")], "r")
    assert prune(store, TUTORS, recorded_before=LATER, oldest=ALL) == {Outcome.DEAD_LETTERED: 1}
    assert [entry_id for entry_id, *_ in ledger(store)] == ["1-1"]


def test_many_go_in_transactions_of_a_bounded_size(store: Store) -> None:
    count = 2 * STEP_ROWS + 10
    store.write(TUTORS, [dead(f"1-{n}") for n in range(1, count + 1)], "r")
    with recorded() as places:
        assert prune(store, TUTORS, recorded_before=LATER, oldest=ALL).total() == count
    assert places.count("prune_ledger:after") == 3
    assert totals(store) == {("tutors", "dead_lettered"): count}


def test_statistics_are_there_after_refreshing(store: Store) -> None:
    store.write(TUTORS, [dead("1-1")], "r")
    store.refresh_statistics()
    known = {
        "sqlite": "SELECT tbl FROM sqlite_stat1",
        "postgresql": "SELECT tablename FROM pg_stats WHERE schemaname = 'public'",
    }
    with store.engine.connect() as connection:
        tables = set(connection.scalars(text(known[connection.dialect.name])))
    assert "message_ledger" in tables
