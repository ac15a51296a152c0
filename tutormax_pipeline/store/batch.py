"""One batch, inside one transaction: final states, ledger, rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from queue_core.channels import Channel
from queue_core.outcomes import Reason, Rejection
from tutormax_pipeline.store import sqlite
from tutormax_pipeline.store.arrival import Arrival, Known, Settlement, newest, settle

#: What the database says of a value that it will never take.
_REFUSALS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeError)


def write_batch(
    cursor: sqlite3.Cursor, channel: Channel, arrivals: Sequence[Arrival], run_id: str
) -> list[Settlement]:
    """Settle each arrival, record it in the ledger and write the rows of those that are stored.

    A row that only the database refuses makes its own message a dead letter, and no other. It is found
    by halving: the halves are written as batches of their own, in order, so that what a refused message
    would have superseded is stored.
    """
    cursor.execute("SAVEPOINT batch")
    try:
        settlements = _record(cursor, channel, arrivals, run_id)
        sqlite.write_rows(cursor, channel, newest(settlements, channel.id_field).values(), run_id)
    except _REFUSALS as error:
        cursor.execute("ROLLBACK TO batch")
        cursor.execute("RELEASE batch")
        if len(arrivals) == 1:
            return write_batch(cursor, channel, [_refused(arrivals[0], error)], run_id)
        half = len(arrivals) // 2
        parts = arrivals[:half], arrivals[half:]
        return [one for part in parts for one in write_batch(cursor, channel, part, run_id)]
    cursor.execute("RELEASE batch")
    return settlements


def _record(
    cursor: sqlite3.Cursor, channel: Channel, arrivals: Sequence[Arrival], run_id: str
) -> list[Settlement]:
    # Nearly always every entry and message is new; then looking them up first would be work for nothing.
    settlements = settle(arrivals, Known())
    cursor.execute("SAVEPOINT ledger")
    if sqlite.write_ledger(cursor, channel, settlements, run_id) < len(arrivals):
        cursor.execute("ROLLBACK TO ledger")
        settlements = settle(arrivals, sqlite.look_up(cursor, channel, arrivals))
        sqlite.write_ledger(cursor, channel, settlements, run_id)
    cursor.execute("RELEASE ledger")
    return settlements


def _refused(arrival: Arrival, error: Exception) -> Arrival:
    message = arrival.message
    if message is None:
        raise error  # not a row but the ledger was refused, which is no message's fault
    words = (f"database: {type(error).__name__}",)
    rejection = Rejection(Reason.REJECTED, words, message.id, message.published_at)
    return Arrival(arrival.entry, None, None, rejection)
