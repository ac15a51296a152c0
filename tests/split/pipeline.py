"""Queue and tables of a deployment, seen from outside: is each message there, once?"""

from __future__ import annotations

from datetime import UTC, datetime

import orjson
import sqlalchemy as sa

from queue_core import MessagePublisher, QueueChannels, RedisClient, RedisSettings
from tests.conftest import patiently
from tutormax_pipeline import books
from tutormax_pipeline.sample import sample_lines
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.tables import message_ledger, record_table

SESSIONS = QueueChannels.SESSIONS
SOON_SECONDS = 120


class Pipeline:
    """What is in a queue and its tables.

    Args:
        redis_url: the server's address.
        prefix: of the keys.
        store_url: address of the tables, made where they are not there.
    """

    def __init__(self, redis_url: str, prefix: str, store_url: str) -> None:
        self.redis_url, self.prefix, self.store_url = redis_url, prefix, store_url
        self.published = 0
        self.store = Store.open(store_url)

    def variables(self) -> dict[str, str]:
        """Of the environment of whoever is to drain it."""
        return {
            "REDIS_URL": self.redis_url,
            "REDIS_KEY_PREFIX": self.prefix,
            "TUTORMAX_STORE_URL": self.store_url,
            "TUTORMAX_DRAIN_LINGER_SECONDS": "1",
        }

    def client(self) -> RedisClient:
        settings = RedisSettings.load(url=self.redis_url, key_prefix=self.prefix, queue_maxlen=1_000_000)
        return RedisClient(settings)

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
        """Entries that reached their final state."""
        with self.store.engine.connect() as connection:
            return connection.scalar(sa.select(sa.func.count()).select_from(message_ledger)) or 0

    def stored_by(self) -> dict[str, int]:
        """Entries, by the run that settled them."""
        columns = message_ledger.c
        with self.store.engine.connect() as connection:
            query = sa.select(columns.run_id, sa.func.count()).group_by(columns.run_id)
            return {str(run): int(count) for run, count in connection.execute(query)}

    def assert_all_stored_once(self, within_seconds: float = SOON_SECONDS) -> None:
        """Every message ever published is one row and one line of the ledger, and the books balance."""
        patiently(lambda: self.settled() == self.published, within_seconds, "every message in the ledger")
        outcome, messages = message_ledger.c.outcome, message_ledger.c.message_id
        with self.store.engine.connect() as connection:
            found = sa.select(outcome, sa.func.count(), sa.func.count(messages.distinct())).group_by(outcome)
            outcomes = [tuple(row) for row in connection.execute(found)]
            rows = sum(
                connection.scalar(sa.select(sa.func.count()).select_from(record_table(channel))) or 0
                for channel in QueueChannels.all()
            )
        assert outcomes == [("stored", self.published, self.published)]
        assert rows == self.published
        with self.client() as client:

            def balanced() -> bool:
                now = datetime.now(UTC)
                return all(books.look(client, self.store, one, now).balanced for one in QueueChannels.all())

            patiently(balanced, SOON_SECONDS, "books that balance")
