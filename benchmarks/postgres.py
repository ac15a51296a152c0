"""How fast full queues drain into PostgreSQL: by one run, by two at once, and beside a bare COPY."""

from __future__ import annotations

import statistics
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import psycopg
from sqlalchemy import make_url

from benchmarks.figures import Figure
from benchmarks.fresh_process import Drained, Job
from benchmarks.messages import CHANNEL, publish, rewind
from benchmarks.place import Place, wait_until_quiet
from benchmarks.throughput import OWN
from queue_core import RedisClient
from tutormax_pipeline.batches import BATCH_SIZE

_PREFIX = "postgres"
#: Until two processes have started and wait for each other.
_START_SECONDS = 4.0


def postgres(
    place: Place, url: str, *, messages: int, rounds: int, say: Callable[[str], None]
) -> Iterator[Figure]:
    """Drain ``messages`` by one run and by two, and copy the same rows, in turn.

    In a database of its own, which is made on the server for that and dropped.
    """
    one: list[float] = []
    two: list[float] = []
    copy: list[float] = []
    cpu: list[float] = []
    rows = 0
    with place.client(_PREFIX) as client, _database(url) as address:
        say(f"publishing {messages:,} messages")
        publish(client, messages)
        for number in range(rounds):
            say(f"round {number + 1} of {rounds}: one run")
            (alone,) = _drain(place, client, address, 1)
            one.append(messages / alone.seconds)
            cpu.append(alone.cpu_seconds / messages * 1e6)
            rows += alone.rows
            say(f"round {number + 1} of {rounds}: a bare COPY of the same rows")
            copy.append(messages / _copy(address))
            say(f"round {number + 1} of {rounds}: two runs")
            both = _drain(place, client, address, 2)
            two.append(messages / max(drained.seconds for drained in both))
            rows += max(drained.rows for drained in both)
        client.redis.flushdb()
    yield _median(f"one run, drain of {messages:,}", one, "messages/s", least=15_000)
    yield _median("one run: processor, without the server's", cpu, "us/message")
    yield _median(f"two runs, drain of {messages:,}", two, "messages/s")
    yield _median("two runs to one", [b / a for a, b in zip(one, two, strict=True)], least=1.6)
    yield _median("bare COPY of the same rows", copy, "rows/s")
    yield _median("one run to a bare COPY", [a / b for a, b in zip(one, copy, strict=True)])
    yield Figure("messages drained and not stored", 2 * rounds * messages - rows, least=0, most=0)


@contextmanager
def _database(url: str) -> Iterator[str]:
    name = f"tutormax_bench_{uuid.uuid4().hex[:8]}"
    with psycopg.connect(_plain(url), autocommit=True) as server:
        server.execute(f"CREATE DATABASE {name}".encode())
        try:
            yield make_url(url).set(database=name).render_as_string(hide_password=False)
        finally:
            server.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def _drain(place: Place, client: RedisClient, address: str, runs: int) -> list[Drained]:
    with psycopg.connect(_plain(address), autocommit=True) as connection:
        if connection.execute("SELECT to_regclass('message_ledger')").fetchone() != (None,):
            connection.execute(f"TRUNCATE {CHANNEL}, message_ledger".encode())
        connection.execute("CHECKPOINT")
    rewind(client)
    wait_until_quiet(client)
    job = Job(place.url, _PREFIX, address, begin_at=time.time() + _START_SECONDS)
    return [Drained.of(process) for process in [job.start(OWN) for _ in range(runs)]]


def _copy(address: str) -> float:
    """Seconds that copying the table's rows takes, with its primary key, and a commit for each batch."""
    with psycopg.connect(_plain(address)) as connection:
        with connection.cursor().copy(f"COPY {CHANNEL} TO STDOUT".encode()) as copy:
            lines = [bytes(line) for line in copy]
        batches = [b"".join(lines[at : at + BATCH_SIZE]) for at in range(0, len(lines), BATCH_SIZE)]
        connection.execute(f"CREATE TABLE copied (LIKE {CHANNEL} INCLUDING INDEXES)".encode())
        connection.commit()
        began = time.perf_counter()
        for batch in batches:
            with connection.cursor().copy("COPY copied FROM STDIN") as copy:
                copy.write(batch)
            connection.commit()
        seconds = time.perf_counter() - began
        connection.execute("DROP TABLE copied")
        return seconds


def _plain(url: str) -> str:
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


def _median(name: str, values: list[float], unit: str = "", *, least: float | None = None) -> Figure:
    return Figure(name, statistics.median(values), unit, least=least, rounds=tuple(values))
