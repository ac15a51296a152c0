"""What the tests of the pipeline share: messages, and drains of them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import select

from queue_core import Channel, MessageConsumer, QueueChannels, RedisClient
from queue_core.entry import Entry
from queue_core.serializer import serialize
from tutormax_pipeline.drain import DrainLimits, DrainReport, Judge, drain
from tutormax_pipeline.store import Arrival, Store
from tutormax_pipeline.store.tables import message_ledger, record_table

START = datetime(2026, 11, 7, 21, tzinfo=UTC)

Drain = Callable[..., DrainReport]


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

    def make(entry_id: str, message_id: str, minute: int = 0, **data: object) -> Arrival:
        record = {"tutor_id": "T1", "name": "x", **data}
        moment = START + timedelta(minutes=minute)
        body = serialize(stream, record, message_id=message_id, published_at=moment)
        return judge(Entry(entry_id, {b"message": body}, 2))

    return make


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
