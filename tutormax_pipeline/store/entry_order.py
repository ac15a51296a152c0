"""Entry ids in the order of the stream, in SQL: as text, ``10-0`` would come before ``9-0``."""

from __future__ import annotations

from sqlalchemy import ColumnElement, Integer, and_, cast, func, or_

from queue_core.entry_id import EntryId

#: The database's largest integer; ids may be larger, and are read as this.
_LARGEST = 2**63 - 1


def is_after(one: ColumnElement[str], other: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether one entry id is later; casting to a number reads the digits up to the hyphen."""
    one_ms, other_ms = cast(one, Integer), cast(other, Integer)
    return or_(one_ms > other_ms, and_(one_ms == other_ms, _sequence(one) > _sequence(other)))


def is_before(column: ColumnElement[str], bound: EntryId) -> ColumnElement[bool]:
    """Whether an entry id is earlier than a given one."""
    ms, sequence = min(bound.ms, _LARGEST), min(bound.sequence, _LARGEST)
    column_ms = cast(column, Integer)
    return or_(column_ms < ms, and_(column_ms == ms, _sequence(column) < sequence))


def _sequence(entry_id: ColumnElement[str]) -> ColumnElement[int]:
    return cast(func.substr(entry_id, func.instr(entry_id, "-") + 1), Integer)
