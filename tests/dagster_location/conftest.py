"""A Dagster instance and resources of the test's own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from queue_core import RedisClient
from queue_core.embedded import EmbeddedServer
from tutormax_pipeline.defs.resources import QueueResource, StoreResource


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
