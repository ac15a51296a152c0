"""What a message costs each part: bytes in Redis and PostgreSQL, processor time of each process.

python -m tests.deploy.footprint            # some 20 s; the figures of docs/scaling.md

Processor time is that of the processes and not of the machine, so that a busy one changes it little. Sessions
of the sample, each with an id of its own; servers of this machine, as durable as in production.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import orjson
import psutil

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from tests.postgres import PostgresServer
from tutormax_pipeline.drain import drain
from tutormax_pipeline.sample import sample_lines
from tutormax_pipeline.store import Store

CHANNEL = QueueChannels.SESSIONS


def processor_seconds(name: str, processes: list[psutil.Process]) -> float:
    """What some processes, and those that they started, have used."""
    used = 0.0
    for process in processes:
        for one in [process, *process.children(recursive=True)]:
            with suppress(psutil.NoSuchProcess):
                times = one.cpu_times()
                used += times.user + times.system
    assert used, name
    return used


def sessions(count: int) -> Iterator[dict[str, object]]:
    sample = [orjson.loads(line) for line in sample_lines(CHANNEL)]
    for number in range(count):
        yield {**sample[number % len(sample)], "session_id": f"S{number:08d}"}


def measure(messages: int) -> None:
    """Publish and drain, and print the figures."""
    with (
        tempfile.TemporaryDirectory(prefix="tutormax-footprint-") as folder,
        EmbeddedServer(Path(folder)) as server,
        PostgresServer(durable=True) as postgres,
        RedisClient(RedisSettings.load(url=server.url, queue_maxlen=messages)) as client,
    ):
        database = postgres.new_database()
        (keeper,) = [one for one in psutil.Process().children() if "postgres" in one.name()]
        parts = {"Redis": [psutil.Process(server.pid)], "PostgreSQL": [keeper]}

        def used() -> dict[str, float]:
            servers = {name: processor_seconds(name, one) for name, one in parts.items()}
            return {**servers, "own": time.process_time()}

        def show(what: str, before: dict[str, float]) -> None:
            cost = {name: (now - before[name]) / messages * 1e6 for name, now in used().items()}
            print(what, ", ".join(f"{name} {one:.1f}" for name, one in cost.items()), "us a message")

        data = list(sessions(messages))
        before = used()
        MessagePublisher(client).publish_batch(CHANNEL, data)
        show("publishing in batches:", before)
        stream = client.keys.stream(CHANNEL)
        in_memory = client.redis.memory_usage(stream, samples=0) / messages
        on_disk = sum(one.stat().st_size for one in Path(folder).rglob("*.aof")) / messages
        print(f"Redis: {in_memory:.0f} bytes a message in memory, {on_disk:.0f} in the append-only file")
        with Store.open(postgres.url(database)) as store:
            before = used()
            started = time.monotonic()
            report = drain(MessageConsumer(client), store, CHANNEL, run_id="0" * 36)
            show(f"draining {report.messages:,} at {messages / (time.monotonic() - started):,.0f}/s:", before)
            with store.engine.connect() as connection:
                for table in ("sessions", "message_ledger"):
                    size = connection.exec_driver_sql(
                        "SELECT pg_total_relation_size(%s::regclass)", (table,)
                    ).scalar_one()
                    print(f"PostgreSQL: {size / messages:.0f} bytes a message in {table}, indexes included")


if __name__ == "__main__":
    measure(int(sys.argv[1]) if sys.argv[1:] else 50_000)
