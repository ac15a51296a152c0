"""Minutes from one point in time to another, in the words of each database."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Float
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement


class MinutesBetween(FunctionElement[float]):
    """``MinutesBetween(start, end)``: minutes, below 0 where the end comes first, NULL where either is."""

    type = Float(53)
    name = "minutes_between"
    inherit_cache = True


@compiles(MinutesBetween, "sqlite")
def _sqlite(element: MinutesBetween, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(one, **options) for one in element.clauses)
    return f"((julianday({end}) - julianday({start})) * 1440.0)"


@compiles(MinutesBetween, "postgresql")
def _postgresql(element: MinutesBetween, compiler: SQLCompiler, **options: Any) -> str:
    start, end = (compiler.process(one, **options) for one in element.clauses)
    return f"(EXTRACT(EPOCH FROM {end} - {start}) / 60.0)"
