"""The data contract: values are taken as they are, or refused with the field's name."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from queue_core import Channel, QueueChannels
from queue_core.outcomes import Message, Reason, Rejection
from tutormax_pipeline.latency import LatencyHistogram
from tutormax_pipeline.records import Feedback, Record, Session, Tutor, record_class, validate
from tutormax_pipeline.sample import sample_lines


def check(contract: type[Record], **data: object) -> Record | Rejection:
    return validate(contract, Message("m", datetime.now(UTC), "c", data, {}))


TUTOR = {"tutor_id": "T", "name": "x"}
SESSION = {"session_id": "S", "tutor_id": "T"}
FEEDBACK = {"feedback_id": "F", "tutor_id": "T", "rating": 4}


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_the_sample_keeps_its_contract(channel: Channel) -> None:
    for line in sample_lines(channel):
        assert isinstance(check(record_class(channel), **orjson.loads(line)), record_class(channel))


@pytest.mark.parametrize(("contract", "data"), [(Tutor, TUTOR), (Session, SESSION), (Feedback, FEEDBACK)])
def test_the_required_fields_are_enough_and_each_is_required(
    contract: type[Record], data: dict[str, object]
) -> None:
    assert isinstance(check(contract, **data), contract)
    for name in data:
        result = check(contract, **{field: value for field, value in data.items() if field != name})
        assert isinstance(result, Rejection)
        assert (result.reason, result.errors) == (Reason.INVALID, (f"{name}: Field required",))


@pytest.mark.parametrize(
    ("contract", "data", "field", "value"),
    [
        (Tutor, TUTOR, "rating", 5.1),
        (Tutor, TUTOR, "rating", "4.8"),
        (Tutor, TUTOR, "rating", True),
        (Tutor, TUTOR, "sessions_count", -1),
        (Tutor, TUTOR, "sessions_count", 1.5),
        (Tutor, TUTOR, "qualifications", "one"),
        (Tutor, TUTOR, "demographics", []),
        (Tutor, TUTOR, "active", 1),
        (Tutor, TUTOR, "tutor_id", ""),
        (Tutor, TUTOR, "tutor_id", "x" * 257),
        (Session, SESSION, "status", "SECRET"),
        (Session, SESSION, "engagement", 1.01),
        (Session, SESSION, "duration_minutes", -0.5),
        (Session, SESSION, "started_at", "SECRET"),
        (Session, SESSION, "started_at", 1_762_500_000),
        (Session, SESSION, "ended_at", "0001-01-01T00:00:00+14:00"),
        (Feedback, FEEDBACK, "rating", 0.9),
        (Feedback, FEEDBACK, "rating", 5.5),
        (Feedback, FEEDBACK, "sentiment", "happy"),
        (Feedback, FEEDBACK, "sentiment_score", -1.1),
    ],
)
def test_a_value_out_of_its_contract_is_refused_by_name_and_not_quoted(
    contract: type[Record], data: dict[str, object], field: str, value: object
) -> None:
    result = check(contract, **{**data, field: value})
    assert isinstance(result, Rejection)
    (error,) = result.errors
    assert error.startswith(f"{field}: ")
    assert "SECRET" not in error


def test_instants_are_utc_and_unlisted_fields_are_kept() -> None:
    session = check(
        Session, **SESSION, started_at="2026-11-07T21:00:00+02:00", ended_at="2026-11-07T22:00:00", room=5
    )
    assert isinstance(session, Session)
    assert session.started_at == datetime(2026, 11, 7, 19, tzinfo=UTC)
    assert session.ended_at == datetime(2026, 11, 7, 22, tzinfo=UTC)
    assert session.model_extra == {"room": 5}


def test_a_channel_whose_record_is_missing_is_named() -> None:
    with pytest.raises(LookupError, match="Nobody"):
        record_class(Channel("x", purpose="", record="Nobody", id_field="x"))


def test_percentiles_are_right_to_a_few_percent() -> None:
    histogram = LatencyHistogram()
    assert histogram.percentile_ms(50) is None
    for milliseconds in range(1, 1_001):
        histogram.add(milliseconds)
    assert histogram.percentile_ms(50) == pytest.approx(500, rel=0.05)
    assert histogram.percentile_ms(95) == pytest.approx(950, rel=0.05)
    assert histogram.percentile_ms(100) == pytest.approx(1_000, rel=0.05)
    assert histogram.max_ms == 1_000
