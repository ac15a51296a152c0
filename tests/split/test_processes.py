"""Webserver, daemon and code server on PostgreSQL; each is killed, and started again."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import orjson
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from tests.conftest import wait_until
from tests.split.conftest import new_database
from tests.split.deployment import Deployment, patiently
from tests.split.postgres_server import PostgresServer
from tutormax_pipeline import books
from tutormax_pipeline.sample import sample_lines
from tutormax_pipeline.store import Store

SESSIONS = QueueChannels.SESSIONS
#: So many that a drain by tens is still at it when it is killed.
MANY = 4_000
SOON_SECONDS = 60
LINGERS = {"sessions": {"config": {"linger_seconds": 120, "batch_size": 10}}}

pytestmark = pytest.mark.timeout(300)


class Pipeline:
    """Queue and store of a deployment, and what is in them."""

    def __init__(self, redis: EmbeddedServer, folder: Path) -> None:
        self.prefix = f"split-{folder.name}"
        self._redis, self._database = redis, folder / "store.db"
        self.published = 0
        Store.open(self.address).close()

    @property
    def address(self) -> str:
        return f"sqlite:///{self._database}"

    def variables(self) -> dict[str, str]:
        return {
            "REDIS_URL": self._redis.url,
            "REDIS_KEY_PREFIX": self.prefix,
            "TUTORMAX_STORE_URL": self.address,
            "TUTORMAX_DRAIN_LINGER_SECONDS": "1",
        }

    def client(self) -> RedisClient:
        return RedisClient(RedisSettings.load(url=self._redis.url, key_prefix=self.prefix))

    def publish(self, count: int) -> None:
        """Publish sessions, each with an id of its own."""
        first, self.published = self.published, self.published + count
        with self.client() as client:
            MessagePublisher(client).publish_batch(
                SESSIONS, ({"session_id": f"N{n}", "tutor_id": "T1"} for n in range(first, first + count))
            )

    def publish_sample(self) -> None:
        with self.client() as client:
            publisher = MessagePublisher(client)
            for channel in QueueChannels.all():
                done = publisher.publish_batch(channel, map(orjson.loads, sample_lines(channel)))
                self.published += done.published

    def settled(self) -> int:
        with closing(sqlite3.connect(self._database)) as database:
            return int(database.execute("SELECT count(*) FROM message_ledger").fetchone()[0])

    def assert_all_stored_once(self) -> None:
        """Every message ever published is one row and one line of the ledger, and the books balance."""
        patiently(lambda: self.settled() == self.published, SOON_SECONDS, "every message in the ledger")
        with closing(sqlite3.connect(self._database)) as database:
            outcomes = dict(database.execute("SELECT outcome, count(*) FROM message_ledger GROUP BY 1"))
            rows = [
                database.execute(f"SELECT count(*) FROM {channel}").fetchone()[0]
                for channel in QueueChannels.all()
            ]
        assert outcomes == {"stored": self.published}
        assert sum(rows) == self.published
        with self.client() as client, Store.open(self.address) as store:

            def balanced() -> bool:
                return all(
                    books.look(client, store, channel, datetime.now(UTC)).balanced
                    for channel in QueueChannels.all()
                )

            patiently(balanced, SOON_SECONDS, "books that balance")


@pytest.fixture
def pipeline(valkey: EmbeddedServer, tmp_path: Path) -> Pipeline:
    return Pipeline(valkey, tmp_path)


@pytest.fixture
def split(postgres: PostgresServer, pipeline: Pipeline, tmp_path: Path) -> Iterator[Deployment]:
    variables = {**postgres.dagster_environment(new_database(postgres)), **pipeline.variables()}
    with Deployment(tmp_path, "dagster.yaml", variables) as deployment:
        deployment.start("code", "daemon", "web")
        deployment.wait_until_up()
        yield deployment


def test_sensors_drain_the_sample_and_each_process_may_be_killed_and_started_again(
    split: Deployment, pipeline: Pipeline
) -> None:
    # A code server that is replaced takes its runs along, here one in the middle of a drain.
    run = split.launch("drain_sessions", LINGERS)
    split.wait_for(run, "STARTED")
    pipeline.publish(MANY)
    pipeline.publish_sample()
    wait_until(lambda: pipeline.settled() > 0, SOON_SECONDS, "the first batch")
    split.kill("code")
    before = pipeline.settled()
    assert before < pipeline.published
    split.start("code")
    assert split.wait_for(run, "FAILURE", "SUCCESS") == "FAILURE"
    pipeline.assert_all_stored_once()

    # While the daemon is away nothing is drained; the webserver's absence nobody notices but people.
    split.kill("daemon")
    split.kill("web")
    pipeline.publish(100)
    split.start("daemon", "web")
    pipeline.assert_all_stored_once()
    split.wait_until_up()
    assert split.status(run) == "FAILURE"
