"""The envelope: what is refused at publishing, and that every byte string reads as one thing or the other."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from queue_core.errors import InvalidMessageError
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.serializer import checksum, deserialize, extract_data, extract_metadata, serialize
from tests.queue.json_values import nested, records

CHANNEL = "tutormax:tutors"
SECRET = "SECRET-NAME"
DATA = {"tutor_id": "T1", "name": SECRET, "rating": 4.8}
FIELDS = ["id", "timestamp", "channel", "data", "checksum"]


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def envelope(**changes: object) -> dict[str, object]:
    return orjson.loads(serialize(CHANNEL, DATA, message_id="m-1")) | changes


def read(value: object) -> Message | Rejection:
    return deserialize(value if isinstance(value, bytes) else json.dumps(value).encode(), channel=CHANNEL)


def rejected(value: object, reason: Reason) -> Rejection:
    result = read(value)
    assert isinstance(result, Rejection)
    assert result.reason is reason
    assert SECRET not in " ".join(result.errors)
    return result


def accepted(value: object) -> Message:
    result = read(value)
    assert isinstance(result, Message)
    return result


@pytest.fixture
def far_from_greenwich() -> Iterator[None]:
    """A local time of which nothing may be read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TZ", "XXX-05:30")
        time.tzset()
        yield
    time.tzset()


def test_what_is_written_is_the_documented_envelope() -> None:
    moment = datetime(2026, 11, 7, 21, tzinfo=UTC)
    body = serialize(CHANNEL, DATA, metadata={"source": "api"}, message_id="m-1", published_at=moment)
    assert json.loads(body) == {
        "id": "m-1",
        "timestamp": "2026-11-07T21:00:00Z",
        "channel": CHANNEL,
        "data": DATA,
        "metadata": {"source": "api"},
        "checksum": hashlib.sha256(rfc8785.dumps(DATA)).hexdigest(),
    }


def test_what_is_written_reads_back() -> None:
    body = serialize(CHANNEL, DATA, metadata={"source": "api"})
    message = accepted(body)
    assert uuid.UUID(message.id).version == 4
    assert (message.channel, message.data, message.metadata) == (CHANNEL, DATA, {"source": "api"})
    assert timedelta(0) <= datetime.now(UTC) - message.published_at < timedelta(seconds=5)
    assert (extract_data(body), extract_metadata(body)) == (DATA, {"source": "api"})


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (float("nan"), "NaN"),
        (float("inf"), "infinity"),
        (2**53, "2\\^53"),
        (-(2**60), "2\\^53"),
        ("a\x00b", "U\\+0000"),
        ("\ud800", "surrogate"),
        (deep(63), "nested deeper"),
        (deep(100_000), "nested deeper"),
        ({1: "x"}, "not plain text"),
        ({"\x00": 1}, "U\\+0000"),
        (datetime.now(UTC), "datetime is not JSON"),
        (b"bytes", "bytes is not JSON"),
        (type("Price", (float,), {})(4.5), "not a plain number"),
    ],
)
def test_what_json_cannot_carry_is_refused_at_publishing(value: object, words: str) -> None:
    with pytest.raises(InvalidMessageError, match=words) as caught:
        serialize(CHANNEL, {"name": SECRET, "field": value}, message_id="m-1")
    assert str(caught.value).startswith("Message m-1 cannot be published: ")
    assert SECRET not in str(caught.value)
    with pytest.raises(InvalidMessageError, match=words):
        serialize(CHANNEL, DATA, metadata={"field": value})


@pytest.mark.parametrize("data", [None, [1], [("a", 1)], "text", 5])
def test_data_must_be_an_object(data: object) -> None:
    with pytest.raises(InvalidMessageError, match="an object of fields"):
        serialize(CHANNEL, data)  # type: ignore[arg-type]


@pytest.mark.parametrize("message_id", ["", "x" * 129, 5, b"m", "\ud800", "a\x00"])
def test_a_message_id_is_a_short_text_that_can_be_carried_and_shown(message_id: object) -> None:
    with pytest.raises(InvalidMessageError, match=r"^message id") as caught:
        serialize(CHANNEL, DATA, message_id=message_id)  # type: ignore[arg-type]
    assert str(caught.value).encode()
    assert "\x00" not in str(caught.value)


@pytest.mark.parametrize(
    "moment",
    [
        datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=14))),
        datetime(9999, 12, 31, 23, tzinfo=timezone(timedelta(hours=-2))),
    ],
)
def test_a_time_that_utc_does_not_have_is_refused_at_publishing(moment: datetime) -> None:
    with pytest.raises(InvalidMessageError, match="published_at is out of range"):
        serialize(CHANNEL, DATA, published_at=moment)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"not json",
        b'{"id": "trunc',
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b"[]",
        b"5",
        b'"text"',
        b"null",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"id": NaN}',
        b'{"id": 1e999}',
    ],
)
def test_what_is_no_envelope_is_malformed(body: bytes) -> None:
    result = rejected(body, Reason.MALFORMED)
    assert [error.partition(":")[0] for error in result.errors] == ["envelope"]
    assert (result.message_id, result.published_at) == (None, None)


def test_every_truncation_of_an_envelope_is_malformed() -> None:
    body = serialize(CHANNEL, {**DATA, "name": "é\U0001f600"})
    for length in range(len(body)):
        rejected(body[:length], Reason.MALFORMED)


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (b'{"a":1,"a":1}', "same key twice"),
        (b'{"a":9007199254740993}', "2^53"),
        (b'{"a":123456789012345678901234567890}', "2^53"),
        (b'{"a":' + b"1" * 5_000 + b"}", "not JSON"),
        (b'{"a":"\\u0000"}', "U+0000"),
        (b'{"a":"\\ud800"}', "not JSON"),
        (b'{"a":"\xed\xa0\x80"}', "not JSON"),
        (b'{"a":"\xff"}', "not JSON"),
        (b'{"a":' + b"[" * 63 + b"]" * 63 + b"}", "nested"),
        (b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "not JSON"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":-Infinity}', "not JSON"),
    ],
)
def test_data_that_another_reader_would_read_differently_is_malformed(inside: bytes, words: str) -> None:
    body = orjson.dumps(envelope(data={"a": "HERE"})).replace(b'{"a":"HERE"}', inside)
    assert words in rejected(body, Reason.MALFORMED).errors[0]


@pytest.mark.parametrize("field", FIELDS)
def test_a_missing_field_is_malformed_and_named(field: str) -> None:
    incomplete = envelope()
    del incomplete[field]
    result = rejected(incomplete, Reason.MALFORMED)
    assert [error.partition(":")[0] for error in result.errors] == [field]
    assert result.message_id == (None if field == "id" else "m-1")
    assert (result.published_at is None) == (field == "timestamp")


def test_all_that_is_missing_is_named_at_once() -> None:
    errors = rejected({}, Reason.MALFORMED).errors
    assert [error.partition(":")[0] for error in errors] == FIELDS


def test_metadata_may_be_missing_and_other_fields_may_be_there() -> None:
    other = envelope(trace="t-1")
    del other["metadata"]
    assert accepted(other).metadata == {}


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("id", None),
        ("id", ""),
        ("id", 5),
        ("id", "x" * 129),
        ("timestamp", "yesterday, at noon, or later"),
        ("timestamp", "2026-11-07"),
        ("timestamp", "2026-13-07T00:00:00Z"),
        ("timestamp", 1_762_500_000),
        ("timestamp", "0001-01-01T00:00:00+14:00"),
        ("timestamp", "9999-12-31T23:59:59-01:00"),
        ("channel", None),
        ("channel", ["tutors"]),
        ("data", [1]),
        ("data", None),
        ("data", "{}"),
        ("metadata", "x"),
        ("metadata", None),
        ("checksum", None),
        ("checksum", 5),
    ],
)
def test_a_field_of_the_wrong_kind_is_malformed_and_named(field: str, value: object) -> None:
    errors = rejected(envelope(**{field: value}), Reason.MALFORMED).errors
    assert [error.partition(":")[0] for error in errors] == [field]


@pytest.mark.parametrize("digest", ["", "0" * 64, "x", "İ" * 64, "SECRET-NAME"])
def test_a_checksum_that_is_not_that_of_the_data_is_a_mismatch(digest: str) -> None:
    result = rejected(envelope(checksum=digest), Reason.CHECKSUM_MISMATCH)
    assert result.message_id == "m-1"
    assert result.published_at is not None


def test_changed_data_is_a_mismatch() -> None:
    rejected(envelope(data={**DATA, "rating": 4.9}), Reason.CHECKSUM_MISMATCH)
    rejected(envelope(data={**DATA, "extra": None}), Reason.CHECKSUM_MISMATCH)


@pytest.mark.parametrize("channel", ["tutormax:sessions", "tutors", "", SECRET])
def test_an_envelope_of_another_channel_is_invalid_where_the_channel_is_known(channel: str) -> None:
    other = envelope(channel=channel)
    assert rejected(other, Reason.INVALID).message_id == "m-1"
    assert isinstance(deserialize(orjson.dumps(other)), Message)


def test_a_body_over_the_limit_is_not_read_and_one_at_the_limit_is() -> None:
    body = serialize(CHANNEL, DATA)
    assert isinstance(deserialize(body, max_bytes=len(body)), Message)
    result = deserialize(body, max_bytes=len(body) - 1)
    assert isinstance(result, Rejection)
    assert (result.reason, result.message_id) == (Reason.TOO_LARGE, None)
    assert str(len(body)) in result.errors[0]


def test_an_entry_without_the_field_message_is_malformed() -> None:
    result = deserialize(None)
    assert isinstance(result, Rejection)
    assert result.errors == ("entry: has no field 'message'",)


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("2026-11-07T21:00:00Z", 21),
        ("2026-11-07T21:00:00", 21),
        ("2026-11-07 21:00:00.5", 21),
        ("2026-11-07T21:00:00+02:00", 19),
        ("2026-11-07T21:00:00.1234567-02:30", 23),
    ],
)
@pytest.mark.usefixtures("far_from_greenwich")
def test_naive_times_are_utc_and_offsets_are_converted(text: str, hour: int) -> None:
    moment = accepted(envelope(timestamp=text)).published_at
    assert (moment.hour, moment.tzinfo) == (hour, UTC)


@pytest.mark.usefixtures("far_from_greenwich")
def test_a_time_given_in_code_is_written_in_utc() -> None:
    for moment in (datetime(2026, 1, 1, 5), datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-5)))):  # noqa: DTZ001
        body = serialize(CHANNEL, DATA, published_at=moment)
        assert json.loads(body)["timestamp"] == "2026-01-01T05:00:00Z"


@pytest.mark.parametrize("rating", [b"4.0", b"4", b"4.00", b"40e-1"])
def test_a_producer_that_hashes_rfc_8785_is_believed_however_it_writes_a_number(rating: bytes) -> None:
    digest = hashlib.sha256(b'{"rating":4,"tutor_id":"T1"}').hexdigest()
    body = orjson.dumps(envelope(data={"tutor_id": "T1", "rating": "HERE"}, checksum=digest))
    assert accepted(body.replace(b'"HERE"', rating)).data == {"tutor_id": "T1", "rating": 4}


@pytest.mark.parametrize("write", [str.upper, str.lower])
def test_the_digest_may_be_in_either_case_and_the_text_in_any_layout(write: type[str]) -> None:
    data = {"tutor_id": "T1", "rating": 4.0, "big": 1e21, "\U0001f600": "é", "\ufb33": 2}
    digest = write(hashlib.sha256(rfc8785.dumps(data)).hexdigest())
    text = json.dumps(envelope(data=data, checksum=digest), indent=3, ensure_ascii=True).encode()
    assert accepted(text).data == data
    assert checksum(data) == digest.lower()


def test_extracting_from_what_does_not_hold_says_why_and_shows_no_value() -> None:
    for body in (b"not json", orjson.dumps(envelope(checksum="0"))):
        for extract in (extract_data, extract_metadata):
            with pytest.raises(InvalidMessageError, match=r"malformed: |checksum_mismatch: ") as caught:
                extract(body)
            assert SECRET not in str(caught.value)


@given(records, records)
def test_whatever_json_can_carry_reads_back_equal(
    data: dict[str, object], metadata: dict[str, object]
) -> None:
    message = accepted(serialize(CHANNEL, data, metadata=metadata))
    assert (repr(message.data), repr(message.metadata)) == (repr(data), repr(metadata))


@given(st.binary(max_size=200))
def test_every_byte_string_is_a_message_or_a_rejection(body: bytes) -> None:
    assert isinstance(deserialize(body, channel=CHANNEL, max_bytes=150), (Message, Rejection))


@given(st.integers(0, 400), st.binary(max_size=3), st.integers(0, 3))
def test_a_damaged_envelope_never_passes_as_another_message(place: int, junk: bytes, cut: int) -> None:
    body = serialize(CHANNEL, DATA, message_id="m-1")
    place %= len(body)
    result = read(body[:place] + junk + body[place + cut :])
    if isinstance(result, Message):
        assert result.data == DATA
    else:
        assert SECRET not in " ".join(result.errors)


secrets = nested(st.sampled_from([SECRET, f"\ud800{SECRET}", f"{SECRET}\x00", float("nan"), 2**60, None, 1]))


@given(st.dictionaries(st.sampled_from([*FIELDS, "metadata", "other"]), secrets))
def test_no_rejection_holds_a_value_of_the_message(changes: dict[str, object]) -> None:
    result = read(envelope(**changes))
    if isinstance(result, Rejection):
        assert SECRET not in " ".join(result.errors)


def marked(depth: int, wrong: object) -> dict[str, object]:
    """Free-form objects, so deep in the data, whose keys nobody may see."""
    value = wrong
    for _ in range(depth):
        value = {"MARKED_Doe": [{"MARKED Doe": value}]}
    return {"metrics": {"MARKED Doe": value}}


@pytest.mark.parametrize("depth", range(4))
@pytest.mark.parametrize("part", ["data", "metadata"])
def test_no_error_names_a_key_of_a_free_form_object(depth: int, part: str) -> None:
    value = marked(depth, 2**53)
    parts = {"data": {}, part: value}
    with pytest.raises(InvalidMessageError) as caught:
        serialize("s", **parts)
    body = orjson.dumps({"id": "m", "MARKED": 1, **parts})
    rejection = deserialize(body)
    assert isinstance(rejection, Rejection)
    twice = deserialize(b'{"MARKED": 1, "MARKED": 2}')
    for words in (str(caught.value), *rejection.errors, str(twice)):
        assert "MARKED" not in words
    assert f"$.{part}.metrics.*" in rejection.errors[0]
    unknown = deserialize(b'{"MARKED": {"MARKED": 9007199254740993}}')
    assert isinstance(unknown, Rejection)
    assert unknown.errors == ("envelope: $.*.*: integer beyond 2^53 - 1; send it as a string",)
