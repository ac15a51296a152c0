"""What goes into the store and what comes out, one of each for every stream entry."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence, Set
from dataclasses import dataclass, field
from typing import NamedTuple

from queue_core.entry import Entry
from queue_core.entry_id import EntryId
from queue_core.outcomes import Message, Outcome, Reason, Rejection
from tutormax_pipeline.records import Record


class Arrival(NamedTuple):
    """An entry that was judged: a message with its record, or a rejection; neither where it was lost."""

    entry: Entry
    message: Message | None
    record: Record | None
    rejection: Rejection | None = None


class Settlement(NamedTuple):
    """The final state of an entry.

    Attributes:
        arrival: what was written.
        outcome: its final state.
        rejection: why it is a dead letter; None for the others.
        repeated: the ledger had this entry from an earlier delivery, so nothing was written now.
    """

    arrival: Arrival
    outcome: Outcome
    rejection: Rejection | None = None
    repeated: bool = False


class Recorded(NamedTuple):
    """What the ledger has of an entry."""

    outcome: Outcome
    reason: Reason | None
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Known:
    """What the ledger knew of a batch before it was written.

    Attributes:
        entries: entry id -> what is recorded of it.
        stored: message ids that have a stored entry.
    """

    entries: Mapping[str, Recorded] = field(default_factory=dict)
    stored: Set[str] = frozenset()


def settle(arrivals: Sequence[Arrival], known: Known) -> list[Settlement]:
    """Decide the final state of each entry of a batch, in order."""
    settlements = []
    recorded_before, stored = known.entries, set(known.stored)
    # Made into what is recorded where it is needed: hardly ever.
    settled_now: dict[str, Settlement] = {}
    for arrival in arrivals:
        rejection = arrival.rejection
        entry_id = arrival.entry.id
        if entry_id in recorded_before:
            settlement = _repeat(arrival, recorded_before[entry_id])
        elif entry_id in settled_now:
            settlement = _repeat(arrival, _record(settled_now[entry_id]))
        elif rejection is not None:
            settlement = Settlement(arrival, Outcome.DEAD_LETTERED, rejection)
        elif arrival.message is None:
            settlement = Settlement(arrival, Outcome.LOST)
        elif arrival.message.id in stored:
            settlement = Settlement(arrival, Outcome.DUPLICATE)
        else:
            stored.add(arrival.message.id)
            settlement = Settlement(arrival, Outcome.STORED)
        settled_now[entry_id] = settlement
        settlements.append(settlement)
    return settlements


def newest(settlements: Iterable[Settlement], id_field: str) -> dict[str, Arrival]:
    """For each record id the newest of the arrivals to store, ordered by record id.

    Newest is by envelope timestamp, then by entry id: the order that guards rows in the table too.
    """
    best: dict[str, Arrival] = {}
    stored = Outcome.STORED
    for arrival, outcome, _, repeated in settlements:
        if outcome is not stored or repeated:
            continue
        key = arrival.record.__dict__[id_field]
        other = best.get(key)
        if other is None or _position(arrival) > _position(other):
            best[key] = arrival
    return dict(sorted(best.items()))


def _record(settlement: Settlement) -> Recorded:
    rejection = settlement.rejection
    source = settlement.arrival.message or rejection
    return Recorded(
        settlement.outcome,
        rejection.reason if rejection is not None else None,
        source.message_id if source is not None else None,
    )


def _repeat(arrival: Arrival, recorded: Recorded) -> Settlement:
    outcome, reason, message_id = recorded
    rejection, message = arrival.rejection, arrival.message
    if message is not None and message_id is not None and message.id != message_id:
        # Not a second delivery: another stream, whose server's clock was behind, gave the same id again.
        words = ("entry id: the ledger has it for another message; redrive this one, and it gets a new one",)
        other = Rejection(Reason.REJECTED, words, message.id, message.published_at)
        return Settlement(arrival, Outcome.DEAD_LETTERED, other, repeated=True)
    if outcome is Outcome.DEAD_LETTERED and rejection is None:
        rejection = Rejection(
            reason or Reason.REJECTED,
            ("recorded in the ledger by a run that ended before the letter was written",),
            message.id if message else None,
            message.published_at if message else None,
        )
    return Settlement(
        arrival, outcome, rejection if outcome is Outcome.DEAD_LETTERED else None, repeated=True
    )


def _position(arrival: Arrival) -> tuple[object, EntryId]:
    assert arrival.message is not None  # noqa: S101 - only stored arrivals are compared
    return arrival.message.published_at, arrival.entry.position
