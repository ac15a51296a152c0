"""Entry ids in the order of the stream, in SQL: as text, ``10-0`` would come before ``9-0``."""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, ColumnElement, and_, or_
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement

from queue_core.entry_id import EntryId

#: The databases' largest integer; ids may be larger, and are read as this.
_LARGEST = 2**63 - 1


def is_after(one: ColumnElement[str], other: ColumnElement[str]) -> ColumnElement[bool]:
    """Whether one entry id is later."""
    one_ms, other_ms = _Milliseconds(one), _Milliseconds(other)
    return or_(one_ms > other_ms, and_(one_ms == other_ms, _Sequence(one) > _Sequence(other)))


def is_before(column: ColumnElement[str], bound: EntryId) -> ColumnElement[bool]:
    """Whether an entry id is earlier than a given one."""
    ms, sequence = min(bound.ms, _LARGEST), min(bound.sequence, _LARGEST)
    column_ms = _Milliseconds(column)
    return or_(column_ms < ms, and_(column_ms == ms, _Sequence(column) < sequence))


class _Milliseconds(FunctionElement[int]):
    """The part of an entry id before its hyphen."""

    type = BigInteger()
    name = "entry_milliseconds"
    inherit_cache = True


class _Sequence(FunctionElement[int]):
    """The part of an entry id after its hyphen."""

    type = BigInteger()
    name = "entry_sequence"
    inherit_cache = True


@compiles(_Milliseconds, "sqlite")
def _sqlite_milliseconds(element: _Milliseconds, compiler: SQLCompiler, **options: Any) -> str:
    # Casting to a number reads the digits up to the hyphen.
    return f"CAST({compiler.process(element.clauses, **options)} AS INTEGER)"


@compiles(_Sequence, "sqlite")
def _sqlite_sequence(element: _Sequence, compiler: SQLCompiler, **options: Any) -> str:
    (entry_id,) = (compiler.process(one, **options) for one in element.clauses)
    return f"CAST(substr({entry_id}, instr({entry_id}, '-') + 1) AS INTEGER)"


@compiles(_Milliseconds, "postgresql")
def _postgresql_milliseconds(element: _Milliseconds, compiler: SQLCompiler, **options: Any) -> str:
    return _postgresql_part(element, 1, compiler, options)


@compiles(_Sequence, "postgresql")
def _postgresql_sequence(element: _Sequence, compiler: SQLCompiler, **options: Any) -> str:
    return _postgresql_part(element, 2, compiler, options)


def _postgresql_part(
    element: FunctionElement[int], part: int, compiler: SQLCompiler, options: dict[str, Any]
) -> str:
    (entry_id,) = (compiler.process(one, **options) for one in element.clauses)
    return f"LEAST(split_part({entry_id}, '-', {part})::numeric, {_LARGEST})::bigint"
