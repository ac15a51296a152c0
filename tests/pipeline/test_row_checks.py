"""Doubtful rows: which count, and that they are named by their ids."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from queue_core import Channel, MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from tutormax_pipeline.drain import drain
from tutormax_pipeline.row_findings import explain_unknown, explain_unusual
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.unknown_references import unknown_references
from tutormax_pipeline.store.unusual_rows import unusual_rows

pytestmark = pytest.mark.on_both_databases

TUTORS, SESSIONS, FEEDBACK = QueueChannels.all()
NOW = datetime.now(UTC)


def at(hours: float) -> str:
    return (NOW + timedelta(hours=hours)).isoformat()


def fill(client: RedisClient, store: Store, channel: Channel, *records: dict[str, Any]) -> None:
    MessagePublisher(client).publish_batch(channel, records)
    report = drain(MessageConsumer(client), store, channel, run_id="r")
    assert report.messages == len(records)


def session(session_id: str, **fields: object) -> dict[str, Any]:
    return {"session_id": session_id, "tutor_id": "T1", **fields}


def feedback(feedback_id: str, **fields: object) -> dict[str, Any]:
    return {"feedback_id": feedback_id, "tutor_id": "T1", "rating": 3.0, **fields}


def test_empty_tables_have_nothing_doubtful(store: Store) -> None:
    assert [unusual_rows(store, channel, NOW, 20) for channel in QueueChannels.all()] == [[], [], []]
    assert explain_unknown(unknown_references(store, 20)) == []


@pytest.mark.parametrize(
    ("channel", "usual", "unusual", "what"),
    [
        (
            TUTORS,
            {"tutor_id": "T1", "name": "x", "sessions_count": 50_000},
            {"tutor_id": "T2", "name": "x", "sessions_count": 50_001},
            "more than 50,000 sessions",
        ),
        (
            SESSIONS,
            session("S1", duration_minutes=720.0),
            session("S2", duration_minutes=720.5),
            "longer than 12 hours",
        ),
        (
            SESSIONS,
            session("S1", started_at=at(-1), ended_at=at(-1)),
            session("S2", started_at=at(-1), ended_at=at(-1.01)),
            "ends before it starts",
        ),
        (
            SESSIONS,
            session("S1", status="scheduled", ended_at=at(5)),
            session("S2", status="completed", ended_at=at(5)),
            "completed, and ends in the future",
        ),
        (
            SESSIONS,
            session("S1", status="no_show", participants=0),
            session("S2", status="completed", participants=0),
            "completed without participants",
        ),
        (
            SESSIONS,
            session("S1", status="cancelled", engagement=0.0),
            session("S2", status="cancelled", engagement=0.5),
            "engagement in a session that was not held",
        ),
        (
            FEEDBACK,
            feedback("F1", submitted_at=at(0.9)),
            feedback("F2", submitted_at=at(1.1)),
            "submitted in the future",
        ),
        (
            FEEDBACK,
            feedback("F1", rating=2.5, sentiment="positive"),
            feedback("F2", rating=2.0, sentiment="positive"),
            "rating and sentiment contradict each other",
        ),
        (
            FEEDBACK,
            feedback("F1", rating=3.5, sentiment="negative"),
            feedback("F2", rating=4.0, sentiment="negative"),
            "rating and sentiment contradict each other",
        ),
    ],
)
def test_a_row_is_unusual_from_one_bound_on(
    client: RedisClient,
    store: Store,
    channel: Channel,
    usual: dict[str, Any],
    unusual: dict[str, Any],
    what: str,
) -> None:
    fill(client, store, channel, usual, unusual)
    (found,) = unusual_rows(store, channel, NOW, 20)
    assert (found.what, found.rows, found.ids) == (what, 1, (unusual[channel.id_field],))


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_a_message_from_the_future_is_unusual_in_every_table(
    client: RedisClient, store: Store, channel: Channel
) -> None:
    record = {"tutor_id": "T1", "name": "x", "session_id": "S1", "feedback_id": "F1", "rating": 3.0}
    fill(client, store, channel, record)
    (found,) = unusual_rows(store, channel, NOW - timedelta(hours=2), 20)
    assert found.what == "published in the future"


def test_all_are_counted_and_the_first_named(client: RedisClient, store: Store) -> None:
    fill(client, store, SESSIONS, *(session(f"S{n}", duration_minutes=900.0) for n in range(30)))
    (found,) = unusual_rows(store, SESSIONS, NOW, 20)
    assert (found.rows, len(found.ids)) == (30, 20)
    (finding,) = explain_unusual(SESSIONS, [found])
    assert finding.summary == "30 rows of sessions: longer than 12 hours."


def test_feedback_is_named_whose_session_or_tutor_the_tables_do_not_have(
    client: RedisClient, store: Store
) -> None:
    fill(client, store, TUTORS, {"tutor_id": "T1", "name": "x"})
    fill(client, store, SESSIONS, session("S1"))
    fill(
        client,
        store,
        FEEDBACK,
        feedback("known", session_id="S1"),
        feedback("without a session"),
        feedback("of no session", session_id="S9"),
        feedback("of no tutor", tutor_id="T9", session_id="S1"),
        feedback("of neither", tutor_id="T9", session_id="S9"),
    )
    found = unknown_references(store, 20)
    assert (found.sessions, found.tutors) == (2, 2)
    assert set(found.feedback_ids) == {"of no session", "of no tutor", "of neither"}
    assert len(unknown_references(store, 2).feedback_ids) == 2
    (finding,) = explain_unknown(found)
    assert "2 feedback rows name a session, and 2 a tutor" in finding.summary
    fill(client, store, SESSIONS, session("S9"))
    fill(client, store, TUTORS, {"tutor_id": "T9", "name": "x"})
    assert explain_unknown(unknown_references(store, 20)) == []
