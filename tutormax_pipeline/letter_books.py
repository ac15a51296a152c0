"""The books of a channel's dead letters: each is there, or was moved on by somebody who is known.

    entries settled as dead-lettered = letters there + letters ever moved on

A ledger row is committed before its letter is written, and writing the letter acknowledges the entry in
the same atomic step. So at the instant of a census every entry that the ledger has as dead-lettered, and
that is neither waiting nor pending, has had its letter. Letters that are there and no row knows of are
no alarm: a group that was made anew delivers again what it had, and rows may be lost (``books`` says so).

How many were moved on only Redis counts, and a FLUSHALL takes that along: then the difference is an
upper bound.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from queue_core.census import Census
from queue_core.channels import Channel
from queue_core.outcomes import Outcome
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.books import (
    LedgerFigures,
    Sighting,
    adjust,
    letter_account,
    remember,
)

#: A look that finds nothing new is remembered this often, so that it is known since when letters are gone.
_REMEMBERED_EVERY = timedelta(hours=1)


@dataclass(frozen=True, slots=True)
class LetterBooks:
    """A channel's dead letters as of the instant of its books.

    Attributes:
        dead: entries settled as dead-lettered whose letter was written; pruned ones included.
        there: letters in the dead letter stream.
        moved: letters ever redriven, edited or discarded, as far as Redis knows.
        forgotten: of those moved on, what an earlier look saw counted and Redis has lost since.
        exact: False where Redis may have lost that count, so that fewer may be gone than it seems.
        adjustments: written off by people; below 0.
        adjustments_made: how many of these there are.
        seen_at: the last look at which every letter was accounted for; None before the first.
    """

    dead: int
    there: int
    moved: int
    forgotten: int
    exact: bool
    adjustments: int
    adjustments_made: int
    seen_at: datetime | None

    @property
    def gone(self) -> int:
        """Letters that nobody moved on and that are not there; at most so many where it is not exact."""
        return max(0, self.dead + self.adjustments - self.there - self.moved - self.forgotten)

    @property
    def balanced(self) -> bool:
        """Whether every letter is accounted for."""
        return self.gone == 0 and self.forgotten == 0


def letter_books(
    census: Census, found: LedgerFigures, seen: Sighting | None, *, rewound: bool
) -> LetterBooks:
    """Compare the two sides.

    Args:
        census: the queue's.
        found: the ledger's.
        seen: the last look at which every letter was accounted for.
        rewound: whether the channel's stream began anew: then its dead letters may have, too.
    """
    letters = census.letters
    settled, pruned = (part.get(Outcome.DEAD_LETTERED, 0) for part in (found.settled, found.pruned))
    forgotten = seen.added if seen is not None and letters.moved < seen.added else 0
    return LetterBooks(
        dead=settled + pruned - found.unburied,
        there=letters.there,
        moved=letters.moved,
        forgotten=forgotten,
        exact=letters.has_count and not forgotten and not rewound,
        adjustments=found.letter_adjustments,
        adjustments_made=found.letter_adjustments_made,
        seen_at=seen.seen_at if seen else None,
    )


def remember_letters(
    store: Store, census: Census, books: LetterBooks, seen: Sighting | None, now: datetime
) -> None:
    """Keep what a look found for the next one, where every letter was accounted for.

    Raises:
        StoreUnavailableError: the database is away.
    """
    letters = census.letters
    if not books.balanced or not (letters.has_count or seen):
        return
    latest = Sighting(letters.moved, letters.newest, now)
    if (
        seen is None
        or (seen.added, seen.horizon) != (latest.added, latest.horizon)
        or now - seen.seen_at > _REMEMBERED_EVERY
    ):
        remember(store, letter_account(census.channel), latest)


def write_off_letters(
    store: Store, channel: Channel, census: Census, books: LetterBooks, *, who: str, why: str, now: datetime
) -> bool:
    """Record, for ever, that the letters that are gone are known to be.

    Returns:
        False where somebody else adjusted the books meanwhile; nothing was recorded.

    Raises:
        StoreUnavailableError: the database is away.
    """
    account, letters = letter_account(channel), census.letters
    # What was forgotten is not seen by later looks.
    entries = -books.gone - books.forgotten
    recorded = adjust(
        store, account, entries, who=who, why=why, recorded_at=now, adjustments_made=books.adjustments_made
    )
    if recorded:
        remember(store, account, Sighting(letters.moved, letters.newest, now))
    return recorded
