"""PostgreSQL: batches of several drains side by side, everything else that writes one at a time."""

from __future__ import annotations

import math
from typing import Any

import psycopg
from sqlalchemy import Connection, Engine, Table, create_engine, event, make_url
from sqlalchemy.dialects.postgresql import insert

from queue_core.channels import Channel
from tutormax_pipeline.store.database import PURPOSE, BatchWriter, Purpose
from tutormax_pipeline.store.errors import StoreError
from tutormax_pipeline.store.postgres_batch import PostgresBatch, forget_scratch
from tutormax_pipeline.store.postgres_connection import PatientConnection

#: The lock of whoever writes alone; any number will do, as long as every version has the same.
_ALONE_LOCK = 7_242_006_001

#: How much longer than the server's own limit an answer is waited for, in seconds.
_GRACE_SECONDS = 5.0
#: Seconds of silence before a connection is asked whether it is there, how often, until it counts as gone.
#: The server asks so too: the transaction of a host that was lost in the middle of a COPY, or of a message,
#: is ended by none of its other limits, and would hold its locks until the system gives up, after two hours.
_KEEPALIVES = {"keepalives_idle": 10, "keepalives_interval": 5, "keepalives_count": 3}

_DRIVERS = ("postgresql", "postgresql+psycopg")


class Postgres:
    """See :class:`tutormax_pipeline.store.database.Database`."""

    def engine(self, url: str, timeout_seconds: float, *, read_only: bool = False) -> Engine:
        """An engine on whose connections both sides give up after the time-out."""
        address = make_url(url)
        if address.drivername not in _DRIVERS:
            raise StoreError(
                f"TUTORMAX_STORE_URL: {address.drivername} is not supported; "
                "use postgresql://user:password@host/database"
            )
        # An error's text goes into run events, with those of its causes: no values in it.
        engine = create_engine(
            address.set(drivername="postgresql+psycopg"),
            connect_args=_connecting(timeout_seconds),
            hide_parameters=True,
            # Whoever waited for another transaction then sees what that one wrote.
            isolation_level="READ COMMITTED",
            pool_pre_ping=True,
        )

        def connect(_: object, __: object, args: tuple[Any, ...], options: dict[str, Any]) -> object:
            connection = PatientConnection.connect(*args, **options)
            connection.patience_seconds = timeout_seconds + _GRACE_SECONDS
            return connection

        def prepare(connection: psycopg.Connection[Any], _: object) -> None:
            connection.execute(_session(timeout_seconds, read_only=read_only))
            connection.commit()

        event.listen(engine, "do_connect", connect)
        event.listen(engine, "connect", prepare)
        event.listen(engine, "begin", _begin)
        event.listen(engine, "rollback", forget_scratch)
        return engine

    def writer(self, connection: Connection, channel: Channel, run_id: str) -> BatchWriter:
        """A writer in the connection's transaction."""
        return PostgresBatch(connection, channel, run_id)

    def insert(self, table: Table) -> Any:
        """An INSERT that knows ON CONFLICT."""
        return insert(table)

    def refresh_statistics(self, connection: Connection) -> None:
        """Look at a sample of each table; between these looks the server's autovacuum does so."""
        connection.exec_driver_sql("ANALYZE")


def _connecting(timeout_seconds: float) -> dict[str, Any]:
    return {
        "connect_timeout": max(2, math.ceil(timeout_seconds)),  # libpq reads 1 as 2
        "application_name": "tutormax",
        "client_encoding": "utf8",
        # A statement whose preparing was undone with its transaction would be missing ever after.
        "prepare_threshold": None,
        "tcp_user_timeout": math.ceil(timeout_seconds * 1000),
        **_KEEPALIVES,
    }


def _session(timeout_seconds: float, *, read_only: bool) -> str:
    limit = f"'{math.ceil(timeout_seconds * 1000)}ms'"
    settings = {
        "timezone": "'UTC'",
        "statement_timeout": limit,
        "lock_timeout": limit,
        # One that sleeps in the middle of a batch does not hold up the others for ever.
        "idle_in_transaction_session_timeout": limit,
        "tcp_user_timeout": limit,
        **{f"tcp_{name}": str(value) for name, value in _KEEPALIVES.items()},
        # What a trigger has to say may quote a row, and would be logged.
        "client_min_messages": "error",
    }
    if read_only:
        settings["default_transaction_read_only"] = "on"
    return "; ".join(f"SET {name} = {value}" for name, value in settings.items())


def _begin(connection: Connection) -> None:
    if connection.get_execution_options().get(PURPOSE) is Purpose.ALONE:
        connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_ALONE_LOCK})")
