"""Looking at the real system: everything that the model has a say in."""

from __future__ import annotations

import time
from collections import Counter
from typing import Any

import orjson
from sqlalchemy import select

from queue_core import QueueChannels, RedisClient
from queue_core.channels import CONSUMER_GROUP
from queue_core.entry_id import ZERO, EntryId
from queue_core.outcomes import Outcome, Reason
from tests.model.entries import Seen
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.tables import ledger_totals, letter_archive, message_ledger, record_table

TUTORS = QueueChannels.TUTORS

_LONG_MS = 60_000


def observe(client: RedisClient, store: Store) -> Seen:
    """Stream, group, retries, letters, ledger, rows and archive, while nobody else is at work."""
    redis, keys = client.redis, client.keys
    stream = keys.stream(TUTORS)
    pipeline = client.pipeline()
    pipeline.xrange(stream)
    pipeline.xinfo_groups(stream)
    pipeline.xpending_range(stream, CONSUMER_GROUP, "-", "+", 10_000)
    pipeline.zrange(keys.retry(TUTORS), 0, -1, withscores=True)
    pipeline.hgetall(keys.processing(TUTORS))
    pipeline.xrange(keys.dead_letter)
    entries, groups, pending, retry, attempts, letters = pipeline.execute(raise_on_error=False)
    assert not isinstance(entries, Exception), entries
    exists = isinstance(pending, list)
    now_ms = time.time() * 1000
    assert redis.hgetall(keys.dead_letter_counts).get(b"tutors", b"0") == str(len(letters)).encode()
    return Seen(
        stream={i.decode(): fields for i, fields in entries},
        delivered=EntryId.parse(groups[0]["last-delivered-id"].decode()) if exists and groups else ZERO,
        pending={
            row["message_id"].decode(): (
                row["consumer"].decode(),
                row["times_delivered"],
                row["time_since_delivered"] > _LONG_MS,
            )
            for row in (pending if exists else [])
        },
        retry={i.decode(): score <= now_ms for i, score in retry},
        attempts={i.decode(): len(orjson.loads(text)) for i, text in attempts.items()},
        letters={i.decode(): fields for i, fields in letters},
        **_stored(store),
    )


def _stored(store: Store) -> dict[str, Any]:
    ledger, archive, table = message_ledger.c, letter_archive.c, record_table(TUTORS)
    rows = table.c
    with store.engine.connect() as connection:
        found = connection.execute(select(ledger.entry_id, ledger.outcome, ledger.reason)).all()
        totals = connection.execute(select(ledger_totals.c.outcome, ledger_totals.c.entries)).all()
        tutors = connection.execute(
            select(rows.tutor_id, rows.name, rows.published_at, rows.message_id, rows.entry_id)
        ).all()
        kept = connection.execute(select(archive.letter_id, archive.action, archive.body)).all()
    return {
        "ledger": {i: (Outcome(outcome), Reason(reason) if reason else None) for i, outcome, reason in found},
        "totals": Counter({Outcome(outcome): count for outcome, count in totals}),
        "rows": {record_id: tuple(row) for record_id, *row in tutors},
        "archive": {(letter_id, action): body for letter_id, action, body in kept},
    }
