"""The envelope: what is refused at publishing, and that every byte string reads as one thing or the other."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from queue_core import strict_json
from queue_core.errors import InvalidMessageError
from queue_core.outcomes import Message, Reason, Rejection
from queue_core.serializer import checksum, deserialize, extract_data, extract_metadata, serialize

CHANNEL = "tutormax:tutors"
DATA = {"tutor_id": "T1", "name": "SECRET-NAME", "rating": 4.8}


def deep(levels: int) -> object:
    value: object = 1
    for _ in range(levels):
        value = [value]
    return value


def envelope(**changes: object) -> dict[str, object]:
    return orjson.loads(serialize(CHANNEL, DATA)) | changes


def read(value: object) -> Message | Rejection:
    return deserialize(value if isinstance(value, bytes) else json.dumps(value).encode(), channel=CHANNEL)


def test_what_is_written_reads_back() -> None:
    body = serialize(CHANNEL, DATA, metadata={"source": "api"}, message_id="m-1")
    message = deserialize(body, channel=CHANNEL)
    assert isinstance(message, Message)
    assert (message.id, message.data, message.metadata) == ("m-1", DATA, {"source": "api"})
    assert datetime.now(UTC) - message.published_at < timedelta(seconds=5)
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
        (deep(70), "nested deeper"),
        (deep(5_000), "nested deeper"),
        ({1: "x"}, "not plain text"),
        ({"\x00": 1}, "U\\+0000"),
        (datetime.now(UTC), "datetime is not JSON"),
        (b"bytes", "bytes is not JSON"),
        ({1, 2}, "set is not JSON"),
    ],
)
def test_what_json_cannot_carry_is_refused_at_publishing(value: object, words: str) -> None:
    with pytest.raises(InvalidMessageError, match=words):
        serialize(CHANNEL, {"field": value})


@pytest.mark.parametrize("data", [None, [1], "text", 5])
def test_data_must_be_an_object(data: object) -> None:
    with pytest.raises(InvalidMessageError, match="an object of fields"):
        serialize(CHANNEL, data)  # type: ignore[arg-type]


@pytest.mark.parametrize("message_id", ["", "x" * 129, 5])
def test_a_message_id_is_a_short_text(message_id: object) -> None:
    with pytest.raises(InvalidMessageError, match="message id"):
        serialize(CHANNEL, DATA, message_id=message_id)  # type: ignore[arg-type]


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
        b"{}",
    ],
)
def test_what_is_no_envelope_is_malformed(body: bytes) -> None:
    result = read(body)
    assert isinstance(result, Rejection)
    assert result.reason is Reason.MALFORMED


@pytest.mark.parametrize(
    ("inside", "words"),
    [
        (b'{"a":1,"a":1}', "same key twice"),
        (b'{"a":9007199254740993}', "2^53"),
        (b'{"a":123456789012345678901234567890}', "2^53"),
        (b'{"a":' + b"1" * 5_000 + b"}", "not JSON"),
        (b'{"a":"\\u0000"}', "U+0000"),
        (b'{"a":"\\ud800"}', "not JSON"),
        (b'{"a":' + b"[" * 80 + b"]" * 80 + b"}", "nested"),
        (b'{"a":NaN}', "not JSON"),
        (b'{"a":-Infinity}', "not JSON"),
    ],
)
def test_data_that_another_reader_would_read_differently_is_malformed(inside: bytes, words: str) -> None:
    body = orjson.dumps(envelope(data={"a": "HERE"})).replace(b'{"a":"HERE"}', inside)
    result = read(body)
    assert isinstance(result, Rejection)
    assert result.reason is Reason.MALFORMED
    assert words in result.errors[0]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"id": None}, "id"),
        ({"id": ""}, "id"),
        ({"timestamp": "yesterday"}, "timestamp"),
        ({"timestamp": "2026-11-07"}, "timestamp"),
        ({"timestamp": 1_762_500_000}, "timestamp"),
        ({"timestamp": "0001-01-01T00:00:00+14:00"}, "timestamp"),
        ({"channel": None}, "channel"),
        ({"data": [1]}, "data"),
        ({"metadata": "x"}, "metadata"),
        ({"checksum": None}, "checksum"),
    ],
)
def test_a_field_of_the_wrong_kind_is_malformed_and_named(changes: dict[str, object], field: str) -> None:
    result = read(envelope(**changes))
    assert isinstance(result, Rejection)
    assert result.reason is Reason.MALFORMED
    assert [error.partition(":")[0] for error in result.errors] == [field]


def test_each_other_fault_has_its_reason() -> None:
    cases = {
        Reason.CHECKSUM_MISMATCH: read(envelope(data={**DATA, "rating": 4.9})),
        Reason.INVALID: read(envelope(channel="tutormax:sessions")),
        Reason.TOO_LARGE: deserialize(b"x" * 11, max_bytes=10),
    }
    assert {reason: result.reason for reason, result in cases.items()} == {one: one for one in cases}
    message_id = envelope(id="m-1")
    assert read({**message_id, "checksum": "0" * 64}).message_id == "m-1"


def test_naive_times_are_utc_and_offsets_are_converted() -> None:
    assert read(envelope(timestamp="2026-11-07T21:00:00")).published_at == datetime(
        2026, 11, 7, 21, tzinfo=UTC
    )
    other = read(envelope(timestamp="2026-11-07T21:00:00+02:00")).published_at
    assert (other.hour, other.utcoffset()) == (19, timedelta(0))
    given_in_code = datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=-5)))
    assert read(serialize(CHANNEL, DATA, published_at=given_in_code)).published_at.hour == 5


def test_a_producer_that_hashes_rfc_8785_is_believed_however_it_writes() -> None:
    data = {"tutor_id": "T1", "rating": 4.0, "big": 1e21, "\U0001f600": 1, "\ufb33": 2}
    digest = hashlib.sha256(rfc8785.dumps(data)).hexdigest()
    for value in (digest, digest.upper()):
        text = json.dumps(envelope(data=data, checksum=value), indent=3, ensure_ascii=True).encode()
        message = read(text)
        assert isinstance(message, Message)
        assert message.data == data
    assert checksum(data) == digest


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53) + 1, 2**53 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\x00"), max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text("abcé\U0001f600\ufb33", max_size=4), inner, max_size=4)
    ),
    max_leaves=15,
)


@given(st.dictionaries(st.text("abcdé", max_size=5), json_values, max_size=5))
def test_whatever_json_can_carry_reads_back_equal(data: dict[str, object]) -> None:
    message = read(serialize(CHANNEL, data))
    assert isinstance(message, Message)
    assert message.data == data


@given(st.binary(max_size=200))
def test_every_byte_string_is_a_message_or_a_rejection(body: bytes) -> None:
    assert isinstance(deserialize(body, channel=CHANNEL, max_bytes=150), (Message, Rejection))


@given(st.integers(0, 400), st.binary(min_size=1, max_size=3))
def test_a_damaged_envelope_never_passes_as_another_message(place: int, junk: bytes) -> None:
    body = serialize(CHANNEL, DATA, message_id="m-1")
    place %= len(body)
    damaged = body[:place] + junk + body[place + len(junk) :]
    result = read(damaged)
    if isinstance(result, Message):
        assert result.data == DATA
    else:
        assert "SECRET-NAME" not in " ".join(result.errors)


@given(json_values)
def test_the_fast_form_agrees_with_the_canonical_one_or_is_not_believed(value: object) -> None:
    strict_json.check(value)
    canonical, fast = strict_json.canonical(value), strict_json.sorted_form(value)
    assert json.loads(canonical, parse_int=float) == json.loads(fast, parse_int=float)
