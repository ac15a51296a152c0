"""Writing a batch into SQLite, with the driver's own speed.

SQLAlchemy makes the statements; sqlite3 executes them with plain tuples, three times as fast.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache

import orjson
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql.dml import Insert

from queue_core.channels import Channel
from queue_core.outcomes import Outcome, Reason
from tutormax_pipeline.store.arrival import Arrival, Known, Recorded, Settlement
from tutormax_pipeline.store.row_order import updating_older_rows
from tutormax_pipeline.store.row_values import RowValues, ledger_rows
from tutormax_pipeline.store.tables import message_ledger, record_table

_DIALECT = sqlite.dialect()
_MICROSECONDS_LENGTH = len("2026-11-07 21:00:00.000000")


class SqliteBatch:
    """See :class:`tutormax_pipeline.store.database.BatchWriter`."""

    refusals: tuple[type[Exception], ...] = (
        sqlite3.IntegrityError,
        sqlite3.DataError,
        sqlite3.InterfaceError,
        OverflowError,
        UnicodeError,
    )

    def __init__(self, cursor: sqlite3.Cursor, channel: Channel, run_id: str) -> None:
        self._cursor, self._channel, self._run_id = cursor, channel, run_id

    def execute(self, statement: str) -> object:
        """Execute a statement without parameters."""
        return self._cursor.execute(statement)

    def look_up(self, arrivals: Sequence[Arrival]) -> Known:
        """What the ledger knows of the entries and messages of a batch."""
        entry_ids = orjson.dumps([arrival.entry.id for arrival in arrivals]).decode()
        message_ids = orjson.dumps([one.message.id for one in arrivals if one.message is not None]).decode()
        entries = self._cursor.execute(
            "SELECT entry_id, outcome, reason, message_id FROM message_ledger "
            "WHERE channel = ? AND entry_id IN (SELECT value FROM json_each(?))",
            (self._channel.name, entry_ids),
        )
        recorded = {
            entry_id: Recorded(Outcome(outcome), Reason(why) if why else None, message_id)
            for entry_id, outcome, why, message_id in entries
        }
        stored = self._cursor.execute(
            "SELECT message_id FROM message_ledger "
            "WHERE channel = ? AND outcome = 'stored' AND message_id IN (SELECT value FROM json_each(?))",
            (self._channel.name, message_ids),
        )
        return Known(recorded, {message_id for (message_id,) in stored})

    def write_ledger(self, settlements: Iterable[Settlement]) -> int:
        """Record the final states that are new; returns how many the ledger did not have yet."""
        rows = ledger_rows(self._channel, settlements, self._run_id, datetime.now(UTC), as_text)
        self._cursor.executemany(_ledger_statement(), rows)
        return self._cursor.rowcount

    def write_rows(self, arrivals: Collection[Arrival]) -> None:
        """Insert or update rows; a row made from a newer message stays as it is."""
        statement, values = _upsert(self._channel)
        self._cursor.executemany(statement, values.rows(arrivals, self._run_id, datetime.now(UTC)))


# Every publishing time is written twice, into its row and into the ledger.
@lru_cache(maxsize=10_000)
def as_text(moment: datetime) -> str:
    """The text that SQLAlchemy's DateTime reads and writes: UTC, microseconds, no offset."""
    return moment.isoformat(" ", "microseconds")[:_MICROSECONDS_LENGTH]


@cache
def _upsert(channel: Channel) -> tuple[str, RowValues]:
    statement = updating_older_rows(insert(record_table(channel)), channel)
    return _sql(statement), RowValues(channel, as_text)


@cache
def _ledger_statement() -> str:
    return _sql(insert(message_ledger).on_conflict_do_nothing())


def _sql(statement: Insert) -> str:
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
