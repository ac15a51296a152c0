"""Writing a batch into PostgreSQL, by COPY, which is the fastest way in.

Ledger rows go straight into the ledger: nearly always all of them are new. Rows go into a scratch table, for
COPY knows no ON CONFLICT, and from there into theirs by one INSERT. Scratch tables are each connection's own;
they are not logged, and empty again after every transaction. Both are written in an order of their own, so
that drains side by side take their locks in the same order. A few rows, as a drain that lingers writes them,
are inserted without COPY: it takes more round trips than they do.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import Any, NamedTuple, cast

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

_DIALECT: Dialect = dialect(paramstyle="format")  # type: ignore[no-untyped-call]

#: The entries of a batch that are in the ledger, then the messages that are stored, without an entry.
_LOOK_UP = b"""
SELECT entry_id, outcome, reason, message_id FROM message_ledger WHERE channel = %s AND entry_id = ANY(%s)
UNION ALL
SELECT NULL, NULL, NULL, message_id FROM message_ledger
WHERE channel = %s AND outcome = 'stored' AND message_id = ANY(%s)
"""

#: Rows up to which COPY is not worth its round trips.
_FEW = 20

#: One row of values in an INSERT.
_ROW = re.compile(rb"(?<=VALUES )\([^()]*\)")

#: Where a connection's own scratch tables are noted.
_SCRATCH = "scratch tables"
_SCHEMA = "pg_temp"


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
        self._connection = connection
        self._delayed: list[str] = []

    def execute(self, statement: str) -> None:
        """Execute a statement without parameters, together with later ones unless it undoes something."""
        self._delayed.append(statement)
        if statement.startswith("ROLLBACK"):
            forget_scratch(self._connection)
            self._catch_up()

    def look_up(self, arrivals: Sequence[Arrival]) -> Known:
        """What the ledger knows of the entries and messages of a batch, and others have committed by now."""
        self._catch_up()
        channel = self._channel.name
        entry_ids = [arrival.entry.id for arrival in arrivals]
        message_ids = [one.message.id for one in arrivals if one.message is not None]
        found = self._cursor.execute(_LOOK_UP, (channel, entry_ids, channel, message_ids)).fetchall()
        entries = {
            entry_id: Recorded(Outcome(outcome), Reason(why) if why else None, message_id)
            for entry_id, outcome, why, message_id in found
            if entry_id is not None
        }
        return Known(entries, {message_id for entry_id, *_, message_id in found if entry_id is None})

    def write_ledger(self, settlements: Iterable[Settlement]) -> int:
        """Record the final states that are new; returns 0, and the savepoint is lost, where some are not."""
        rows = ledger_rows(self._channel, settlements, self._run_id, datetime.now(UTC), as_text)
        ordered = sorted(rows, key=_in_lock_order)
        try:
            return self._insert(_LEDGER, ordered, len(ordered))
        except errors.UniqueViolation:
            return 0

    def write_rows(self, arrivals: Collection[Arrival]) -> None:
        """Insert or update rows; a row made from a newer message stays as it is."""
        statements, values = _statements(self._channel)
        rows = values.rows(arrivals, self._run_id, datetime.now(UTC))
        self._insert(statements, rows, len(arrivals))

    def _insert(self, statements: _Statements, rows: Iterable[Sequence[Any]], count: int) -> int:
        if not count:
            return 0
        cursor = self._cursor
        if statements.move and count > _FEW:
            self._provide_scratch()
        self._catch_up()
        if count <= _FEW:
            # Not executemany: psycopg warns of a pipeline that ends in an error, which duplicates are.
            cursor.execute(_of_several(statements.insert, count), [value for row in rows for value in row])
        else:
            with cursor.copy(statements.copy) as copy:
                write = copy.write_row
                for row in rows:
                    write(row)
            if statements.move:
                cursor.execute(statements.move)
        return cursor.rowcount

    def _catch_up(self) -> None:
        statements, self._delayed = self._delayed, []
        if statements:
            self._cursor.execute("; ".join(statements).encode())

    def _provide_scratch(self) -> None:
        name, there = _scratch(self._channel), self._connection.info.setdefault(_SCRATCH, set())
        if name not in there:
            table = record_table(self._channel).name
            self.execute(f"CREATE TEMPORARY TABLE IF NOT EXISTS {name} (LIKE {table}) ON COMMIT DELETE ROWS")
            there.add(name)
        if self._scratch_in_use:  # the halves of a batch come here one after the other
            self.execute(f"TRUNCATE {_SCHEMA}.{name}")
        self._scratch_in_use = True


def forget_scratch(connection: Connection) -> None:
    """Note that a transaction was undone, and with it perhaps the making of a scratch table."""
    connection.info.pop(_SCRATCH, None)


# Every publishing time is written twice, into its row and into the ledger.
@lru_cache(maxsize=10_000)
def as_text(moment: datetime) -> str:
    """A point in time with its offset, so that it means the same whatever the session's time zone is."""
    return moment.isoformat(" ", "microseconds")


class _Statements(NamedTuple):
    """How a few rows get into a table, how many do, and how these move on from the scratch table."""

    insert: bytes
    copy: bytes
    move: bytes = b""


@cache
def _statements(channel: Channel) -> tuple[_Statements, RowValues]:
    table = record_table(channel)
    scratch = scratch_clause(_scratch(channel), *(column(one.name) for one in table.c), schema=_SCHEMA)
    # Byte by byte: whatever the database's own order is, this one is the fastest, and the same for all.
    rows = select(*scratch.c).order_by(collate(scratch.c[channel.id_field], "C"))
    statements = _Statements(
        insert=_sql(updating_older_rows(insert(table), channel)),
        copy=_copy_into(f"{_SCHEMA}.{scratch.name}", table),
        move=_sql(updating_older_rows(insert(table).from_select(table.c.keys(), rows), channel)),
    )
    return statements, RowValues(channel, as_text)


def _scratch(channel: Channel) -> str:
    return f"incoming_{channel.name}"


def _copy_into(place: str, table: Table) -> bytes:
    return f"COPY {place} ({', '.join(column.name for column in table.c)}) FROM STDIN".encode()


@lru_cache
def _of_several(insert_one: bytes, count: int) -> bytes:
    """The same INSERT with as many rows of values."""
    return _ROW.sub(lambda row: b", ".join([row[0]] * count), insert_one, count=1)


def _sql(statement: Any) -> bytes:
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True})).encode()


_LEDGER = _Statements(_sql(insert(message_ledger)), _copy_into(message_ledger.name, message_ledger))


def _in_lock_order(row: Sequence[Any]) -> tuple[str, str]:
    _, entry_id, message_id, *_ = row
    return message_id or "", entry_id
