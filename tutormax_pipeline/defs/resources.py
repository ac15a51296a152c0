"""The queue and the store, as Dagster resources; unless configured here, from the environment."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import dagster as dg
from pydantic import Field

from queue_core import RedisClient, RedisSettings
from tutormax_pipeline.settings import PipelineSettings, redis_settings
from tutormax_pipeline.store import Store


class QueueResource(dg.ConfigurableResource[RedisClient]):
    """Redis Streams: `REDIS_...` in the environment, or the embedded server of `tutormax up`."""

    url: str | None = Field(
        default=None, description="Address of another Redis than the environment's; for tests."
    )
    key_prefix: str | None = Field(
        default=None, description="Another first part of the keys' names; for tests."
    )

    @contextmanager
    def connect(self) -> Iterator[RedisClient]:
        """A client, closed on leaving."""
        given: dict[str, Any] = {"url": self.url, "key_prefix": self.key_prefix}
        values = {name: value for name, value in given.items() if value is not None}
        settings = RedisSettings.load(**values) if self.url else redis_settings(PipelineSettings.load())
        with RedisClient(settings) as client:
            yield client


class StoreResource(dg.ConfigurableResource[Store]):
    """The database of the tables: `TUTORMAX_STORE_URL`, or a SQLite file in `TUTORMAX_HOME`."""

    url: str | None = Field(
        default=None, description="Address of another store than the environment's; for tests."
    )

    @contextmanager
    def open(self) -> Iterator[Store]:
        """The store with its tables up to date, closed on leaving."""
        settings = PipelineSettings.load()
        address = self.url or settings.store_address
        with Store.open(address, timeout_seconds=settings.store_timeout_seconds) as store:
            yield store
