"""One batch, inside one transaction: final states, ledger, rows."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence

from queue_core.channels import Channel
from queue_core.outcomes import Outcome, Reason, Rejection
from tutormax_pipeline.store import sqlite
from tutormax_pipeline.store.arrival import Arrival, Known, Settlement, newest, settle

#: What the database says of a value that it will never take.
_REFUSALS = (sqlite3.IntegrityError, sqlite3.DataError, sqlite3.InterfaceError, OverflowError, UnicodeError)


def write_batch(
    cursor: sqlite3.Cursor, channel: Channel, arrivals: Sequence[Arrival], run_id: str
) -> list[Settlement]:
    """Settle each arrival, record it in the ledger and write the rows of those that are stored.

    A row that only the database refuses makes its own message a dead letter, and no other.
    """
    settlements = _record(cursor, channel, arrivals, run_id)
    refused: dict[str, str] = {}
    while True:
        rows = list(newest(settlements, channel.id_field).values())
        found = _write_isolating(cursor, channel, rows, run_id)
        if not found:
            break
        # Again without them: an older message of the same record may now be the newest.
        refused |= found
        settlements = [_refuse(one, refused) for one in settlements]
    if refused:
        sqlite.correct_ledger(
            cursor, channel, [one for one in settlements if one.arrival.entry.id in refused]
        )
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


def _write_isolating(
    cursor: sqlite3.Cursor, channel: Channel, rows: list[Arrival], run_id: str
) -> dict[str, str]:
    """Write rows; where the database refuses some, find them by halving. Returns entry id -> its words."""
    cursor.execute("SAVEPOINT rows")
    try:
        sqlite.write_rows(cursor, channel, rows, run_id)
    except _REFUSALS as error:
        cursor.execute("ROLLBACK TO rows")
        cursor.execute("RELEASE rows")
        if len(rows) == 1:
            return {rows[0].entry.id: f"database: {type(error).__name__}"}
        half = len(rows) // 2
        first = _write_isolating(cursor, channel, rows[:half], run_id)
        return first | _write_isolating(cursor, channel, rows[half:], run_id)
    cursor.execute("RELEASE rows")
    return {}


def _refuse(settlement: Settlement, refused: dict[str, str]) -> Settlement:
    words, message = refused.get(settlement.arrival.entry.id), settlement.arrival.message
    if words is None or message is None or settlement.outcome is not Outcome.STORED:
        return settlement
    rejection = Rejection(Reason.REJECTED, (words,), message.id, message.published_at)
    return Settlement(settlement.arrival, Outcome.DEAD_LETTERED, rejection)
