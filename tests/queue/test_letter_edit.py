"""Mending a message: what changes, what stays, and what cannot be mended."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import orjson
import pytest

from queue_core.letter_edit import edited, merge_patch
from queue_core.outcomes import Message
from queue_core.serializer import checksum, serialize

STREAM = "tutormax:tutors"
DATA: dict[str, object] = {"tutor_id": "T1", "name": "x", "metrics": {"a": 1, "b": 2}}
BODY = serialize(
    STREAM,
    DATA,
    metadata={"source": "api", "ttl_seconds": 5},
    message_id="m-1",
    published_at=datetime(2026, 11, 7, 21, tzinfo=UTC),
)


def edit(body: bytes, patch: dict[str, Any], max_bytes: int = 10_000) -> tuple[bytes, Message] | str:
    return edited(body, patch, channel=STREAM, max_bytes=max_bytes)


# The examples of RFC 7396, appendix A.
@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, None, None),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_what_its_rfc_says(target: Any, patch: Any, result: Any) -> None:
    assert merge_patch(target, patch) == result


def test_the_data_changes_and_everything_else_stays() -> None:
    result = edit(BODY, {"name": "y", "metrics": {"a": None, "c": 3}})
    assert not isinstance(result, str)
    body, message = result
    before, after = orjson.loads(BODY), orjson.loads(body)
    data = {"tutor_id": "T1", "name": "y", "metrics": {"b": 2, "c": 3}}
    assert message.data == after.pop("data") == data
    assert after.pop("checksum") == checksum(data)
    del before["data"], before["checksum"]
    assert after == before


def test_an_empty_patch_accepts_the_data_as_it_stands() -> None:
    body = BODY.replace(b'"x"', b'"z"')
    result = edit(body, {})
    assert not isinstance(result, str)
    assert (result[1].id, result[1].data) == ("m-1", {**DATA, "name": "z"})


def test_the_channel_is_set_right_and_a_missing_checksum_made() -> None:
    envelope = {**orjson.loads(BODY), "channel": "other:tutors"}
    del envelope["checksum"]
    result = edit(orjson.dumps(envelope), {})
    assert not isinstance(result, str)
    assert result[1].channel == STREAM


def test_a_message_that_was_too_large_can_be_made_smaller() -> None:
    body = serialize(STREAM, {**DATA, "notes": "x" * 20_000}, message_id="m-1")
    assert "bytes, allowed are" in edit(body, {})
    assert not isinstance(edit(body, {"notes": None}), str)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        BODY[:-9],
        b"[]",
        b'{"data": []}',
        b'{"id": "m-1"}',
        BODY.replace(b'"name":', b'"name":1,"name":'),
        BODY.replace(b'"m-1"', b'""'),
        BODY.replace(b'"2026', b'"x026'),
        BODY.replace(b'"a":1', b'"a":9007199254740993'),
    ],
    ids=["empty", "bytes", "cut", "list", "data", "no data", "twice", "no id", "no time", "big number"],
)
def test_what_is_no_envelope_cannot_be_edited(body: bytes) -> None:
    assert isinstance(edit(body, {"name": "y"}), str)


def test_no_refusal_names_a_free_form_key() -> None:
    patch = {"metrics": {"MARKED": {"MARKED Doe": 2**60}}}
    received = BODY.replace(b'"a":1', b'"MARKED Doe":{"MARKED":9007199254740993}')
    for found in (edit(BODY, patch), edit(BODY, {"MARKED Doe": 2**60}), edit(received, {})):
        assert isinstance(found, str)
        assert "*" in found
        assert "MARKED" not in found


@pytest.mark.parametrize("value", [float("nan"), 2**60, "\x00", "\ud800", {1: 2}, b"x"], ids=ascii)
def test_a_patch_that_json_cannot_carry_is_refused_without_its_value(value: object) -> None:
    found = edit(BODY, {"name": value})
    assert isinstance(found, str)
    assert "patch.name" in found
