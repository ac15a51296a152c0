"""An exporter in this process, on a free port, and scrapes of it over HTTP."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry, generate_latest, start_http_server
from prometheus_client.parser import text_string_to_metric_families

from queue_core import RedisClient
from tutormax_pipeline.metrics.collector import QueueCollector
from tutormax_pipeline.store import Store

#: A sample's name and its labels, in the order of their names, beside its value.
Scraped = dict[tuple[str, ...], float]


@pytest.fixture
def store_url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/store.db"
    Store.open(url).close()
    return url


@pytest.fixture
def registry_of(store_url: str) -> Callable[..., CollectorRegistry]:
    """A registry with the collector of a namespace, and of the test's store unless it is to have another."""

    def make(client: RedisClient, *, seconds: float = 20, url: str = store_url) -> CollectorRegistry:
        registry = CollectorRegistry()
        registry.register(
            QueueCollector(
                lambda: RedisClient(client.settings), lambda: Store.open_to_read(url), seconds=seconds
            )
        )
        return registry

    return make


@pytest.fixture
def exporter_of(registry_of: Callable[..., CollectorRegistry]) -> Callable[..., Callable[[], Scraped]]:
    """Scrapes of a namespace, without HTTP."""

    def make(client: RedisClient, **options: object) -> Callable[[], Scraped]:
        registry = registry_of(client, **options)
        return lambda: samples(generate_latest(registry).decode())

    return make


@pytest.fixture
def scrape(exporter_of: Callable[..., Callable[[], Scraped]], client: RedisClient) -> Callable[[], Scraped]:
    return exporter_of(client)


@pytest.fixture
def exporter(registry_of: Callable[..., CollectorRegistry], client: RedisClient) -> Iterator[int]:
    """One that serves over HTTP; gives its port."""
    server, thread = start_http_server(0, "127.0.0.1", registry_of(client))
    yield server.server_port
    server.shutdown()
    server.server_close()
    thread.join()


def samples(text: str) -> Scraped:
    """Every sample, read by the text format's own parser."""
    return {
        (sample.name, *(sample.labels[name] for name in sorted(sample.labels))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
