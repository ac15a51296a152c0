"""One PostgreSQL for the session of this worker, a database of its own for each who asks."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.split.postgres_server import PostgresServer


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    with PostgresServer(tmp_path_factory.mktemp("postgres")) as server:
        yield server


def new_database(server: PostgresServer) -> str:
    """An empty database; returns its name."""
    return server.create_database(f"test_{uuid.uuid4().hex[:12]}")
