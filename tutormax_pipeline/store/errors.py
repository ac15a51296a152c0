"""Errors of the store, and which of the database's own mean that it is away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import exc


class StoreError(Exception):
    """Base of the errors of the store."""


class StoreUnavailableError(StoreError):
    """The database cannot do its work now: away, locked, read-only, full. Never a message's fault."""


@contextmanager
def store_errors(address: str) -> Iterator[None]:
    """Turn the database's errors into this tree, with the address and a remedy.

    Raises:
        StoreUnavailableError: the database cannot work now.
        StoreError: it refused a statement.
    """
    try:
        yield
    except (exc.OperationalError, exc.InterfaceError, exc.TimeoutError) as error:
        raise StoreUnavailableError(
            f"The store at {address} is not available ({_cause(error)}). "
            "Check TUTORMAX_STORE_URL, the rights and the room on its disk, and that nothing holds it locked."
        ) from error
    except exc.SQLAlchemyError as error:
        raise StoreError(f"The store at {address} refused a statement ({_cause(error)}).") from error


def _cause(error: exc.SQLAlchemyError) -> str:
    # The driver's words only: SQLAlchemy's own text quotes the parameters, which hold personal data.
    original = getattr(error, "orig", None)
    return str(original).splitlines()[0] if original is not None else type(error).__name__
