"""Writing a batch into SQLite, with the driver's own speed.

SQLAlchemy makes the statements; sqlite3 executes them with plain tuples, three times as fast.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from functools import cache, lru_cache
from operator import itemgetter
from typing import Any

import orjson
from sqlalchemy import JSON, and_, or_
from sqlalchemy.dialects import sqlite
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql.dml import Insert

from queue_core.channels import Channel
from queue_core.outcomes import Outcome, Reason
from tutormax_pipeline.store.arrival import Arrival, Known, Recorded, Settlement
from tutormax_pipeline.store.entry_order import is_after
from tutormax_pipeline.store.tables import LINEAGE, UtcDateTime, message_ledger, record_table

#: Place of a column in a row, and how its values become text.
_Converter = tuple[int, Callable[[Any], str]]

_DIALECT = sqlite.dialect()
_MICROSECONDS_LENGTH = len("2026-11-07 21:00:00.000000")


def look_up(cursor: sqlite3.Cursor, channel: Channel, arrivals: Sequence[Arrival]) -> Known:
    """What the ledger knows of the entries and messages of a batch."""
    entry_ids = orjson.dumps([arrival.entry.id for arrival in arrivals]).decode()
    message_ids = orjson.dumps([one.message.id for one in arrivals if one.message is not None]).decode()
    entries = cursor.execute(
        "SELECT entry_id, outcome, reason, message_id FROM message_ledger "
        "WHERE channel = ? AND entry_id IN (SELECT value FROM json_each(?))",
        (channel.name, entry_ids),
    )
    recorded = {
        entry_id: Recorded(Outcome(outcome), Reason(why) if why else None, message_id)
        for entry_id, outcome, why, message_id in entries
    }
    stored = cursor.execute(
        "SELECT message_id FROM message_ledger "
        "WHERE channel = ? AND outcome = 'stored' AND message_id IN (SELECT value FROM json_each(?))",
        (channel.name, message_ids),
    )
    return Known(recorded, {message_id for (message_id,) in stored})


def write_rows(cursor: sqlite3.Cursor, channel: Channel, arrivals: Iterable[Arrival], run_id: str) -> None:
    """Insert or update the rows; a row made from a newer message stays as it is."""
    statement, fields, converters = _upsert(channel)
    stored_at = as_text(datetime.now(UTC))

    def rows() -> Iterable[Sequence[Any]]:
        for entry, message, record, _ in arrivals:
            assert message is not None and record is not None  # noqa: S101, PT018 - only messages are stored
            row = list(fields(record.__dict__))
            for place, convert in converters:
                if row[place] is not None:
                    row[place] = convert(row[place])
            extra = record.__pydantic_extra__
            row.append(as_json(extra) if extra else None)
            row += (message.id, entry.id, run_id, as_text(message.published_at), stored_at)
            yield row

    cursor.executemany(statement, rows())


def write_ledger(
    cursor: sqlite3.Cursor, channel: Channel, settlements: Iterable[Settlement], run_id: str
) -> int:
    """Record the final states that are new; returns how many the ledger did not have yet."""
    recorded_at = as_text(datetime.now(UTC))
    cursor.executemany(_ledger_statement(), _ledger_rows(channel, settlements, run_id, recorded_at))
    return cursor.rowcount


def _ledger_rows(
    channel: Channel, settlements: Iterable[Settlement], run_id: str, recorded_at: str
) -> Iterable[tuple[Any, ...]]:
    for (entry, message, _, _), outcome, rejection, repeated in settlements:
        if repeated:
            continue
        source = message or rejection
        identity = (
            message.id if message is not None else rejection.message_id if rejection is not None else None
        )
        published_at = source.published_at if source is not None else None
        yield (
            channel.name,
            entry.id,
            identity,
            outcome.value,
            rejection.reason.value if rejection is not None else None,
            entry.deliveries,
            run_id,
            as_text(published_at) if published_at is not None else None,
            recorded_at,
        )


# Every publishing time is written twice, into its row and into the ledger.
@lru_cache(maxsize=10_000)
def as_text(moment: datetime) -> str:
    """The text that SQLAlchemy's DateTime reads and writes: UTC, microseconds, no offset."""
    return moment.isoformat(" ", "microseconds")[:_MICROSECONDS_LENGTH]


def as_json(value: object) -> str:
    """The text of a JSON column."""
    return orjson.dumps(value).decode()


@cache
def _upsert(channel: Channel) -> tuple[str, Callable[[Any], tuple[Any, ...]], list[_Converter]]:
    table = record_table(channel)
    statement = insert(table)
    new, old = statement.excluded, table.c
    statement = statement.on_conflict_do_update(
        index_elements=[channel.id_field],
        set_={column.name: new[column.name] for column in table.c if column.name != channel.id_field},
        where=or_(
            new.published_at > old.published_at,
            and_(new.published_at == old.published_at, is_after(new.entry_id, old.entry_id)),
        ),
    )
    names = [column.name for column in table.c if column.name not in (*LINEAGE, "extra")]
    kinds: dict[type, Callable[[Any], str]] = {JSON: as_json, UtcDateTime: as_text}
    converters = [
        (place, kinds[type(table.c[name].type)])
        for place, name in enumerate(names)
        if type(table.c[name].type) in kinds
    ]
    fields: Callable[[Any], tuple[Any, ...]] = itemgetter(*names)
    return _sql(statement), fields, converters


@cache
def _ledger_statement() -> str:
    return _sql(insert(message_ledger).on_conflict_do_nothing())


def _sql(statement: Insert) -> str:
    return str(statement.compile(dialect=_DIALECT, compile_kwargs={"literal_binds": True}))
