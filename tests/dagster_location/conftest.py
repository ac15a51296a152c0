"""A Dagster instance and resources of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import dagster as dg
import pytest
from dagster._core.storage.event_log import in_memory as events_in_memory
from dagster._core.storage.runs import in_memory as runs_in_memory

from queue_core import RedisClient
from queue_core.embedded import EmbeddedServer
from tutormax_pipeline.defs.resources import QueueResource, StoreResource


@pytest.fixture(scope="session", autouse=True)
def no_revisions_in_memory() -> Iterator[None]:
    """What lives in memory is never migrated. To note its revision takes as long as a whole test."""
    with (
        patch.object(events_in_memory, "stamp_alembic_rev"),
        patch.object(runs_in_memory, "stamp_alembic_rev"),
    ):
        yield


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.DagsterInstance.ephemeral() as instance:
        yield instance


@pytest.fixture
def resources(client: RedisClient, valkey: EmbeddedServer, tmp_path: Path) -> dict[str, object]:
    return {
        "queue": QueueResource(url=valkey.url, key_prefix=client.settings.key_prefix),
        "store": StoreResource(url=f"sqlite:///{tmp_path}/store.db"),
    }
