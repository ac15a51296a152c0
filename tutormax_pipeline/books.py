"""The books of a channel: every entry that its stream ever had is accounted for, exactly once.

    books = look(client, store, QueueChannels.TUTORS, datetime.now(UTC))
    assert books.balanced, books.difference

    entries ever added = stored + duplicates + dead-lettered + lost + waiting + pending

Where the dead-lettered ones are now is accounted for in ``letter_books``.

How it is exact while publishers and drains are at work: the stream is counted as of one instant. An
entry that had been delivered by then is settled if the ledger has it (it may have got there since),
else pending; one that had not been delivered counts as waiting, whatever became of it since. A ledger
row therefore counts only for an entry that was delivered, or gone from the stream, at that instant.

Each look also remembers what the stream was like, so that the next one notices when it was deleted
and began anew (FLUSHALL, DEL) or fell back to an older state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import NamedTuple

from queue_core.census import Census, deleted_while_pending, entries_in_stream, put_back, take_census
from queue_core.channels import Channel
from queue_core.client import RedisClient
from queue_core.entry_id import ZERO
from queue_core.outcomes import Outcome
from tutormax_pipeline.letter_books import LetterBooks, letter_books, remember_letters, write_off_letters
from tutormax_pipeline.store import Store, StoreError
from tutormax_pipeline.store import books as ledger

#: Entries of which the ledger is asked at once.
_STEP_ENTRIES = 5_000


@dataclass(frozen=True, slots=True)
class Books:
    """A channel's books as of one instant; numbers are entries.

    Attributes:
        channel: the channel.
        added: ever added to the stream as it is now.
        carried: added to what the stream was before it began anew; 0 where it did not.
        settled: rows in the ledger, by final state.
        pruned: rows that were pruned from the ledger, by final state.
        waiting: not delivered.
        pending: delivered and not settled.
        adjustments: written off, or on, by people.
        adjustments_made: how many of these there are.
        rewound: whether the stream began anew, or fell back, since the last look that people settled.
        seen_at: when that look was; None before the first.
        unrecorded: ids in the stream, processed, that the ledger does not have; looked for only where
            something differs.
        deleted_pending: ids that are pending and were deleted from the stream.
        lost_unacknowledged: recorded as lost since the last adjustment.
        letters: the channel's dead letters.
        looked_at: when this look began, UTC.
    """

    channel: Channel
    added: int
    carried: int
    settled: Mapping[Outcome, int]
    pruned: Mapping[Outcome, int]
    waiting: int
    pending: int
    adjustments: int
    adjustments_made: int
    rewound: bool
    seen_at: datetime | None
    unrecorded: tuple[str, ...]
    deleted_pending: tuple[str, ...]
    lost_unacknowledged: int
    letters: LetterBooks
    looked_at: datetime

    def outcome(self, outcome: Outcome) -> int:
        """Entries with this final state, pruned ones included."""
        return self.settled.get(outcome, 0) + self.pruned.get(outcome, 0)

    @property
    def accounted(self) -> int:
        """Entries of which it is known what became of them."""
        return sum(self.outcome(one) for one in Outcome) + self.waiting + self.pending

    @property
    def difference(self) -> int:
        """Entries unaccounted for; below 0 where the ledger has more than were seen to be added."""
        return self.carried + self.added + self.adjustments - self.accounted

    @property
    def balanced(self) -> bool:
        """Whether every entry is accounted for, and every dead letter."""
        return self.entries_balanced and self.letters.balanced

    @property
    def entries_balanced(self) -> bool:
        """Whether every entry is accounted for, whatever became of its dead letter."""
        return self.difference == 0 and not self.rewound


def look(client: RedisClient, store: Store, channel: Channel, now: datetime) -> Books:
    """Look at the books of one channel, and remember what the stream was like.

    Args:
        client: the queue.
        store: the ledger.
        channel: the channel.
        now: the present, UTC.

    Raises:
        QueueUnavailableError: Redis is away.
        StoreUnavailableError: the database is away.
    """
    found = _look(client, store, channel, now)
    books, census, seen = found.books, found.census, found.seen
    if not books.rewound and (seen is None or seen.added != census.added):
        ledger.remember(store, channel, ledger.Sighting(census.added, census.horizon, now))
    if not books.rewound:
        remember_letters(store, census, books.letters, found.letters_seen, now)
    return books


def repair(client: RedisClient, books: Books) -> int:
    """Put entries that the ledger does not have back as pending: the next drain settles them.

    Processing them again is harmless: an older message never overwrites a newer row.

    Returns:
        How many were put back.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    return put_back(client, books.channel, books.unrecorded)


def write_off(
    client: RedisClient, store: Store, channel: Channel, *, who: str, why: str, now: datetime
) -> Books:
    """Record, for ever, an adjustment that makes the books balance and acknowledges recorded losses.

    Dead letters that are gone are an adjustment of their own, of the account ``<channel>:dead_letter``.

    Args:
        client: the queue.
        store: the ledger.
        channel: the channel.
        who: who answers for it.
        why: what happened, and why nothing more can be done.
        now: the present, UTC.

    Returns:
        The books as they were before.

    Raises:
        StoreError: nothing was recorded, because something can be repaired first, or because somebody else
            adjusted the books at the same time.
        QueueUnavailableError: Redis is away.
        StoreUnavailableError: the database is away.
    """
    found = _look(client, store, channel, now)
    books, census = found.books, found.census
    if books.balanced and not books.lost_unacknowledged:
        return books
    if books.unrecorded:
        raise StoreError(
            f"Of {channel}, {len(books.unrecorded):,} can be put back, and would then count twice. "
            f"Run 'tutormax doctor --repair' and 'tutormax drain {channel}' first."
        )
    recorded = True
    if not books.letters.balanced:
        recorded = write_off_letters(store, channel, census, books.letters, who=who, why=why, now=now)
    if recorded and (books.lost_unacknowledged or not books.entries_balanced):
        # What the stream carried from before it began anew is not seen by later looks.
        entries = -(books.difference - books.carried)
        recorded = ledger.adjust(
            store,
            channel,
            entries,
            who=who,
            why=why,
            recorded_at=books.looked_at,
            adjustments_made=books.adjustments_made,
        )
        if recorded:
            ledger.remember(store, channel, ledger.Sighting(census.added, census.horizon, now))
    if not recorded:
        raise StoreError(f"Somebody else adjusted the books of {channel} just now. Look at them again.")
    return books


class _Found(NamedTuple):
    books: Books
    census: Census
    seen: ledger.Sighting | None
    letters_seen: ledger.Sighting | None


def _look(client: RedisClient, store: Store, channel: Channel, now: datetime) -> _Found:
    seen = ledger.sighting(store, channel)
    letters_seen = ledger.sighting(store, ledger.letter_account(channel))
    since = seen.horizon if seen else ZERO
    census = take_census(client, channel, since)
    found = ledger.figures(store, census, since)
    deleted = deleted_while_pending(client, census)
    known_since = found.settled_since + found.unsettled_since + census.waiting_since
    rewound = seen is not None and _is_rewound(census, seen, known_since)
    books = Books(
        channel=channel,
        added=census.added,
        # Of an older state some entries are there still; what is newer than the last look is not among them.
        carried=seen.added - max(0, census.added - known_since) if seen is not None and rewound else 0,
        settled=found.settled,
        pruned=found.pruned,
        waiting=census.waiting,
        pending=found.unsettled,
        adjustments=found.adjustments,
        adjustments_made=found.adjustments_made,
        rewound=rewound,
        seen_at=seen.seen_at if seen else None,
        unrecorded=(),
        deleted_pending=tuple(ledger.not_in_ledger(store, channel, deleted)),
        lost_unacknowledged=found.lost_unacknowledged,
        letters=letter_books(census, found, letters_seen, rewound=rewound),
        looked_at=now,
    )
    if not books.entries_balanced:
        books = replace(books, unrecorded=_unrecorded(client, store, census))
    return _Found(books, census, seen, letters_seen)


def _is_rewound(census: Census, seen: ledger.Sighting, known_since: int) -> bool:
    # Whether the count is lower than it was, or has grown by less than is known to be new: a stream that
    # began anew may have grown past what it was before.
    return known_since > census.added - seen.added


def _unrecorded(client: RedisClient, store: Store, census: Census) -> tuple[str, ...]:
    present = entries_in_stream(client, census)
    parts = (present[start : start + _STEP_ENTRIES] for start in range(0, len(present), _STEP_ENTRIES))
    return tuple(one for part in parts for one in ledger.not_in_ledger(store, census.channel, part))
