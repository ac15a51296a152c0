"""What is first wrong with a dead letter, in words that letters which failed alike share.

Places in lists are written ``*`` and numbers ``#``: ``ids.2: is 31 long, allowed are 30`` is the same fault
as ``ids.7: is 40 long, allowed are 30``, namely ``ids.*: is # long, allowed are #``.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from queue_core.letter import DeadLetter

_INDEX = re.compile(r"(?<=\.)\d+(?=\.|$)")
_NUMBER = re.compile(r"\d+")


class Fault(NamedTuple):
    """The first error of a letter.

    Attributes:
        field: what it names, with ``*`` in place of an index; empty where it names nothing.
        error: what it says.
    """

    field: str
    error: str

    @property
    def pattern(self) -> str:
        """What it says, with ``#`` in place of numbers."""
        return _NUMBER.sub("#", self.error)

    @property
    def words(self) -> str:
        """Both, as filters take them; the same for letters that failed alike."""
        return f"{self.field}: {self.pattern}" if self.field else self.pattern


def fault_of(letter: DeadLetter) -> Fault:
    """The first error of a letter; empty where it has none."""
    return read_fault(letter.errors[0]) if letter.errors else Fault("", "")


def read_fault(words: str) -> Fault:
    """An error, or the :attr:`Fault.words` of one."""
    field, colon, error = words.partition(": ")
    return Fault(_INDEX.sub("*", field), error) if colon else Fault("", field)
