"""Letters by what is wrong with them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import orjson

from queue_core.letter import DeadLetter, read_letter
from queue_core.letter_filter import LetterFilter
from queue_core.letter_groups import grouped

START = datetime(2026, 11, 7, 21, tzinfo=UTC)


def letter(number: int, *errors: str, channel: str = "tutors", reason: str = "invalid") -> DeadLetter:
    fields = {
        b"channel": channel.encode(),
        b"reason": reason.encode(),
        b"errors": orjson.dumps(errors),
        b"failed_at": (START + timedelta(minutes=number)).isoformat().encode(),
    }
    return read_letter(f"{number}-0", fields)


def test_the_biggest_group_comes_first_with_its_span_and_its_newest_letter() -> None:
    small, big = grouped(
        [letter(1, "name: missing"), letter(3, "rating: bad"), letter(2, "rating: bad", "name: missing")]
    )[::-1]
    assert (big.field, big.error, big.count, big.example_id) == ("rating", "bad", 2, "3-0")
    assert (big.oldest, big.newest) == (START + timedelta(minutes=2), START + timedelta(minutes=3))
    assert (small.field, small.count, small.example_id) == ("name", 1, "1-0")


def test_channel_and_reason_keep_groups_apart() -> None:
    found = grouped([letter(1, "a: b"), letter(2, "a: b", channel="feedback"), letter(3, "a: b", reason="x")])
    assert [(one.channel, one.reason, one.count) for one in found] == [
        ("tutors", "invalid", 1),
        ("feedback", "invalid", 1),
        ("tutors", "x", 1),
    ]


def test_places_in_lists_make_one_group() -> None:
    (group,) = grouped([letter(n, f"student_ids.{n}.v2: bad") for n in range(3)])
    assert (group.field, group.count) == ("student_ids.*.v2", 3)
    (group,) = grouped([letter(n, f"qualifications.{n}: bad") for n in range(3)])
    assert group.field == "qualifications.*"


def test_errors_that_differ_in_numbers_only_make_one_group() -> None:
    (group,) = grouped([letter(n, f"envelope: {n}00 bytes, allowed are 50") for n in (1, 2, 2)])
    assert (group.error, group.count) == ("# bytes, allowed are #", 3)
    (group,) = grouped([letter(n, "rating: at most 5") for n in (1, 2)])
    assert group.error == "at most 5"


def test_letters_without_an_error_or_without_a_field_have_groups_too() -> None:
    assert [(one.field, one.error) for one in grouped([letter(1), letter(2, "boom")])] == [
        ("", ""),
        ("", "boom"),
    ]


def test_a_group_counts_what_can_be_redriven_and_knows_the_most_redrives() -> None:
    fields = {b"channel": b"tutors", b"message": b"x"}
    often = [read_letter(f"{n}-0", {**fields, b"field:redrives": str(n).encode()}) for n in (1, 3, 2)]
    (group,) = grouped([*often, read_letter("9-0", {b"channel": b"tutors"})])
    assert (group.count, group.redrivable, group.most_redrives) == (4, 3, 3)


def test_a_filter_of_a_group_means_the_letters_of_that_group_alone() -> None:
    letters = [
        letter(1),
        letter(2, "boom"),
        letter(3, "boom 1"),
        letter(4, "boom 22"),
        letter(5, "student_ids.1: at most 5", "boom"),
        letter(6, "student_ids.2: at most 6: really"),
        letter(7, "student_ids.10: at most 7"),
        letter(8, "boom", reason="x"),
        letter(9, "a: b: 5"),
        letter(10, "a: b: #"),
    ]
    groups = grouped(letters)
    assert len(groups) == 7
    for group in groups:
        chosen = LetterFilter(reason=group.reason, fault=group.fault)
        found = [one for one in letters if chosen.matches(one, START)]
        assert len(found) == group.count, group
        assert grouped(found) == [group]
