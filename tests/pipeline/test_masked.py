"""What of a message is shown to everybody: names that are known, and types."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from queue_core.letter import DeadLetter, read_letter
from tutormax_pipeline.masked import MASK, masked, masked_message

#: Marks that occur in no name and no mask.
SECRET = "Zoë Q. Müller"


def letter(body: bytes | None, channel: str = "tutors") -> DeadLetter:
    fields = {b"channel": channel.encode(), b"reason": b"invalid"}
    return read_letter("1-0", fields if body is None else {**fields, b"message": body})


def shape(data: Any, channel: str = "tutors") -> Any:
    return json.loads(masked_message(letter(json.dumps({"data": data}).encode(), channel)))["data"]


def test_an_envelope_keeps_its_structure_and_no_value() -> None:
    envelope = {
        "id": SECRET,
        "timestamp": SECRET,
        "channel": SECRET,
        "data": {"tutor_id": SECRET, "name": SECRET, "rating": 5.5, "sessions_count": 12, "active": True},
        "metadata": {"source": SECRET, "priority": SECRET, SECRET: SECRET},
        "checksum": SECRET,
    }
    assert json.loads(masked_message(letter(json.dumps(envelope).encode()))) == {
        "id": MASK,
        "timestamp": MASK,
        "channel": MASK,
        "data": {"tutor_id": MASK, "name": MASK, "rating": 0.0, "sessions_count": 0, "active": False},
        "metadata": {"source": MASK, "priority": MASK, f"{MASK} 1 other fields": MASK},
        "checksum": MASK,
    }


def test_names_that_the_record_does_not_list_are_masked_too() -> None:
    assert shape({"tutor_id": "T", SECRET: 1, "x": 2}) == {"tutor_id": MASK, f"{MASK} 2 other fields": MASK}
    assert shape({"tutor_id": "T"}, channel="elsewhere") == {f"{MASK} 1 other fields": MASK}
    assert shape({"demographics": {"name": SECRET}}) == {"demographics": {f"{MASK} 1 other fields": MASK}}


def test_a_list_shows_each_shape_once_and_an_absent_value_is_seen() -> None:
    assert shape({"qualifications": ["a", "b", 1, None, 2], "email": None}) == {
        "qualifications": [MASK, 0, None],
        "email": None,
    }


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (None, "no message"),
        (SECRET.encode(), "15 bytes that cannot be read as JSON"),
        (b'{"a": 1, "a": 2}', "cannot be read as JSON"),
        (b"\xff", "1 bytes"),
        (b'"' + b"x" * 100_000 + b'"', "100,002 bytes"),
        (b'"x"', f'"{MASK}"'),
        (b"[1]", "0"),
    ],
)
def test_what_is_no_envelope_is_told_by_its_size_or_shape(body: bytes | None, words: str) -> None:
    assert words in masked_message(letter(body))


_MARKED = st.recursive(
    st.sampled_from([SECRET, 31_415_926, 2_718_281.8]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.just(SECRET), inner),
    max_leaves=8,
)


@given(_MARKED, st.sampled_from(["data", "metadata", "id", "checksum", SECRET]))
def test_no_value_and_no_foreign_name_comes_through(value: Any, place: str) -> None:
    for envelope in ({place: value}, {"data": {"name": value, "metrics": {"x": value}}}, value):
        shown = masked_message(letter(json.dumps(envelope, ensure_ascii=False).encode()))
        assert not any(mark in shown for mark in (SECRET, "31415926", "2718281", "ü"))
    assert masked(value) is not value or value is None
