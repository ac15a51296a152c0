"""A letter written and read again, and one that somebody else wrote."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import orjson
import pytest

from queue_core import QueueChannels
from queue_core.entry import Entry
from queue_core.letter import (
    MOST_FIELDS,
    Attempt,
    DeadLetter,
    Letter,
    read_letter,
    received_fields,
    write_letter,
)
from queue_core.outcomes import Reason, Rejection

AT = datetime(2026, 11, 7, 21, tzinfo=UTC)


def written(fields: dict[bytes, bytes], rejection: Rejection, letter_id: str = "5-1") -> DeadLetter:
    entry = Entry("7-0", fields, 3)
    pairs = received_fields(entry) + write_letter(Letter(entry, rejection), "run:1", QueueChannels.TUTORS, AT)
    raw = {
        name if isinstance(name, bytes) else name.encode(): value
        if isinstance(value, bytes)
        else value.encode()
        for name, value in pairs
    }
    return read_letter(letter_id, raw)


@pytest.mark.parametrize(
    "fields",
    [
        {b"message": b"\xff\x00"},
        {b"message": b""},
        {b"other": b"\x80"},
        {},
        {
            b"message": b"{}",
            b"reason": b"theirs",
            b"fields": b"theirs",
            b"field:message": b"theirs",
            b"": b"",
        },
        {b"message": b"{}", **{b"f%d\xff" % n: b"\x00%d" % n for n in range(MOST_FIELDS + 1)}},
    ],
    ids=["bytes", "empty message", "no message", "no fields", "names of a letter's own", "many fields"],
)
def test_what_was_received_is_read_back_byte_for_byte(fields: dict[bytes, bytes]) -> None:
    letter = written(fields, Rejection(Reason.MALFORMED, ()))
    assert letter.body == fields.get(b"message")
    assert letter.fields == {name: value for name, value in fields.items() if name != b"message"}
    assert letter.body_bytes == (len(letter.body) if letter.body is not None else None)


def test_where_it_came_from_and_why_is_read_back() -> None:
    letter = written({b"message": b"{}"}, Rejection(Reason.INVALID, ("rating: é", "name: no"), "m-1"))
    assert (letter.id, letter.channel, letter.entry_id, letter.message_id) == ("5-1", "tutors", "7-0", "m-1")
    assert (letter.reason, letter.errors) == (Reason.INVALID, ("rating: é", "name: no"))
    assert (letter.deliveries, letter.consumer, letter.failed_at) == (3, "run:1", AT)
    assert (letter.attempts, letter.redrives, letter.redrivable) == ((), 0, True)


def test_a_message_id_that_could_not_be_read_is_none() -> None:
    assert written({}, Rejection(Reason.MALFORMED, ())).message_id is None


def test_attempts_and_redrives_are_read() -> None:
    attempts = [{"at": "2026-11-07T21:00:00+00:00", "consumer": "one", "error": "x"}, {"at": 5}, "no object"]
    letter = read_letter("1-0", {b"attempts": orjson.dumps(attempts), b"field:redrives": b"4"})
    assert letter.attempts == (
        Attempt("2026-11-07T21:00:00+00:00", "one", "x"),
        Attempt("5", "", ""),
    )
    assert letter.redrives == 4


def test_its_repr_holds_nothing_of_the_message() -> None:
    letter = written({b"message": b"SECRET", b"trace": b"SECRET"}, Rejection(Reason.MALFORMED, ()))
    assert "SECRET" not in repr(letter)


@pytest.mark.parametrize(
    ("fields", "redrivable"),
    [
        ({b"message": b"x", b"channel": b"tutors"}, True),
        ({b"message": b"x", b"channel": b"teachers"}, False),
        ({b"message": b"x"}, False),
        ({b"channel": b"tutors"}, False),
        ({b"message": b"x", b"channel": b"tutors", b"fields": b"[]"}, False),
    ],
    ids=["whole", "unknown channel", "no channel", "no message", "fields that a script cannot pass on"],
)
def test_whether_a_letter_can_be_put_back(fields: dict[bytes, bytes], redrivable: bool) -> None:
    assert read_letter("1-0", fields).redrivable is redrivable


@pytest.mark.parametrize(
    "raw",
    [
        {},
        {b"error": b"boom", b"original": b"\xff"},
        {
            b"errors": b"not JSON",
            b"deliveries": b"many",
            b"failed_at": b"yesterday",
            b"attempts": b"{}",
            b"fields": b"[[1]]",
            b"channel": b"\xff",
            b"field:redrives": b"-1",
        },
        {b"errors": b"[1]", b"deliveries": b"9" * 400, b"failed_at": b"9999-12-31T23:59:59-23:59"},
        {b"fields": '[["a", "\u0161"]]'.encode(), b"errors": b"\xff"},
    ],
    ids=["empty", "other names", "other values", "extremes", "damaged fields"],
)
def test_a_letter_of_another_format_is_read_as_far_as_it_goes(raw: dict[bytes, bytes]) -> None:
    letter = read_letter("1762549200000-0", raw)
    assert letter.failed_at == datetime.fromtimestamp(1762549200, UTC)
    assert (letter.deliveries, letter.redrives, letter.message_id, letter.attempts) == (0, 0, None, ())
    assert all(isinstance(error, str) for error in letter.errors)
    assert letter.raw == raw


def test_fields_of_another_format_are_kept_under_their_names() -> None:
    assert read_letter("1-0", {b"original": b"\xff", b"reason": b"x"}).fields == {b"original": b"\xff"}


def test_an_id_beyond_any_date_has_the_last_date() -> None:
    assert read_letter(f"{2**64 - 1}-0", {}).failed_at == datetime.max.replace(tzinfo=UTC)


def test_a_time_without_an_offset_is_utc_and_one_with_it_is_converted() -> None:
    naive = read_letter("1-0", {b"failed_at": b"2026-11-07T21:00:00"})
    offset = read_letter("1-0", {b"failed_at": b"2026-11-07T22:00:00+01:00"})
    assert naive.failed_at == offset.failed_at == AT
    assert offset.failed_at.tzinfo == timezone(timedelta(0)) == UTC
