"""Writing a batch into PostgreSQL, by COPY, which is the fastest way in.

Ledger rows go straight into the ledger: nearly always all of them are new. Rows go into a scratch table, for
COPY knows no ON CONFLICT, and from there into theirs by one INSERT. Scratch tables are each connection's own;
they are not logged, and empty again after every transaction. Both are written in an order of their own, so
that drains side by side take their locks in the same order.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, cast

import psycopg
from psycopg import errors
from sqlalchemy import Connection, Dialect, Table, collate, column, select
from sqlalchemy import table as scratch_clause
from sqlalchemy.dialects.postgresql import dialect, insert

from queue_core.channels import Channel
from queue_core.outcomes import Outcome, Reason
from tutormax_pipeline.store.arrival import Arrival, Known, Recorded, Settlement
from tutormax_pipeline.store.row_order import updating_older_rows
from tutormax_pipeline.store.row_values import RowValues, ledger_rows
from tutormax_pipeline.store.tables import message_ledger, record_table

_DIALECT: Dialect = dialect()  # type: ignore[no-untyped-call]

#: Where a connection's own scratch tables are noted.
_SCRATCH = "scratch tables"
_SCHEMA, _PREFIX = "pg_temp", "incoming_"


class PostgresBatch:
    """See :class:`tutormax_pipeline.store.database.BatchWriter`."""

    refusals: tuple[type[Exception], ...] = (
        errors.DataError,
        errors.IntegrityError,
        errors.ProgramLimitExceeded,
        errors.StatementTooComplex,
        errors.RaiseException,
        UnicodeError,
    )

    def __init__(self, connection: Connection, channel: Channel, run_id: str) -> None:
        driver = cast("psycopg.Connection[Any]", connection.connection.driver_connection)
        self._cursor, self._channel, self._run_id = driver.cursor(), channel, run_id
        self._scratch_in_use = False
        self._table = record_table(channel)
        _provide_scratch(connection, self._cursor, self._table)

    def execute(self, statement: str) -> object:
        """Execute a statement without parameters."""
        return self._cursor.execute(statement.encode())

    def look_up(self, arrivals: Sequence[Arrival]) -> Known:
        """What the ledger knows of the entries and messages of a batch, and others have committed by now."""
        entries = self._cursor.execute(
            "SELECT entry_id, outcome, reason, message_id FROM message_ledger "
            "WHERE channel = %s AND entry_id = ANY(%s)",
            (self._channel.name, [arrival.entry.id for arrival in arrivals]),
        ).fetchall()
        recorded = {
            entry_id: Recorded(Outcome(outcome), Reason(why) if why else None, message_id)
            for entry_id, outcome, why, message_id in entries
        }
        stored = self._cursor.execute(
            "SELECT message_id FROM message_ledger "
            "WHERE channel = %s AND outcome = 'stored' AND message_id = ANY(%s)",
            (self._channel.name, [one.message.id for one in arrivals if one.message is not None]),
        ).fetchall()
        return Known(recorded, {message_id for (message_id,) in stored})

    def write_ledger(self, settlements: Iterable[Settlement]) -> int:
        """Record the final states that are new; returns 0, and the savepoint is lost, where some are not."""
        rows = ledger_rows(self._channel, settlements, self._run_id, datetime.now(UTC), as_text)
        try:
            return self._copy(_LEDGER_COPY, sorted(rows, key=_in_lock_order))
        except errors.UniqueViolation:
            return 0

    def write_rows(self, arrivals: Iterable[Arrival]) -> None:
        """Insert or update rows; a row made from a newer message stays as it is."""
        copy, upsert, values = _statements(self._channel)
        if self._scratch_in_use:  # the halves of a batch come here one after the other
            self._cursor.execute(b"DELETE FROM " + _scratch(self._table).encode())
        self._scratch_in_use = True
        self._copy(copy, values.rows(arrivals, self._run_id, datetime.now(UTC)))
        self._cursor.execute(upsert)

    def _copy(self, statement: bytes, rows: Iterable[Sequence[Any]]) -> int:
        with self._cursor.copy(statement) as copy:
            write = copy.write_row
            for row in rows:
                write(row)
        return self._cursor.rowcount


def forget_scratch(connection: Connection) -> None:
    """Note that a transaction was undone, and with it perhaps the making of a scratch table."""
    connection.info.pop(_SCRATCH, None)


# Every publishing time is written twice, into its row and into the ledger.
@lru_cache(maxsize=10_000)
def as_text(moment: datetime) -> str:
    """A point in time with its offset, so that it means the same whatever the session's time zone is."""
    return moment.isoformat(" ", "microseconds")


def _provide_scratch(connection: Connection, cursor: psycopg.Cursor[Any], table: Table) -> None:
    there = connection.info.setdefault(_SCRATCH, set())
    if table.name in there:
        return
    made = f"CREATE TEMPORARY TABLE IF NOT EXISTS {_PREFIX}{table.name} (LIKE {table.name}) "
    cursor.execute(f"{made} ON COMMIT DELETE ROWS".encode())
    there.add(table.name)


def _scratch(table: Table) -> str:
    return f"{_SCHEMA}.{_PREFIX}{table.name}"


def _copy_into(place: str, table: Table) -> bytes:
    return f"COPY {place} ({', '.join(column.name for column in table.c)}) FROM STDIN".encode()


@cache
def _statements(channel: Channel) -> tuple[bytes, bytes, RowValues]:
    """COPY into the scratch table, the INSERT from there, and what makes the rows."""
    table = record_table(channel)
    incoming = scratch_clause(
        f"{_PREFIX}{table.name}", *(column(one.name) for one in table.c), schema=_SCHEMA
    )
    # Byte by byte: whatever the database's own order is, this one is the fastest, and the same for all.
    rows = select(*incoming.c).order_by(collate(incoming.c[channel.id_field], "C"))
    upsert = updating_older_rows(insert(table).from_select(table.c.keys(), rows), channel)
    return _copy_into(_scratch(table), table), _sql(upsert), RowValues(channel, as_text)


def _sql(statement: Any) -> bytes:
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})).encode()


_LEDGER_COPY = _copy_into(message_ledger.name, message_ledger)


def _in_lock_order(row: Sequence[Any]) -> tuple[str, str]:
    _, entry_id, message_id, *_ = row
    return message_id or "", entry_id
