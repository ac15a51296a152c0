"""A message's trace as a story: what happened to it, in the order in which it happened.

Nothing of what is in a message is told; ids, times, reasons and errors are (an error never quotes a value).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from queue_core.letter import REDRIVES_FIELD, DeadLetter
from queue_core.letter_archive import ArchiveAction
from queue_core.outcomes import Outcome
from tutormax_pipeline.store.trail import KeptLetter, LedgerRow
from tutormax_pipeline.trace import EntryTrail, MessageTrace, RowTrail, Trace, is_entry_id

_SETTLED = {
    Outcome.STORED: "Stored",
    Outcome.DUPLICATE: "Found to be a duplicate: this message was stored before",
    Outcome.DEAD_LETTERED: "Became a dead letter",
    Outcome.LOST: "Recorded as lost: deleted from the stream before it was processed",
}
_LAST = datetime.max.replace(tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Happening:
    """One thing that happened to a message, or that is so now.

    Attributes:
        at: when, UTC; None of what is so now.
        what: in words.
        details: more of it, a line each.
        run_id: the run that did it, where a run did.
        aside: who did it and why, or the key of a row; for a terminal, and for nothing that is kept.
    """

    at: datetime | None
    what: str
    details: tuple[str, ...] = ()
    run_id: str | None = None
    aside: str | None = None


def tell(message: MessageTrace) -> list[Happening]:
    """The whole story; what is so now comes last."""
    told = [*_published(message)]
    for entry in message.entries:
        told += _entry(entry)
    told += [_letter(letter) for letter in message.letters]
    told += [_archived(letter) for letter in message.archived]
    told += [*_left_the_letters(message)]
    told += [_row(one) for one in message.rows]
    return sorted(told, key=lambda one: one.at or _LAST)


def standing(message: MessageTrace) -> str:
    """Where the message stands, in a word or two."""
    if message.letters:
        return "dead letter"
    if any(one.state.retry_due for one in message.entries):
        return "waits for its retry"
    open_entries = [one.state for one in message.entries if one.ledger is None]
    if any(one.pending is not None for one in open_entries):
        return "pending"
    if any(one.waiting for one in open_entries):
        return "waiting"
    outcomes = {one.ledger.outcome for one in message.entries if one.ledger is not None}
    if outcomes & {Outcome.STORED, Outcome.DUPLICATE}:
        return "stored"
    if any(one.action is ArchiveAction.DISCARDED for one in message.archived):
        return "discarded"
    if Outcome.LOST in outcomes:
        return "lost"
    return "gone from the dead letters" if outcomes else "unknown"


def nobody_knows(found: Trace, *, further: str) -> str:
    """What to say where nothing was found, and where it was looked.

    Args:
        found: the trace.
        further: name of the option that searches further.
    """
    words = (
        f"Nobody knows {found.asked}. Looked in the ledger, the dead letters, the archive and the streams."
    )
    for search in found.searches:
        if not search.complete:
            back_to = "" if search.back_to is None else f", back to {search.back_to:%Y-%m-%d %H:%M} UTC"
            words += (
                f" Of {search.channel} only the newest {search.looked_at:,} entries{back_to}: "
                f"{further} looks further."
            )
    words += " The ledger is pruned after TUTORMAX_LEDGER_RETENTION_DAYS."
    if is_entry_id(found.asked):
        words += " The id of a dead letter is gone once it is redriven: ask for its message's."
    return words


def _published(message: MessageTrace) -> Iterator[Happening]:
    rows = [one.ledger for one in message.entries if one.ledger is not None]
    times = [row.published_at for row in rows if row.published_at is not None]
    envelope = message.envelope
    if envelope is not None:
        keys = ", ".join(sorted(envelope.metadata)) or "none"
        yield Happening(envelope.published_at, "Published", (f"fields of its metadata: {keys}",))
    elif times:
        yield Happening(min(times), "Published")


def _entry(trail: EntryTrail) -> Iterator[Happening]:
    state, ledger = trail.state, trail.ledger
    redrives = state.entry.fields.get(REDRIVES_FIELD, b"0") if state.entry is not None else b"0"
    times = int(redrives) if redrives.isdigit() and len(redrives) < 10 else 0
    what = f"Entered {state.channel} as entry {state.entry_id}"
    if times:
        what += f", redriven {'once' if times == 1 else f'{times:,} times'}"
    there = "still in the stream" if state.entry is not None else "no longer in the stream"
    yield Happening(_time_of(state.entry_id), what, (there,))
    for attempt in state.attempts:
        yield _attempt(attempt.at, attempt.consumer, attempt.error)
    if state.retry_due is not None:
        yield Happening(None, f"Is tried again at {state.retry_due:%Y-%m-%d %H:%M:%S} UTC")
    if ledger is not None:
        yield _settled(ledger)
    if state.pending is not None:
        pending = state.pending
        yield Happening(
            None,
            f"Pending on {pending.consumer} for {pending.idle_ms / 1000:,.0f} s",
            (f"delivered {_times(pending.deliveries)}",),
        )
    if ledger is None and state.waiting:
        yield Happening(None, f"Waits in {state.channel}: nobody has read it")
    if ledger is None and state.pending is None and not state.waiting:
        yield Happening(
            None,
            "Is not in the ledger: pruned since, settled by a program without one, or lost",
            ("'tutormax doctor' says whether the books balance",),
        )


def _settled(row: LedgerRow) -> Happening:
    what = _SETTLED[row.outcome]
    if row.reason:
        what += f" ({row.reason})"
    return Happening(row.recorded_at, what, (f"delivered {_times(row.deliveries)}",), row.run_id)


def _letter(letter: DeadLetter) -> Happening:
    details = [*letter.errors]
    details += [f"tried by {one.consumer} at {one.at}: {one.error}" for one in letter.attempts]
    details.append(f"redriven {_times(letter.redrives)} before; given up by {letter.consumer}")
    details.append(f"see 'tutormax dlq show {letter.id}'")
    return Happening(letter.failed_at, f"Is dead letter {letter.id} ({letter.reason})", tuple(details))


def _archived(letter: KeptLetter) -> Happening:
    what = f"Dead letter {letter.letter_id} ({letter.reason}) was {letter.action}; its original is archived"
    signature = letter.signature
    return Happening(signature.archived_at, what, letter.errors, aside=f"by {signature.who}: {signature.why}")


def _left_the_letters(message: MessageTrace) -> Iterator[Happening]:
    """Letters that are gone and not in the archive: a redrive leaves no more than the new entry."""
    known: list[DeadLetter | KeptLetter] = [*message.letters, *message.archived]
    there = {(one.channel, one.entry_id) for one in known}
    entries = [one.state.entry_id for one in message.entries]
    for place, one in enumerate(message.entries):
        row = one.ledger
        if row is None or row.outcome is not Outcome.DEAD_LETTERED or (row.channel, row.entry_id) in there:
            continue
        if place + 1 < len(entries):
            following = entries[place + 1]
            yield Happening(_time_of(following), f"Its dead letter was redriven, as entry {following}")
        else:
            yield Happening(None, "Its dead letter is gone: redriven or deleted by hand")


def _row(trail: RowTrail) -> Happening:
    row = trail.row
    if row is None:
        return Happening(
            None, f"No row of {trail.channel} holds it now: a newer message replaced it, or it was deleted"
        )
    key = f"{trail.channel.id_field} {row.key}"
    if trail.current:
        return Happening(None, f"Is a row of {row.table}", aside=key)
    published = f"published {row.published_at:%Y-%m-%d %H:%M:%S} UTC"
    return Happening(
        None, f"Its row of {row.table} holds message {row.message_id} by now", (published,), aside=key
    )


def _attempt(at: str, consumer: str, error: str) -> Happening:
    try:
        moment = datetime.fromisoformat(at)
    except ValueError:
        return Happening(None, f"An attempt by {consumer} failed", (error,))
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return Happening(moment, f"An attempt by {consumer} failed", (error,))


def _time_of(entry_id: str) -> datetime | None:
    try:
        return datetime.fromtimestamp(int(entry_id.partition("-")[0]) / 1000, UTC)
    except (ValueError, OverflowError, OSError):
        return None


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count:,} times"
