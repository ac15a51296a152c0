"""SQLite: a file that is its owner's alone, written durably by one at a time."""

from __future__ import annotations

import os
import sqlite3
import time
from pathlib import Path
from typing import Any, cast

from sqlalchemy import Connection, Engine, NullPool, Table, create_engine, event, make_url
from sqlalchemy.dialects.sqlite import insert

from queue_core.channels import Channel
from tutormax_pipeline.store.database import PURPOSE, BatchWriter, Purpose
from tutormax_pipeline.store.errors import StoreNotReadyError, StoreUnavailableError
from tutormax_pipeline.store.sqlite_batch import SqliteBatch

#: Measured: larger pages, a cache and fewer checkpoints make the ledger's random index a third cheaper.
_PRAGMAS = (
    "page_size=8192",
    "journal_mode=WAL",
    "synchronous=FULL",
    "cache_size=-16384",
    "wal_autocheckpoint=4000",
)
_LOCKED_PAUSE_SECONDS = 0.005

#: Rows that ANALYZE looks at in each index; SQLite's own advice.
_ANALYSIS_LIMIT = 1_000


class Sqlite:
    """See :class:`tutormax_pipeline.store.database.Database`."""

    def engine(self, url: str, timeout_seconds: float, *, read_only: bool = False) -> Engine:
        """An engine for a file, which is made if it is not there, unless it is only to be read."""
        address = make_url(url)
        is_file = bool(address.database) and address.database != ":memory:"
        if is_file and not read_only:
            _make_private(Path(str(address.database)))
        # An error's text goes into run events, with those of its causes: no values in it.
        engine = create_engine(
            address,
            connect_args={"timeout": timeout_seconds},
            hide_parameters=True,
            # A connection that is kept would go on reading a file that was deleted or replaced.
            poolclass=NullPool if is_file and read_only else None,
        )
        if is_file and read_only:
            event.listen(engine, "do_connect", _connect_to_read)
            event.listen(engine, "connect", _prepare_to_read)
        else:
            event.listen(engine, "connect", _prepare)
        event.listen(engine, "begin", _begin)
        return engine

    def writer(self, connection: Connection, channel: Channel, run_id: str) -> BatchWriter:
        """A writer in the connection's transaction."""
        driver = cast("sqlite3.Connection", connection.connection.driver_connection)
        return SqliteBatch(driver.cursor(), channel, run_id)

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT."""
        return insert(table)

    def refresh_statistics(self, connection: Connection) -> None:
        """Look at a sample of each index."""
        connection.exec_driver_sql(f"PRAGMA analysis_limit={_ANALYSIS_LIMIT}")
        connection.exec_driver_sql("ANALYZE")


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


def _connect_to_read(_: object, __: object, args: tuple[Any, ...], options: dict[str, Any]) -> object:
    file = Path(args[0])
    try:
        file.stat()
    except FileNotFoundError:
        raise StoreNotReadyError(
            f"The store {file} is not there yet. The first drain makes it, or 'tutormax store upgrade'; "
            "else check TUTORMAX_STORE_URL and TUTORMAX_HOME."
        ) from None
    except OSError:
        pass  # SQLite says it, too
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=ro", *args[1:], uri=True, **options)


def _prepare_to_read(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # as in _prepare, whose settings are the writers'


def _prepare(connection: sqlite3.Connection, _: object) -> None:
    connection.isolation_level = None  # transactions are begun by _begin, not by the driver
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


def _begin(connection: Connection) -> None:
    reads = connection.get_execution_options().get(PURPOSE, Purpose.READ) is Purpose.READ
    connection.exec_driver_sql("BEGIN" if reads else "BEGIN IMMEDIATE")
