"""Databases of Dagster's own, and a pipeline to drain, for each who asks."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from queue_core.embedded import EmbeddedServer
from tests.postgres import PostgresServer
from tests.split.deployment import Deployment
from tests.split.pipeline import Pipeline

#: What an address, and a file of settings, could trip over.
NASTY = "p@ss:/w%rd?#'$x"


@pytest.fixture
def dagster_database(postgres: PostgresServer) -> dict[str, str]:
    """What dagster.yaml takes from the environment, for a new database and a role of its own."""
    name = postgres.new_database()
    quoted = NASTY.replace("'", "''")
    postgres.execute(f"CREATE ROLE {name} LOGIN PASSWORD '{quoted}'")
    postgres.execute(f"ALTER DATABASE {name} OWNER TO {name}")
    return {
        "DAGSTER_POSTGRES_HOST": "127.0.0.1",
        "DAGSTER_POSTGRES_PORT": str(postgres.port),
        "DAGSTER_POSTGRES_USER": name,
        "DAGSTER_POSTGRES_PASSWORD": NASTY,
        "DAGSTER_POSTGRES_DB": name,
    }


@pytest.fixture
def pipeline(valkey: EmbeddedServer, postgres: PostgresServer) -> Iterator[Pipeline]:
    name = postgres.new_database()
    one = Pipeline(valkey.url, name, postgres.tcp_url(name))
    yield one
    one.store.close()


@pytest.fixture
def workers(
    dagster_database: dict[str, str], pipeline: Pipeline, valkey: EmbeddedServer, tmp_path: Path
) -> Iterator[Deployment]:
    """One whose runs go to workers of Celery; not started."""
    variables = {
        **dagster_database,
        **pipeline.variables(),
        "TUTORMAX_CELERY_BROKER_URL": valkey.url,
        "TUTORMAX_CELERY_KEY_PREFIX": f"{pipeline.prefix}-celery:",
    }
    with Deployment(tmp_path, "dagster.celery.yaml", variables) as deployment:
        yield deployment
