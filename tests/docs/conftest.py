"""Each guide finds the same things: rows, dead letters, and a server and a home that nobody else uses."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from redis import Redis

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from tests.docs.execution import Folder
from tutormax_pipeline.drain import drain
from tutormax_pipeline.sample import sample_lines
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store

#: What no channel's contract allows: it ends as a dead letter.
_INVALID = [{"feedback_id": f"F-bad-{number}", "tutor_id": "P001", "rating": 55} for number in range(3)]


@pytest.fixture(scope="session")
def used_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as it is after some work, of which each guide gets a copy."""
    folder = tmp_path_factory.mktemp("guides")
    settings = PipelineSettings(home=folder / ".tutormax", _env_file=None)
    with (
        EmbeddedServer(settings.redis_folder) as server,
        RedisClient(RedisSettings.load(url=server.url)) as client,
        Store.open(settings.store_address) as store,
    ):
        publisher = MessagePublisher(client)
        for channel in QueueChannels.all():
            publisher.publish_batch(channel, map(orjson.loads, sample_lines(channel)))
        publisher.publish_batch(QueueChannels.FEEDBACK, _INVALID)
        for channel in QueueChannels.all():
            drain(MessageConsumer(client, "sample"), store, channel, run_id="sample")
    return settings.home


@pytest.fixture
def folder(used_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Folder]:
    """Where a guide's blocks run."""
    path = tmp_path_factory.mktemp("guide")
    shutil.copytree(used_home, path / ".tutormax")
    with EmbeddedServer(path / ".tutormax" / "redis") as server, Redis.from_url(server.url) as client:
        # Else a backup waits five seconds for others who might want one too.
        client.config_set("repl-diskless-sync-delay", 0)
        yield Folder(path, server.port)
