"""Databases that refuse rows, in the words of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from tutormax_pipeline.store import Store


@contextmanager
def refusing(store: Store, table: str, when: str = "1 = 1", words: str = "no") -> Iterator[None]:
    """Have the database refuse rows of a table, such as ``when="NEW.name = 'x'"``, saying these words."""
    if store.engine.dialect.name == "sqlite":
        made = [
            f"CREATE TRIGGER refuse_{moment} BEFORE {moment} ON {table} WHEN {when} "
            f"BEGIN SELECT RAISE(ABORT, '{words}'); END"
            for moment in ("INSERT", "UPDATE")
        ]
        undone = [f"DROP TRIGGER refuse_{moment}" for moment in ("INSERT", "UPDATE")]
    else:
        complaint = f"RAISE EXCEPTION '{words}' USING ERRCODE = 'check_violation', DETAIL = NEW::text"
        trigger = f"CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW WHEN ({when})"
        made = [
            f"CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {complaint}; END $$",
            f"{trigger} EXECUTE FUNCTION refuse()",
        ]
        undone = ["DROP FUNCTION refuse CASCADE"]
    _execute(store, made)
    try:
        yield
    finally:
        _execute(store, undone)


def _execute(store: Store, statements: list[str]) -> None:
    with store.engine.begin() as connection:
        for statement in statements:
            connection.exec_driver_sql(statement)
