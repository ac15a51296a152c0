"""Which dead letters are meant: the one vocabulary of commands, jobs and code."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from queue_core.channels import Channel
from queue_core.entry_id import LARGEST_SEQUENCE
from queue_core.letter import DeadLetter
from queue_core.letter_fault import fault_of, read_fault

_ID = re.compile(r"([0-9]{1,20})-([0-9]{1,20})")


@dataclass(frozen=True, slots=True)
class LetterFilter:
    """Letters that fit everything that is given; all of them, when nothing is.

    Attributes:
        channel: they come from it.
        reason: why they are dead letters, one of ``outcomes.Reason``.
        error: one of their errors has this text, in capitals or not.
        fault: their first error is this one, numbers and places in lists left out (see ``letter_fault``):
            together with channel and reason, exactly one group of ``letter_groups``; empty where they
            have no error.
        message_id: their envelope has this id.
        ids: they are among these letters.
        text: their message has these bytes.
        older_than_seconds: they failed longer ago than this.
        newer_than_seconds: they failed less long ago than this.

    Raises:
        ValueError: one of ``ids`` is no letter's id, or an age is below 0.
    """

    channel: Channel | None = None
    reason: str | None = None
    error: str | None = None
    message_id: str | None = None
    ids: tuple[str, ...] | None = None
    text: bytes | None = None
    older_than_seconds: float | None = None
    newer_than_seconds: float | None = None
    fault: str | None = None

    def __post_init__(self) -> None:
        for letter_id in self.ids or ():
            found = _ID.fullmatch(letter_id)
            if found is None or max(map(int, found.groups())) > LARGEST_SEQUENCE:
                raise ValueError(
                    f"{letter_id!r} is not the id of a dead letter; ids look like 1762549200000-0"
                )
        for name in ("older_than_seconds", "newer_than_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and not seconds >= 0:
                raise ValueError(f"{name} must be 0 or more, got {seconds}")

    @classmethod
    def of(cls, chosen: LetterFilter | Iterable[str]) -> LetterFilter:
        """A filter as it is, or the filter of the ids given."""
        return chosen if isinstance(chosen, LetterFilter) else cls(ids=tuple(chosen))

    @property
    def only_channel(self) -> bool:
        """Whether nothing but the channel matters."""
        return self == LetterFilter(channel=self.channel)

    def matches(self, letter: DeadLetter, now: datetime) -> bool:
        """Whether a letter is meant; its message must have been read where ``text`` is given."""
        age_seconds = (now - letter.failed_at).total_seconds()
        return (
            (self.channel is None or letter.channel == self.channel.name)
            and (self.reason is None or letter.reason == self.reason)
            and (self.error is None or _within(self.error, letter.errors))
            and (self.fault is None or fault_of(letter).words == read_fault(self.fault).words)
            and (self.message_id is None or letter.message_id == self.message_id)
            and (self.ids is None or letter.id in self.ids)
            and (self.text is None or (letter.body is not None and self.text in letter.body))
            and (self.older_than_seconds is None or age_seconds > self.older_than_seconds)
            and (self.newer_than_seconds is None or age_seconds < self.newer_than_seconds)
        )


def _within(text: str, errors: Iterable[str]) -> bool:
    wanted = text.casefold()
    return any(wanted in error.casefold() for error in errors)
