"""The effect happens once and in order, and what is written reads back as it was."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest
from sqlalchemy import select, text

from queue_core import MessageConsumer, QueueChannels, RedisClient
from queue_core.entry import Delivery, Entry
from queue_core.outcomes import Outcome, Reason
from queue_core.serializer import checksum, serialize
from tests.pipeline.conftest import START, ledger, rows
from tutormax_pipeline.judge import Judge
from tutormax_pipeline.store import Arrival, Store, StoreUnavailableError
from tutormax_pipeline.store.tables import message_ledger

pytestmark = pytest.mark.on_both_databases

TUTORS = QueueChannels.TUTORS
SESSIONS = QueueChannels.SESSIONS
Make = Callable[..., Arrival]
TOGETHER = pytest.mark.parametrize("together", [True, False], ids=["one batch", "two batches"])


def outcomes(store: Store, *arrivals: Arrival) -> list[tuple[Outcome, bool]]:
    settled = store.write(TUTORS, arrivals, "run-1")
    assert [one.arrival.entry for one in settled] == [one.entry for one in arrivals]
    return [(one.outcome, one.repeated) for one in settled]


def written(store: Store, arrivals: list[Arrival], *, together: bool) -> list[tuple[Outcome, bool]]:
    batches = [arrivals] if together else [[one] for one in arrivals]
    return [one for batch in batches for one in outcomes(store, *batch)]


@TOGETHER
def test_the_same_entry_again_changes_nothing(store: Store, arrival: Make, together: bool) -> None:
    batch = [
        arrival("1-0", "a"),
        arrival("1-0", "a"),
        arrival("2-0", "b", name=7),
        arrival("2-0", "b", name=7),
    ]
    assert written(store, batch, together=together) == [
        (Outcome.STORED, False),
        (Outcome.STORED, True),
        (Outcome.DEAD_LETTERED, False),
        (Outcome.DEAD_LETTERED, True),
    ]
    assert ledger(store) == [("1-0", "a", "stored", None), ("2-0", "b", "dead_lettered", "invalid")]
    assert len(rows(store)) == 1
    before = (rows(store), ledger(store))
    assert {repeated for _, repeated in outcomes(store, *batch)} == {True}
    assert (rows(store), ledger(store)) == before


def test_among_entries_that_were_settled_before_the_new_ones_are_written(store: Store, arrival: Make) -> None:
    made = [arrival(f"{n}-0", f"m{n}", tutor_id=f"T{n}") for n in range(6)]
    outcomes(store, made[1], made[4])
    assert [repeated for _, repeated in outcomes(store, *made)] == [False, True, False, False, True, False]
    assert len(rows(store)) == len(ledger(store)) == 6


@TOGETHER
def test_the_same_message_in_two_entries_takes_effect_once(
    store: Store, arrival: Make, together: bool
) -> None:
    batch = [arrival("1-0", "a", rating=1.0), arrival("2-0", "a", rating=2.0), arrival("3-0", "b", minute=-1)]
    assert written(store, batch, together=together) == [
        (Outcome.STORED, False),
        (Outcome.DUPLICATE, False),
        (Outcome.STORED, False),
    ]
    assert [row["rating"] for row in rows(store)] == [1.0]
    assert [one[1:3] for one in ledger(store)] == [("a", "stored"), ("a", "duplicate"), ("b", "stored")]


def test_a_message_that_was_a_dead_letter_may_be_stored_later(store: Store, arrival: Make) -> None:
    refused = arrival("1-0", "a", name=7)
    assert outcomes(store, refused) == [(Outcome.DEAD_LETTERED, False)]
    assert outcomes(store, refused, arrival("2-0", "a", name="seven")) == [
        (Outcome.DEAD_LETTERED, True),
        (Outcome.STORED, False),
    ]
    assert [row["name"] for row in rows(store)] == ["seven"]


def test_the_same_ids_in_another_channel_are_others(store: Store, client: RedisClient, arrival: Make) -> None:
    outcomes(store, arrival("1-0", "a"))
    stream = client.keys.stream(SESSIONS)
    body = serialize(stream, {"session_id": "S", "tutor_id": "T"}, message_id="a")
    judged = Judge(MessageConsumer(client), SESSIONS)(Entry("1-0", {b"message": body}, 2, 0, Delivery.AGAIN))
    (settled,) = store.write(SESSIONS, [judged], "run-1")
    assert (settled.outcome, settled.repeated) == (Outcome.STORED, False)
    assert (store.row_count(SESSIONS), store.outcome_counts(SESSIONS)[Outcome.STORED]) == (1, 1)


@TOGETHER
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 2, 0), (0, 2, 1)])
def test_an_older_message_never_overwrites_a_newer_row(
    store: Store, arrival: Make, together: bool, order: tuple[int, ...]
) -> None:
    made = [arrival(f"{9 - n}-0", f"m{n}", minute=n, rating=float(n)) for n in range(3)]
    batch = [made[n] for n in order]
    assert written(store, batch, together=together) == [(Outcome.STORED, False)] * 3
    (row,) = rows(store)
    assert (row["rating"], row["message_id"], row["entry_id"]) == (2.0, "m2", "7-0")


@pytest.mark.parametrize(
    ("earlier", "later"), [("5-2", "5-10"), ("99-0", "100-0"), ("5-9", "10-0"), ("9-1", "10-0")]
)
@TOGETHER
@pytest.mark.parametrize("swapped", [True, False])
def test_messages_of_the_same_instant_are_ordered_by_entry_id_as_a_number(
    store: Store, arrival: Make, earlier: str, later: str, together: bool, swapped: bool
) -> None:
    both = [arrival(earlier, "a", rating=1.0), arrival(later, "b", rating=2.0)]
    written(store, both[::-1] if swapped else both, together=together)
    assert [row["rating"] for row in rows(store)] == [2.0]


@TOGETHER
def test_times_with_other_offsets_are_ordered_as_instants(
    store: Store, client: RedisClient, together: bool
) -> None:
    stream = client.keys.stream(TUTORS)

    def from_elsewhere(entry_id: str, timestamp: str, name: str) -> Arrival:
        data = {"tutor_id": "T1", "name": name}
        envelope = {"id": name, "timestamp": timestamp, "channel": stream, "data": data}
        body = orjson.dumps(envelope | {"checksum": checksum(data)})
        return Judge(MessageConsumer(client), TUTORS)(
            Entry(entry_id, {b"message": body}, 2, 0, Delivery.AGAIN)
        )

    later = from_elsewhere("1-0", "2026-11-07T20:00:00.000001-02:00", "later")
    earlier = from_elsewhere("2-0", "2026-11-07T23:00:00+01:00", "earlier")
    assert written(store, [later, earlier], together=together) == [(Outcome.STORED, False)] * 2
    (row,) = rows(store)
    assert row["name"] == "later"
    assert row["published_at"] == datetime(2026, 11, 7, 22, 0, 0, 1, tzinfo=UTC)


def test_what_is_stored_reads_back_equal(store: Store, arrival: Make) -> None:
    data = {
        "name": "Zoë \U0001f600 'quoted' \\ \n\u2028",
        "rating": 5,
        "sessions_count": 2**53 - 1,
        "qualifications": ["a", "ü"],
        "demographics": {"age": 36, "nested": {"x": [1.5, None, True]}},
        "active": False,
        "unlisted": {"kept": [1, 2]},
        "extra": "a field of that name",
        "message_id": "not the message's",
    }
    outcomes(store, arrival("1-0", "a", **data))
    (row,) = rows(store)
    extra = row.pop("extra")
    listed = ("name", "rating", "sessions_count", "qualifications", "demographics", "active")
    assert {name: row[name] for name in listed} == {name: data[name] for name in listed}
    assert extra == {name: data[name] for name in ("unlisted", "extra", "message_id")}
    assert row["subject"] is row["email"] is row["metrics"] is None
    assert (row["message_id"], row["entry_id"], row["run_id"]) == ("a", "1-0", "run-1")
    assert row["published_at"] == START
    assert row["stored_at"].tzinfo is UTC
    assert abs((datetime.now(UTC) - row["stored_at"]).total_seconds()) < 60


def test_points_in_time_and_lists_of_a_session_read_back_equal(store: Store, client: RedisClient) -> None:
    data = {
        "session_id": "S1",
        "tutor_id": "T1",
        "student_ids": [],
        "scheduled_start": "2026-11-07T21:00:00+02:00",
        "started_at": "2026-11-07T19:00:00.123456Z",
        "duration_minutes": 0.1,
        "engagement": 0,
    }
    body = serialize(client.keys.stream(SESSIONS), data)
    judged = Judge(MessageConsumer(client), SESSIONS)(Entry("1-0", {b"message": body}, 2, 0, Delivery.AGAIN))
    store.write(SESSIONS, [judged], "run-1")
    (row,) = rows(store, SESSIONS)
    assert row["scheduled_start"] == datetime(2026, 11, 7, 19, tzinfo=UTC)
    assert row["started_at"] == datetime(2026, 11, 7, 19, 0, 0, 123_456, tzinfo=UTC)
    assert row["ended_at"] is row["extra"] is None
    assert (row["student_ids"], row["duration_minutes"], row["engagement"]) == ([], 0.1, 0)


def test_absent_values_are_null_in_the_database_and_not_the_text_null(store: Store, arrival: Make) -> None:
    outcomes(store, arrival("1-0", "a", metrics=None))
    with store.engine.connect() as connection:
        query = text(
            "SELECT count(*) FROM tutors WHERE metrics IS NULL AND extra IS NULL AND subject IS NULL"
        )
        assert connection.scalar(query) == 1


def test_a_newer_message_replaces_the_whole_row(store: Store, arrival: Make) -> None:
    outcomes(store, arrival("1-0", "a", subject="Mathematics", unlisted=1))
    outcomes(store, arrival("2-0", "b", minute=1, rating=4.5))
    (row,) = rows(store)
    assert (row["subject"], row["extra"], row["rating"], row["message_id"]) == (None, None, 4.5, "b")


def test_a_ledger_row_says_what_became_of_an_entry_and_by_whom(
    store: Store, client: RedisClient, arrival: Make
) -> None:
    judge = Judge(MessageConsumer(client), TUTORS)
    unreadable = judge(Entry("2-0", {b"message": b"junk"}, 3, delivery=Delivery.AGAIN))
    store.write(TUTORS, [arrival("1-0", "a"), unreadable, arrival("3-0", "c", minute=3, name=7)], "run-9")
    with store.engine.connect() as connection:
        found = [dict(row._mapping) for row in connection.execute(select(message_ledger))]
    recorded = {row.pop("recorded_at") for row in found}
    assert {abs((datetime.now(UTC) - at).total_seconds()) < 60 for at in recorded} == {True}
    same = {"channel": "tutors", "run_id": "run-9"}
    stored = {"entry_id": "1-0", "message_id": "a", "outcome": "stored", "reason": None}
    unread = {"entry_id": "2-0", "message_id": None, "outcome": "dead_lettered", "reason": "malformed"}
    invalid = {"entry_id": "3-0", "message_id": "c", "outcome": "dead_lettered", "reason": "invalid"}
    assert sorted(found, key=lambda row: row["entry_id"]) == [
        {**same, **stored, "deliveries": 2, "published_at": START},
        {**same, **unread, "deliveries": 3, "published_at": None},
        {**same, **invalid, "deliveries": 2, "published_at": START.replace(minute=3)},
    ]


def test_counts_are_by_outcome(store: Store, arrival: Make) -> None:
    assert store.write(TUTORS, [], "run-1") == []
    assert set(store.outcome_counts(TUTORS).values()) == {0}
    lost = Arrival(Entry("4-0", {}), None, None)
    outcomes(store, arrival("1-0", "a"), arrival("2-0", "a"), arrival("3-0", "b", tutor_id=""), lost)
    assert store.outcome_counts(TUTORS) == dict.fromkeys(Outcome, 1)
    assert set(store.outcome_counts(SESSIONS).values()) == {0}
    assert (store.row_count(TUTORS), store.row_count(SESSIONS)) == (1, 0)


def test_a_reader_is_not_kept_waiting_by_a_batch_and_sees_whole_ones(tmp_path: Path, arrival: Make) -> None:
    with Store.open(f"sqlite:///{tmp_path}/s.db", timeout_seconds=0.05) as store:
        outcomes(store, arrival("1-0", "a"))
        writer = sqlite3.connect(tmp_path / "s.db", isolation_level=None)
        writer.execute("BEGIN IMMEDIATE")
        writer.execute("DELETE FROM tutors")
        assert store.row_count(TUTORS) == 1
        with pytest.raises(StoreUnavailableError, match="locked"):
            outcomes(store, arrival("2-0", "b"))
        writer.execute("ROLLBACK")
        writer.close()


def test_an_entry_id_given_again_to_another_message_is_not_taken_for_a_second_delivery(
    store: Store, arrival: Make
) -> None:
    assert outcomes(store, arrival("1-0", "a", tutor_id="T1")) == [(Outcome.STORED, False)]
    (settled,) = store.write(TUTORS, [arrival("1-0", "b", tutor_id="T2")], "run-2")
    assert (settled.outcome, settled.repeated) == (Outcome.DEAD_LETTERED, True)
    assert settled.rejection is not None
    assert (settled.rejection.reason, settled.rejection.message_id) == (Reason.REJECTED, "b")
    assert "redrive" in settled.rejection.errors[0]
    assert store.outcome_counts(TUTORS)[Outcome.STORED] == 1
