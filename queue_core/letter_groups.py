"""Dead letters by what is wrong with them: what one looks at first."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from queue_core.letter import DeadLetter
from queue_core.letter_fault import Fault, fault_of


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
        most_redrives: how often the one of them that was redriven most was redriven before.
        redrivable: how many of them a redrive can put back.
    """

    channel: str
    reason: str
    field: str
    error: str
    count: int
    oldest: datetime
    newest: datetime
    example_id: str
    most_redrives: int = 0
    redrivable: int = 0

    @property
    def fault(self) -> str:
        """What is wrong with them, as ``LetterFilter.fault`` takes it."""
        return Fault(self.field, self.error).words


def grouped(letters: Iterable[DeadLetter]) -> list[LetterGroup]:
    """Group letters by channel, reason, field and error; the biggest group first."""
    groups: dict[tuple[str, str, str, str], LetterGroup] = {}
    for letter in letters:
        fault, moment = fault_of(letter), letter.failed_at
        group = groups.setdefault(
            (letter.channel, letter.reason, fault.field, fault.pattern),
            LetterGroup(letter.channel, letter.reason, *fault, 0, moment, moment, letter.id),
        )
        group.count += 1
        group.error = fault.error if group.error == fault.error else fault.pattern
        group.oldest = min(group.oldest, moment)
        if moment >= group.newest:
            group.newest, group.example_id = moment, letter.id
        group.most_redrives = max(group.most_redrives, letter.redrives)
        group.redrivable += letter.redrivable
    return sorted(groups.values(), key=lambda group: -group.count)
