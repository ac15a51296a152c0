"""Errors of the store, and which of the database's own mean that it is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc

from tutormax_pipeline.store.remedies import remedy_for

#: What PostgreSQL's codes (SQLSTATE) begin with where it cannot work now: no connection, read-only, ended as
#: this one slept, no access, no such database, another in the way, no room, locked, stopped, its disk.
_AWAY = ("08", "25006", "25P03", "25P04", "28", "3D", "40", "53", "55", "57", "58")
#: Another transaction was in the way, and this one was undone: to be done again at once.
_CONTENDED = "40"
#: Codes whose first line names tables, columns and roles, and never quotes a value.
_NO_VALUES = (*_AWAY, "0A", "2B", "2D", "3F", "42501", "42P")

_OTHERWISE = (
    "Check TUTORMAX_STORE_URL, the rights and the room on its disk, and that nothing holds it locked."
)


class StoreError(Exception):
    """Base of the errors of the store."""


class StoreUnavailableError(StoreError):
    """The database cannot do its work now: away, locked, read-only, full. Never a message's fault."""


class StoreNotReadyError(StoreError):
    """The tables are not there yet, or are those of older code: to be made or migrated first."""


class StoreContendedError(StoreUnavailableError):
    """The database undid a transaction because of another one, such as in a deadlock."""


@contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Turn the database's errors into this tree, with the address and a remedy.

    Raises:
        StoreUnavailableError: the database cannot work now.
        StoreError: it refused a statement.
    """
    try:
        yield
    except exc.SQLAlchemyError as error:
        original = getattr(error, "orig", None)
        # None for errors of the connection, and of SQLite.
        code: str | None = getattr(original, "sqlstate", None)
        # PostgreSQL's errors may quote a row, in their details and in where they happened: nothing goes on.
        quoting = type(original).__module__.startswith("psycopg")
        raise _translated(error, code, address) from (None if quoting else error)


def _translated(error: exc.SQLAlchemyError, code: str | None, address: str) -> StoreError:
    cause = _cause(error, code)
    remedy = remedy_for(code, cause)
    if code is None:
        away = isinstance(error, exc.OperationalError | exc.InterfaceError | exc.TimeoutError)
    else:
        away = code.startswith(_AWAY)
    if not away:
        then = "" if remedy is None else f" {remedy}"
        return StoreError(f"The store at {address} refused a statement ({cause}).{then}")
    kind = StoreContendedError if code is not None and code.startswith(_CONTENDED) else StoreUnavailableError
    return kind(f"The store at {address} is not available ({cause}). {remedy or _OTHERWISE}")


def _cause(error: exc.SQLAlchemyError, code: str | None) -> str:
    # The driver's words only: SQLAlchemy's own text quotes the parameters, which hold personal data.
    original = getattr(error, "orig", None)
    if original is None:
        return type(error).__name__
    if code is not None and not code.startswith(_NO_VALUES):
        return f"{type(original).__name__}, SQLSTATE {code}"
    return str(original).splitlines()[0]
