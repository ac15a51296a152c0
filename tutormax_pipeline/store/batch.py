"""One batch, inside one transaction: final states, ledger, rows."""

from __future__ import annotations

from collections.abc import Sequence

from queue_core.entry import Delivery
from queue_core.outcomes import Reason, Rejection
from tutormax_pipeline.store.arrival import Arrival, Known, Settlement, newest, settle
from tutormax_pipeline.store.database import BatchWriter
from tutormax_pipeline.store.errors import StoreContendedError


def write_batch(writer: BatchWriter, id_field: str, arrivals: Sequence[Arrival]) -> list[Settlement]:
    """Settle each arrival, record it in the ledger and write the rows of those that are stored.

    A row that only the database refuses makes its own message a dead letter, and no other. It is found
    by halving: the halves are written as batches of their own, in order, so that what a refused message
    would have superseded is stored.
    """
    writer.execute("SAVEPOINT batch")
    try:
        settlements = _record(writer, arrivals)
        writer.write_rows(newest(settlements, id_field).values())
    except writer.refusals as error:
        writer.execute("ROLLBACK TO batch")
        writer.execute("RELEASE batch")
        if len(arrivals) == 1:
            return write_batch(writer, id_field, [_refused(arrivals[0], error)])
        half = len(arrivals) // 2
        parts = arrivals[:half], arrivals[half:]
        return [one for part in parts for one in write_batch(writer, id_field, part)]
    writer.execute("RELEASE batch")
    return settlements


def _record(writer: BatchWriter, arrivals: Sequence[Arrival]) -> list[Settlement]:
    # Nearly always every entry and message is new; then looking them up first would be work for nothing. What
    # comes alone was in hand before, of a run that ended: as likely as not it had settled it.
    alone = len(arrivals) == 1 and arrivals[0].entry.delivery is not Delivery.FIRST
    known = writer.look_up(arrivals) if alone else Known()
    settlements = settle(arrivals, known)
    writer.execute("SAVEPOINT ledger")
    while writer.write_ledger(settlements) < sum(not one.repeated for one in settlements):
        writer.execute("ROLLBACK TO ledger")
        before, known = known, writer.look_up(arrivals)
        # Where others write at the same time, each look finds at least one more that they have settled.
        if known == before:
            raise StoreContendedError(
                "The ledger has none of these entries, and does not take them. "
                "Drop constraints on message_ledger that are not its own."
            )
        settlements = settle(arrivals, known)
    return settlements


def _refused(arrival: Arrival, error: Exception) -> Arrival:
    message = arrival.message
    if message is None:
        raise error  # not a row but the ledger was refused, which is no message's fault
    # Its kind and no word more: databases quote values.
    words = (f"database: {type(error).__name__}",)
    rejection = Rejection(Reason.REJECTED, words, message.id, message.published_at)
    return Arrival(arrival.entry, None, None, rejection)
