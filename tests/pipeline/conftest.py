"""What the tests of the pipeline share: messages, and drains of them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import select

from queue_core import Channel, MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.entry import Delivery, Entry
from queue_core.monitor import snapshot
from queue_core.outcomes import Outcome
from queue_core.serializer import serialize
from tutormax_pipeline.drain import DrainLimits, DrainReport, drain
from tutormax_pipeline.judge import Judge
from tutormax_pipeline.store import Arrival, Store
from tutormax_pipeline.store.tables import message_ledger, record_table

START = datetime(2026, 11, 7, 21, tzinfo=UTC)

Drain = Callable[..., DrainReport]


@pytest.fixture
def sqlite(tmp_path: Path) -> Iterator[Store]:
    """An empty SQLite store, for what only SQLite has."""
    with Store.open(f"sqlite:///{tmp_path}/sqlite.db") as store:
        yield store


@pytest.fixture
def drained(client: RedisClient, store: Store) -> Drain:
    """Drain a channel as a run would, with a consumer of its own."""
    runs = iter(f"run-{number}" for number in range(1, 1_000))

    def run(channel: Channel = QueueChannels.TUTORS, **options: object) -> DrainReport:
        run_id = next(runs)
        limits = DrainLimits(**{name: options.pop(name) for name in list(options) if name != "stop"})
        return drain(
            MessageConsumer(client, f"run:{run_id}"), store, channel, run_id=run_id, limits=limits, **options
        )

    return run


@pytest.fixture
def arrival(client: RedisClient) -> Callable[..., Arrival]:
    """A judged entry: a tutor's message with an id, a time and an entry id of one's choice."""
    judge = Judge(MessageConsumer(client), QueueChannels.TUTORS)
    stream = client.keys.stream(QueueChannels.TUTORS)

    def make(entry_id: str, message_id: str, /, minute: int = 0, **data: object) -> Arrival:
        record = {"tutor_id": "T1", "name": "x", **data}
        moment = START + timedelta(minutes=minute)
        body = serialize(stream, record, message_id=message_id, published_at=moment)
        return judge(Entry(entry_id, {b"message": body}, 2, delivery=Delivery.AGAIN))

    return make


@pytest.fixture(scope="module")
def drainer() -> Iterator[Drainer]:
    """A process that forks others, each of which drains the sessions."""
    drainer = Drainer()
    yield drainer
    drainer.close()


#: Everything is imported once, before the forks: a drain starts within milliseconds.
_DRAINER = """
import os, sys
import orjson
from queue_core import MessageConsumer, QueueChannels, RedisClient, RedisSettings
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.stopping import stop_on_signals
from tutormax_pipeline.store import Store
import psycopg, sqlalchemy.dialects.postgresql.psycopg, tutormax_pipeline.store.postgres

def work(url, prefix, address, limits):
    settings = RedisSettings.load(url=url, key_prefix=prefix, worker_max_processing_time_seconds=0.05)
    with RedisClient(settings) as client, Store.open(address) as store, stop_on_signals() as stop:
        print(os.getpid(), flush=True)
        consumer, channel = MessageConsumer(client), QueueChannels.SESSIONS
        report = drain(consumer, store, channel, run_id="r", limits=DrainLimits(**limits), stop=stop)
        print(orjson.dumps([report.messages, report.stopped]).decode(), flush=True)

for line in sys.stdin:
    child = os.fork()
    if child == 0:
        work(*orjson.loads(line))
        os._exit(0)
    print("ended", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Drainer:
    """Starts drains in processes of their own, one after the other."""

    def __init__(self) -> None:
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([sys.executable, "-c", _DRAINER], stdin=pipe, stdout=pipe, text=True)

    def start(self, client: RedisClient, server: EmbeddedServer, address: str, **limits: object) -> int:
        """Begin to drain; returns the id of the process that does."""
        job = [server.url, client.settings.key_prefix, address, limits]
        print(orjson.dumps(job).decode(), file=self._process.stdin, flush=True)
        return int(self._line())

    def wait(self) -> tuple[int, list[Any] | None]:
        """Until it ended: its exit code, and its messages and whether it was stopped if it says so."""
        line, report = self._line(), None
        if not line.startswith("ended"):
            report, line = orjson.loads(line), self._line()
        return int(line.removeprefix("ended")), report

    def close(self) -> None:
        """End the process from which the others were forked."""
        self._process.communicate(timeout=30)

    def _line(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()


def publish(publisher: MessagePublisher, count: int, start: int = 0) -> None:
    """Publish tutors ``T00000`` and so on."""
    publisher.publish_batch(
        QueueChannels.TUTORS, [{"tutor_id": f"T{n:05d}", "name": "x"} for n in range(start, start + count)]
    )


def letters(client: RedisClient) -> list[dict[bytes, bytes]]:
    """The dead letters, oldest first."""
    return [fields for _, fields in client.redis.xrange(client.keys.dead_letter)]


def assert_books_balance(client: RedisClient, store: Store) -> None:
    """Every entry of the tutors is in one place, and the ledger, the letters and their count agree."""
    seen = snapshot(client, QueueChannels.TUTORS)
    recorded = ledger(store)
    assert seen.entries_added == len(recorded) + seen.waiting + seen.pending
    dead = sum(outcome == Outcome.DEAD_LETTERED for *_, outcome, _ in recorded)
    assert client.redis.xlen(client.keys.dead_letter) == dead == seen.dead


def deliveries(store: Store) -> set[int]:
    """The numbers of deliveries that the ledger records."""
    with store.engine.connect() as connection:
        return set(connection.scalars(select(message_ledger.c.deliveries)))


def rows(store: Store, channel: Channel = QueueChannels.TUTORS) -> list[dict[str, object]]:
    table = record_table(channel)
    with store.engine.connect() as connection:
        found = connection.execute(select(table).order_by(table.c[channel.id_field]))
        return [dict(row._mapping) for row in found]


def ledger(store: Store, channel: Channel = QueueChannels.TUTORS) -> list[tuple[str, str, str, str | None]]:
    """Entry id, message id, outcome and reason, in the order of entry ids as text."""
    columns = message_ledger.c
    query = (
        select(columns.entry_id, columns.message_id, columns.outcome, columns.reason)
        .where(columns.channel == channel.name)
        .order_by(columns.entry_id)
    )
    with store.engine.connect() as connection:
        return [tuple(row) for row in connection.execute(query)]
