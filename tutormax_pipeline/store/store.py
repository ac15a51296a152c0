"""The store: opened once, written batch by batch, read for counts."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self, cast

from sqlalchemy import Connection, Engine, Row, Select, create_engine, event, func, make_url, select
from sqlalchemy.exc import DBAPIError

from queue_core.channels import Channel
from queue_core.failpoints import passing
from queue_core.outcomes import Outcome
from tutormax_pipeline.store import schema
from tutormax_pipeline.store.arrival import Arrival, Settlement
from tutormax_pipeline.store.batch import write_batch
from tutormax_pipeline.store.errors import StoreError, StoreUnavailableError, store_errors
from tutormax_pipeline.store.tables import message_ledger, record_table

#: Measured: larger pages, a cache and fewer checkpoints make the ledger's random index a third cheaper.
_PRAGMAS = (
    "page_size=8192",
    "journal_mode=WAL",
    "synchronous=FULL",
    "cache_size=-16384",
    "wal_autocheckpoint=4000",
)
_LOCKED_PAUSE_SECONDS = 0.005


class Store:
    """Tables and ledger in one database.

    Args:
        url: SQLAlchemy address, ``sqlite:///path/to/file.db``.
        timeout_seconds: how long to wait for another writer before the database counts as locked.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 30) -> None:
        self.address = make_url(url).render_as_string(hide_password=True)
        self.engine = _engine(url, timeout_seconds)

    @classmethod
    def open(cls, url: str, *, timeout_seconds: float = 30) -> Self:
        """Open the database, and bring its tables up to date.

        Raises:
            StoreUnavailableError: it cannot be reached or written.
            StoreError: it was made by newer code, or is no SQLite database.
        """
        store = cls(url, timeout_seconds=timeout_seconds)
        with store_errors(store.address):
            schema.upgrade(store.engine)
        return store

    def write(self, channel: Channel, arrivals: Sequence[Arrival], run_id: str) -> list[Settlement]:
        """Settle a batch: rows and ledger in one transaction, all of it or nothing.

        Entries that the ledger has are settled as it says and not written again. A value that only
        the database refuses makes its own message a dead letter; the rest of the batch is stored.

        Raises:
            StoreUnavailableError: nothing was written; the entries may be written again.
        """
        if not arrivals:
            return []
        with store_errors(self.address), self._writing() as connection:
            cursor = cast("sqlite3.Connection", connection.connection.driver_connection).cursor()
            try:
                settlements = write_batch(cursor, channel, arrivals, run_id)
            except sqlite3.Error as error:
                raise DBAPIError.instance("", (), error, sqlite3.Error) from error
            passing("commit:before")
        passing("commit:after")
        return settlements

    def row_count(self, channel: Channel) -> int:
        """Rows in the channel's table."""
        return int(self._scalar(select(func.count()).select_from(record_table(channel))))

    def outcome_counts(self, channel: Channel) -> dict[Outcome, int]:
        """Ledger rows of the channel by final state."""
        query = (
            select(message_ledger.c.outcome, func.count())
            .where(message_ledger.c.channel == channel.name)
            .group_by(message_ledger.c.outcome)
        )
        with store_errors(self.address), self.engine.connect() as connection:
            found = {Outcome(outcome): int(count) for outcome, count in connection.execute(query)}
        return {outcome: found.get(outcome, 0) for outcome in Outcome}

    @contextmanager
    def transaction(self, effect: str) -> Iterator[Connection]:
        """One transaction that writes; ``effect`` names its failpoints.

        Raises:
            StoreUnavailableError: nothing was written.
        """
        with store_errors(self.address), self._writing() as connection:
            yield connection
            passing(f"{effect}:before")
        passing(f"{effect}:after")

    def read(self, query: Select[Any]) -> Sequence[Row[Any]]:
        """The rows of a query.

        Raises:
            StoreUnavailableError: the database cannot be read now.
        """
        with store_errors(self.address), self.engine.connect() as connection:
            return connection.execute(query).all()

    def close(self) -> None:
        """Close every connection."""
        self.engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _writing(self) -> Any:
        return self.engine.execution_options(begin="BEGIN IMMEDIATE").begin()

    def _scalar(self, query: Any) -> Any:
        with store_errors(self.address), self.engine.connect() as connection:
            return connection.execute(query).scalar_one()


def _engine(url: str, timeout_seconds: float) -> Engine:
    address = make_url(url)
    if address.get_backend_name() != "sqlite":
        raise StoreError(
            f"TUTORMAX_STORE_URL: {address.drivername} is not supported; use sqlite:///path/to/file.db"
        )
    if address.database and address.database != ":memory:":
        _make_private(Path(address.database))
    # An error's text goes into run events, with those of its causes: no values in it.
    engine = create_engine(address, connect_args={"timeout": timeout_seconds}, hide_parameters=True)
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _make_private(file: Path) -> None:
    # Names and comments of people are in it: readable by its owner alone, and so are the files beside it.
    try:
        file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.close(os.open(file, os.O_CREAT | os.O_RDWR, 0o600))
    except OSError as error:
        raise StoreUnavailableError(
            f"The store {file} cannot be written ({error.strerror}). "
            "Check TUTORMAX_STORE_URL and TUTORMAX_HOME, and the rights there."
        ) from None


def _prepare_sqlite(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by _begin_sqlite, not by the driver
    (patience_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    deadline = time.monotonic() + patience_ms / 1000
    for pragma in _PRAGMAS:
        _set(connection, pragma, deadline)


def _set(connection: sqlite3.Connection, pragma: str, deadline: float) -> None:
    # Where several processes turn a new file to WAL at once, SQLite answers "locked" without waiting.
    while True:
        try:
            connection.execute(f"PRAGMA {pragma}")
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() >= deadline:
                raise
            time.sleep(_LOCKED_PAUSE_SECONDS)
        else:
            return


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get("begin", "BEGIN"))
