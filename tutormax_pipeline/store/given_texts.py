"""Texts given to a query as rows, in the words of each database."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson
from sqlalchemy import Text, column, literal
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.selectable import TableValuedAlias


def given_texts(texts: Sequence[str]) -> TableValuedAlias:
    """A table of one column, ``value``, with these texts in their order; one parameter, however many."""
    return _Elements(literal(orjson.dumps(list(texts)).decode(), Text)).table_valued(column("value", Text))


class _Elements(FunctionElement[str]):
    """The elements of a JSON array of texts."""

    name = "elements"
    inherit_cache = True


@compiles(_Elements, "sqlite")
def _sqlite(element: _Elements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_each({compiler.process(element.clauses, **options)})"


@compiles(_Elements, "postgresql")
def _postgresql(element: _Elements, compiler: SQLCompiler, **options: Any) -> str:
    return f"json_array_elements_text(CAST({compiler.process(element.clauses, **options)} AS json))"
