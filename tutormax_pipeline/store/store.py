"""The store: opened once, written batch by batch, read for counts."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

from sqlalchemy import Connection, Row, Select, Table, func, select
from sqlalchemy.exc import DBAPIError

from queue_core.channels import Channel
from queue_core.failpoints import around, passing
from queue_core.outcomes import Outcome
from tutormax_pipeline.store import schema
from tutormax_pipeline.store.address import read_address, shown
from tutormax_pipeline.store.arrival import Arrival, Settlement
from tutormax_pipeline.store.batch import write_batch
from tutormax_pipeline.store.database import PURPOSE, Database, Purpose
from tutormax_pipeline.store.errors import StoreContendedError, StoreError, store_errors
from tutormax_pipeline.store.sqlite import Sqlite
from tutormax_pipeline.store.tables import message_ledger, record_table

#: Transactions that are begun before one which others get in the way of, each time, counts as unavailable.
_TRIES = 5


class Store:
    """Tables and ledger in one database.

    Args:
        url: SQLAlchemy address, ``sqlite:///path/to/file.db`` or ``postgresql://user:password@host/database``.
        timeout_seconds: how long to wait for another writer before the database counts as locked; on
            PostgreSQL also for a connection, and for every statement.
        read_only: whether nothing can be written through it, nor a file be made.

    Raises:
        StoreError: the address cannot be read, or no such kind of database is known.
    """

    def __init__(self, url: str, *, timeout_seconds: float = 30, read_only: bool = False) -> None:
        self.address = shown(url)
        self._database = _database(url)
        self.engine = self._database.engine(url, timeout_seconds, read_only=read_only)

    @classmethod
    def open(cls, url: str, *, timeout_seconds: float = 30) -> Self:
        """Open the database, and bring its tables up to date.

        Raises:
            StoreUnavailableError: it cannot be reached or written.
            StoreError: it was made by newer code, or is no database.
        """
        store = cls(url, timeout_seconds=timeout_seconds)
        store.upgrade()
        return store

    @classmethod
    def open_to_read(cls, url: str, *, timeout_seconds: float = 30) -> Self:
        """Open the database to look at it: nothing is made, migrated or written.

        Raises:
            StoreNotReadyError: it is not there, has no tables, or those of older code.
            StoreUnavailableError: it cannot be reached or read.
            StoreError: it was made by newer code, or is no database.
        """
        store = cls(url, timeout_seconds=timeout_seconds, read_only=True)
        try:
            store.require_tables()
        except StoreError:
            store.close()
            raise
        return store

    def require_tables(self) -> None:
        """Make sure that the tables are those of this code; nothing is changed.

        Raises:
            StoreNotReadyError: there are none, or those of older code.
            StoreUnavailableError: the database cannot be reached or read.
            StoreError: they were made by newer code.
        """
        found = self.revision()
        if found.standing is not schema.Standing.UP_TO_DATE:
            raise schema.unfit(found, self.address)

    def upgrade(self) -> None:
        """Create the tables or bring them up to date; for several at once, too.

        Raises:
            StoreUnavailableError: the database cannot be reached or written.
            StoreError: it was made by newer code.
        """
        with store_errors(self.address):
            schema.upgrade(self.engine, self.address)

    def revision(self) -> schema.Revision:
        """How the tables stand to this code; nothing is changed.

        Raises:
            StoreUnavailableError: the database cannot be reached.
        """
        with store_errors(self.address):
            return schema.revision(self.engine)

    def write(self, channel: Channel, arrivals: Sequence[Arrival], run_id: str) -> list[Settlement]:
        """Settle a batch: rows and ledger in one transaction, all of it or nothing.

        Entries that the ledger has are settled as it says and not written again. A value that only
        the database refuses makes its own message a dead letter; the rest of the batch is stored.

        Raises:
            StoreUnavailableError: nothing was written, or all of it where the answer was lost; it may
                be written again.
        """
        for tries_left in reversed(range(_TRIES if arrivals else 0)):
            try:
                return self._write(channel, arrivals, run_id)
            except StoreContendedError:
                if not tries_left:
                    raise
        return []

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
        with store_errors(self.address), self._begin(Purpose.ALONE) as connection:
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

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT, as the dialect has it."""
        return self._database.insert(table)

    def refresh_statistics(self) -> None:
        """Let the database learn anew how its tables are filled, for its query plans.

        Raises:
            StoreUnavailableError: the database is away.
        """
        with (
            store_errors(self.address),
            around("refresh_statistics"),
            self.engine.connect() as connection,
        ):
            self._database.refresh_statistics(connection)
            connection.commit()

    def _write(self, channel: Channel, arrivals: Sequence[Arrival], run_id: str) -> list[Settlement]:
        with store_errors(self.address), self._begin(Purpose.BATCH) as connection:
            driver_error: type[Exception] = self.engine.dialect.loaded_dbapi.Error
            try:
                writer = self._database.writer(connection, channel, run_id)
                settlements = write_batch(writer, channel.id_field, arrivals)
            except driver_error as error:
                raise DBAPIError.instance("", (), error, driver_error) from error
            passing("commit:before")
        passing("commit:after")
        return settlements

    def _begin(self, purpose: Purpose) -> Any:
        return self.engine.execution_options(**{PURPOSE: purpose}).begin()

    def _scalar(self, query: Any) -> Any:
        with store_errors(self.address), self.engine.connect() as connection:
            return connection.execute(query).scalar_one()


def _database(url: str) -> Database:
    kind = read_address(url).get_backend_name()
    if kind == "sqlite":
        return Sqlite()
    if kind == "postgresql":
        try:
            from tutormax_pipeline.store.postgres import Postgres  # noqa: PLC0415 - psycopg is an extra
        except ImportError:
            raise StoreError(
                "TUTORMAX_STORE_URL names PostgreSQL, for which psycopg is missing: "
                "pip install 'tutormax-pipeline[postgres]'"
            ) from None
        return Postgres()
    raise StoreError(
        f"TUTORMAX_STORE_URL: {kind} is not supported; use sqlite:///path/to/file.db "
        "or postgresql://user:password@host/database"
    )
