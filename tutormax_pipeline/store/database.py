"""What differs between the databases: the interface behind which each has two modules of its own."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from enum import Enum
from typing import Any, Protocol

from sqlalchemy import Connection, Engine, Table

from queue_core.channels import Channel
from tutormax_pipeline.store.arrival import Arrival, Known, Settlement

#: Execution option of an engine or a connection: what its transactions are for, one of :class:`Purpose`.
PURPOSE = "purpose"


class Purpose(Enum):
    """What a transaction is for, and so whom it keeps waiting."""

    READ = "read"
    #: Rows and ledger of a batch: on PostgreSQL beside those of other drains.
    BATCH = "batch"
    #: Everything else that writes: one at a time, so that it may look and then write.
    ALONE = "alone"


class BatchWriter(Protocol):
    """Writes one batch, inside a transaction that was begun."""

    #: What the database raises at a value that it will never take.
    refusals: tuple[type[Exception], ...]

    def execute(self, statement: str) -> object:
        """Execute a statement about savepoints, at the latest before what comes next."""

    def look_up(self, arrivals: Sequence[Arrival]) -> Known:
        """What the ledger knows of the entries and messages of a batch, whoever wrote it."""

    def write_ledger(self, settlements: Iterable[Settlement]) -> int:
        """Record the final states that are new.

        Returns:
            How many the ledger did not have yet. Where that is less than all of them, the transaction is to
            be rolled back to a savepoint.
        """

    def write_rows(self, arrivals: Collection[Arrival]) -> None:
        """Insert or update rows; given in the order of their keys, no two of the same.

        A row made from a newer message stays as it is.
        """


class Database(Protocol):
    """A kind of database."""

    def engine(self, url: str, timeout_seconds: float, *, read_only: bool = False) -> Engine:
        """An engine whose transactions heed :data:`PURPOSE`; it shows no values in errors.

        Args:
            url: SQLAlchemy address.
            timeout_seconds: how long to wait for another writer, for a connection and for an answer.
            read_only: whether nothing can be written through it, nor a file be made.

        Raises:
            StoreError: the address, or what is installed, will not do.
        """

    def writer(self, connection: Connection, channel: Channel, run_id: str) -> BatchWriter:
        """A writer in the connection's transaction."""

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT."""

    def refresh_statistics(self, connection: Connection) -> None:
        """Let the database learn anew how its tables are filled, for its query plans."""
