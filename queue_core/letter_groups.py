"""Dead letters by what is wrong with them: what one looks at first."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from queue_core.letter import DeadLetter

_INDEX = re.compile(r"(?<=\.)\d+(?=\.|$)")
_NUMBER = re.compile(r"\d+")


@dataclass(slots=True)
class LetterGroup:
    """Letters that failed alike.

    Attributes:
        channel: where they come from.
        reason: why they are dead letters.
        field: what their first error names, with ``*`` in place of an index; empty where they have none.
        error: what it says; where only numbers differ, with ``#`` in place of those.
        count: how many there are.
        oldest: when the first of them failed.
        newest: when the last of them failed.
        example_id: one of them, the newest.
    """

    channel: str
    reason: str
    field: str
    error: str
    count: int
    oldest: datetime
    newest: datetime
    example_id: str


def grouped(letters: Iterable[DeadLetter]) -> list[LetterGroup]:
    """Group letters by channel, reason, field and error; the biggest group first."""
    groups: dict[tuple[str, str, str, str], LetterGroup] = {}
    for letter in letters:
        field, error = _fault(letter)
        pattern = _NUMBER.sub("#", error)
        key = letter.channel, letter.reason, field, pattern
        group = groups.get(key)
        if group is None:
            moment = letter.failed_at
            groups[key] = LetterGroup(
                letter.channel, letter.reason, field, error, 1, moment, moment, letter.id
            )
            continue
        group.count += 1
        group.error = error if group.error == error else pattern
        group.oldest = min(group.oldest, letter.failed_at)
        if letter.failed_at >= group.newest:
            group.newest, group.example_id = letter.failed_at, letter.id
    return sorted(groups.values(), key=lambda group: -group.count)


def _fault(letter: DeadLetter) -> tuple[str, str]:
    if not letter.errors:
        return "", ""
    field, colon, error = letter.errors[0].partition(": ")
    return (_INDEX.sub("*", field), error) if colon else ("", field)
