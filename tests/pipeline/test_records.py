"""The data contract: values are taken as they are, or refused with the field's name."""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import pytest

from queue_core import Channel, QueueChannels
from queue_core.outcomes import Message, Reason, Rejection
from tutormax_pipeline.records import Feedback, Record, Session, Tutor, record_class, validate
from tutormax_pipeline.sample import sample_lines

NOW = datetime(2026, 11, 7, 21, tzinfo=UTC)


def check(contract: type[Record], **data: object) -> Record | Rejection:
    return validate(contract, Message("m", NOW, "c", data, {}))


def accepted(contract: type[Record], **data: object) -> Record:
    record = check(contract, **data)
    assert isinstance(record, contract), record
    return record


def refused(contract: type[Record], **data: object) -> Rejection:
    rejection = check(contract, **data)
    assert isinstance(rejection, Rejection), rejection
    return rejection


TUTOR = {"tutor_id": "T", "name": "x"}
SESSION = {"session_id": "S", "tutor_id": "T"}
FEEDBACK = {"feedback_id": "F", "tutor_id": "T", "rating": 4}
LEAST = [(Tutor, TUTOR), (Session, SESSION), (Feedback, FEEDBACK)]


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_the_sample_keeps_its_contract(channel: Channel) -> None:
    lines = list(sample_lines(channel))
    for line in lines:
        accepted(record_class(channel), **orjson.loads(line))
    ids = [orjson.loads(line)[channel.id_field] for line in lines]
    assert len(set(ids)) == len(lines)


@pytest.mark.parametrize(("contract", "data"), LEAST)
def test_the_required_fields_are_enough_and_each_is_required(
    contract: type[Record], data: dict[str, object]
) -> None:
    record = accepted(contract, **data)
    assert {name for name, value in record if value is not None} == set(data)
    for name in data:
        rest = {field: value for field, value in data.items() if field != name}
        assert refused(contract, **rest).errors == (f"{name}: Field required",)
        assert refused(contract, **{**data, name: None}).errors[0].startswith(f"{name}: ")


@pytest.mark.parametrize(("contract", "data"), LEAST)
def test_every_other_field_may_be_null_or_left_out(contract: type[Record], data: dict[str, object]) -> None:
    optional = set(contract.model_fields) - set(data)
    assert accepted(contract, **data, **dict.fromkeys(optional)) == accepted(contract, **data)


@pytest.mark.parametrize(
    ("contract", "data", "field", "value"),
    [
        (Tutor, TUTOR, "rating", 5.1),
        (Tutor, TUTOR, "rating", -0.1),
        (Tutor, TUTOR, "rating", "4.8"),
        (Tutor, TUTOR, "rating", True),
        (Tutor, TUTOR, "rating", float("nan")),
        (Tutor, TUTOR, "rating", float("inf")),
        (Tutor, TUTOR, "sessions_count", -1),
        (Tutor, TUTOR, "sessions_count", 1.5),
        (Tutor, TUTOR, "sessions_count", "3"),
        (Tutor, TUTOR, "sessions_count", False),
        (Tutor, TUTOR, "qualifications", "one"),
        (Tutor, TUTOR, "demographics", []),
        (Tutor, TUTOR, "metrics", "{}"),
        (Tutor, TUTOR, "active", 1),
        (Tutor, TUTOR, "active", "true"),
        (Tutor, TUTOR, "name", 7),
        (Tutor, TUTOR, "tutor_id", 7),
        (Tutor, TUTOR, "tutor_id", ""),
        (Tutor, TUTOR, "tutor_id", "x" * 257),
        (Session, SESSION, "tutor_id", ""),
        (Session, SESSION, "status", "SECRET"),
        (Session, SESSION, "status", "Completed"),
        (Session, SESSION, "engagement", 1.01),
        (Session, SESSION, "engagement", -0.01),
        (Session, SESSION, "duration_minutes", -0.5),
        (Session, SESSION, "participants", -1),
        (Session, SESSION, "student_ids", {"0": "a"}),
        (Session, SESSION, "started_at", "SECRET"),
        (Session, SESSION, "started_at", ""),
        (Session, SESSION, "started_at", 1_762_500_000),
        (Session, SESSION, "scheduled_start", "2026-13-01T00:00:00Z"),
        (Session, SESSION, "ended_at", "0001-01-01T00:00:00+14:00"),
        (Session, SESSION, "ended_at", "9999-12-31T23:59:59-14:00"),
        (Feedback, FEEDBACK, "rating", 0.9),
        (Feedback, FEEDBACK, "rating", 5.5),
        (Feedback, FEEDBACK, "sentiment", "happy"),
        (Feedback, FEEDBACK, "sentiment_score", -1.1),
        (Feedback, FEEDBACK, "sentiment_score", 1.1),
        (Feedback, FEEDBACK, "submitted_at", ["2026-11-07"]),
    ],
)
def test_a_value_out_of_its_contract_is_refused_by_name_and_not_quoted(
    contract: type[Record], data: dict[str, object], field: str, value: object
) -> None:
    rejection = refused(contract, **{**data, field: value})
    assert rejection.reason is Reason.INVALID
    (error,) = rejection.errors
    assert error.startswith(f"{field}: ")
    assert "SECRET" not in error


@pytest.mark.parametrize(
    ("contract", "data", "field", "values"),
    [
        (Tutor, TUTOR, "rating", [0, 5, 4.8]),
        (Tutor, TUTOR, "sessions_count", [0, 2**53 - 1]),
        (Tutor, TUTOR, "tutor_id", ["x" * 256, " "]),
        (Tutor, TUTOR, "name", [""]),
        (Session, SESSION, "status", ["scheduled", "completed", "cancelled", "no_show"]),
        (Session, SESSION, "engagement", [0, 1]),
        (Session, SESSION, "duration_minutes", [0, 0.5, 60]),
        (Session, SESSION, "student_ids", [[], ["a", "b"]]),
        (Feedback, FEEDBACK, "rating", [1, 5, 2.5]),
        (Feedback, FEEDBACK, "sentiment", ["positive", "neutral", "negative"]),
        (Feedback, FEEDBACK, "sentiment_score", [-1, 0, 1]),
    ],
)
def test_the_bounds_themselves_are_taken_as_they_are(
    contract: type[Record], data: dict[str, object], field: str, values: list[object]
) -> None:
    for value in values:
        assert getattr(accepted(contract, **{**data, field: value}), field) == value


def test_every_fault_of_a_message_is_named_down_to_the_element() -> None:
    rejection = refused(
        Session, session_id="", student_ids=["a", 2], status="SECRET", engagement=2, notes="fine"
    )
    assert [error.partition(": ")[0] for error in rejection.errors] == [
        "session_id",
        "tutor_id",
        "student_ids.1",
        "status",
        "engagement",
    ]
    assert (rejection.message_id, rejection.published_at) == ("m", NOW)


@pytest.mark.parametrize(("contract", "data"), LEAST)
@pytest.mark.parametrize(
    "wrong", [["SECRET"], [{"SECRET": 1}], {"SECRET": "SECRET"}, "SECRET" * 100], ids=repr
)
def test_no_error_holds_a_value_whatever_the_field(
    contract: type[Record], data: dict[str, object], wrong: object
) -> None:
    rejection = refused(contract, **{**data, **dict.fromkeys(contract.model_fields, wrong)})
    assert len(rejection.errors) > 3
    assert "SECRET" not in str(rejection)


def test_no_error_holds_a_key_that_is_not_of_the_contract() -> None:
    class Nested(Record):
        metrics: dict[str, dict[str, int]]

    rejection = refused(Nested, metrics={"MARKED": {"MARKED": "x"}, "more": ["x"]})
    assert [error.partition(": ")[0] for error in rejection.errors] == ["metrics.*.*", "metrics.*"]
    assert "MARKED" not in str(rejection)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-07T21:00:00Z", datetime(2026, 11, 7, 21, tzinfo=UTC)),
        ("2026-11-07T21:00:00+02:00", datetime(2026, 11, 7, 19, tzinfo=UTC)),
        ("2026-11-07T22:00:00", datetime(2026, 11, 7, 22, tzinfo=UTC)),
        ("2026-11-07 22:00:00.250000-05:30", datetime(2026, 11, 8, 3, 30, 0, 250_000, tzinfo=UTC)),
    ],
)
def test_instants_are_utc_and_read_so_where_no_offset_is_given(text: str, moment: datetime) -> None:
    session = accepted(Session, **SESSION, started_at=text)
    assert isinstance(session, Session)
    assert session.started_at == moment
    assert session.started_at.tzinfo is UTC


def test_unlisted_fields_are_kept_whatever_their_names() -> None:
    names = ["room", "extra", "model_config", "model_fields", "__dict__", "self", "", "message_id", "a.b"]
    extra = {name: {"kept": [number, None]} for number, name in enumerate(names)}
    assert accepted(Tutor, **TUTOR, **extra).model_extra == extra


def test_a_channel_whose_record_is_missing_is_named() -> None:
    for name in ("Nobody", "Message", "validate"):
        with pytest.raises(LookupError, match=name):
            record_class(Channel("x", purpose="", record=name, id_field="x"))
