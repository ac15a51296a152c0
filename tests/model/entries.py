"""An entry and what became of it, and what the real system shows of all of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto

from queue_core.entry_id import EntryId
from queue_core.outcomes import Outcome, Reason


class Place(Enum):
    """Where an entry is, as its consumer group sees it."""

    WAITING = auto()
    PENDING = auto()
    #: Acknowledged, or gone from the group without: deleted before it was delivered.
    DONE = auto()


@dataclass(frozen=True)
class Content:
    """What an entry says.

    Attributes:
        fields: as added to the stream.
        message_id: the envelope's id; None where it cannot be read.
        reason: why it can never be stored; None where it can.
        row: record id, name and publishing time of the row that it makes.
    """

    fields: Mapping[bytes, bytes]
    message_id: str | None
    reason: Reason | None
    row: tuple[str, str, datetime] | None = None

    @property
    def meets_the_contract_check(self) -> bool:
        return self.reason in (None, Reason.INVALID)


@dataclass
class Item:
    """One entry and what became of it so far.

    Attributes:
        delivered: deliveries counted for it.
        failures: failed attempts, as whoever takes it over is told.
        attempts: failed attempts on record.
        holder: the consumer that holds it.
        stale: its holder is known to be gone: the next drain takes it.
        scheduled: it stands in the retry set.
        due: and its time has come.
        in_stream: it was neither deleted nor trimmed.
        outcome: what the ledger says.
        pruned: the ledger has only its count.
        letters: how often a letter of it was written.
    """

    id: str
    content: Content
    place: Place = Place.WAITING
    delivered: int = 0
    failures: int = 0
    attempts: int = 0
    holder: str = ""
    stale: bool = False
    scheduled: bool = False
    due: bool = False
    in_stream: bool = True
    outcome: Outcome | None = None
    reason: Reason | None = None
    pruned: bool = False
    letters: int = 0

    @property
    def position(self) -> EntryId:
        return EntryId.parse(self.id)

    @property
    def recorded(self) -> bool:
        return self.outcome is not None and not self.pruned

    def available(self, late: bool) -> bool:
        """Whether a drain takes it; ``late``: so much later that whoever holds it counts as gone."""
        if self.place is Place.PENDING:
            return self.due if self.scheduled else self.stale or late
        return self.place is Place.WAITING


@dataclass(frozen=True)
class HeldLetter:
    """A dead letter that has not been redriven, edited or discarded."""

    id: str
    entry_id: str
    content: Content


@dataclass
class Seen:
    """What the real system shows after a rule: see ``observation``.

    Attributes:
        stream: entries in the stream: id -> fields.
        delivered: last id that the group was given; 0-0 without a group.
        pending: id -> consumer, deliveries, idle for long.
        retry: id -> its time has come.
        attempts: id -> failed attempts on record.
        ledger: id -> outcome, reason.
        totals: pruned rows by outcome.
        letters: letter id -> its fields.
        rows: record id -> name, publishing time, message id, entry id.
        archive: (letter id, action) -> body.
    """

    stream: dict[str, dict[bytes, bytes]]
    delivered: EntryId
    pending: dict[str, tuple[str, int, bool]]
    retry: dict[str, bool]
    attempts: dict[str, int]
    ledger: dict[str, tuple[Outcome, Reason | None]]
    totals: Counter[Outcome]
    letters: dict[str, dict[bytes, bytes]]
    rows: dict[str, tuple[str, datetime, str, str]]
    archive: dict[tuple[str, str], bytes | None]
