"""Where the original bytes of a letter go before it is discarded or edited: the contract of an archive."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from queue_core.letter import DeadLetter


class ArchiveAction(StrEnum):
    """What was done with the letter."""

    DISCARDED = "discarded"
    EDITED = "edited"


@dataclass(frozen=True, slots=True)
class Signature:
    """Who archived a letter, why and when."""

    who: str
    why: str
    archived_at: datetime


@dataclass(frozen=True, slots=True)
class ArchiveReceipt:
    """What one call of :meth:`LetterArchive.keep` wrote.

    Attributes:
        action: what is about to be done.
        signature: with which every letter of the call was signed.
        signed_before: letter id -> how it was signed until then, of those that were there already.
    """

    action: ArchiveAction
    signature: Signature
    signed_before: Mapping[str, Signature]


class LetterArchive(Protocol):
    """Keeps letters for good; one for each letter and action."""

    def keep(
        self, letters: Sequence[DeadLetter], action: ArchiveAction, *, who: str, why: str
    ) -> ArchiveReceipt:
        """Keep whole letters, durably, all or none; those that are there already are signed anew."""
        ...

    def withdraw(self, receipt: ArchiveReceipt, letter_ids: Iterable[str]) -> None:
        """Take back what a call wrote of these letters, unless somebody has signed them since.

        A letter that was there before is signed as it was; so of several operators who want the same
        letter gone, whoever succeeds leaves it archived, in whatever order they come.
        """
        ...
