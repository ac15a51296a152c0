"""Which letters a filter means."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from queue_core import QueueChannels
from queue_core.letter import read_letter
from queue_core.letter_filter import LetterFilter

AT = datetime(2026, 11, 7, 21, tzinfo=UTC)
LETTER = read_letter(
    "5-1",
    {
        b"channel": b"tutors",
        b"reason": b"invalid",
        b"errors": '["rating: Größe", "name: Field required"]'.encode(),
        b"message_id": b"m-1",
        b"failed_at": AT.isoformat().encode(),
        b"message": b"\xff SECRET",
    },
)


@pytest.mark.parametrize(
    ("given", "other"),
    [
        ({"channel": QueueChannels.TUTORS}, {"channel": QueueChannels.SESSIONS}),
        ({"reason": "invalid"}, {"reason": "malformed"}),
        ({"error": "field REQUIRED"}, {"error": "missing"}),
        ({"error": "GRÖSSE"}, {"error": "grosses"}),
        ({"fault": "rating: Größe"}, {"fault": "rating: Größ"}),
        ({"fault": "rating: Größe"}, {"fault": "name: Field required"}),
        ({"message_id": "m-1"}, {"message_id": "m"}),
        ({"ids": ("4-0", "5-1")}, {"ids": ("5-0",)}),
        ({"text": b"\xff SEC"}, {"text": b"secret"}),
        ({"older_than_seconds": 59.9}, {"older_than_seconds": 60}),
        ({"newer_than_seconds": 60.1}, {"newer_than_seconds": 60}),
    ],
)
def test_a_letter_fits_what_is_given_and_nothing_else(given: dict[str, Any], other: dict[str, Any]) -> None:
    now = AT + timedelta(minutes=1)
    assert LetterFilter(**given).matches(LETTER, now)
    assert not LetterFilter(**other).matches(LETTER, now)
    assert not LetterFilter(**{"channel": QueueChannels.TUTORS, "reason": "invalid"} | other).matches(
        LETTER, now
    )


def test_nothing_given_fits_everything_and_no_ids_fit_nothing() -> None:
    assert LetterFilter().matches(LETTER, AT)
    assert not LetterFilter(ids=()).matches(LETTER, AT)


def test_the_largest_id_there_can_be_is_one() -> None:
    largest = f"{2**64 - 1}-{2**64 - 1}"
    assert LetterFilter(ids=(largest,)).ids == (largest,)


def test_a_letter_without_a_message_holds_no_text() -> None:
    assert not LetterFilter(text=b"").matches(read_letter("1-0", {}), AT)


@pytest.mark.parametrize(
    "letter_id", ["", "5", "5-", "-1", "a-1", "5-1 ", "+", "1-1-1", f"{2**64}-0", f"0-{2**64}", "\u0661-0"]
)
def test_what_can_be_no_id_is_refused(letter_id: str) -> None:
    with pytest.raises(ValueError, match="is not the id of a dead letter"):
        LetterFilter(ids=(letter_id,))


@pytest.mark.parametrize("name", ["older_than_seconds", "newer_than_seconds"])
@pytest.mark.parametrize("seconds", [-1, float("nan")])
def test_an_age_that_cannot_be_is_refused(name: str, seconds: float) -> None:
    with pytest.raises(ValueError, match=f"{name} must be 0 or more"):
        LetterFilter(**{name: seconds})
