"""The process that drains with a loop as one would write it by hand: the measure of what the drain costs.

The same job (read, parse, verify, validate, write, commit safely, acknowledge) and none of the
guarantees: no ledger, no dead letters, no order, no read ahead, and one bad message ends it.
"""

from __future__ import annotations

import hashlib
import sqlite3
from datetime import UTC, datetime
from typing import Any

import orjson
import redis
from sqlalchemy.dialects import sqlite
from sqlalchemy.schema import CreateTable

from benchmarks.fresh_process import Drained, Job
from benchmarks.messages import CHANNEL
from tutormax_pipeline.records import Session
from tutormax_pipeline.store.tables import LINEAGE, record_table

GROUP, CONSUMER, BATCH = "by-hand", "by-hand", 5_000
FIELDS = list(Session.model_fields)
COLUMNS = [*FIELDS, "extra", *LINEAGE]
UPDATES = ", ".join(f"{column} = excluded.{column}" for column in COLUMNS)
UPSERT = (
    f"INSERT INTO {CHANNEL} ({', '.join(COLUMNS)}) VALUES ({', '.join('?' * len(COLUMNS))}) "  # noqa: S608
    f"ON CONFLICT ({CHANNEL.id_field}) DO UPDATE SET {UPDATES}"
)


def drain(client: redis.Redis, stream: str, connection: sqlite3.Connection) -> None:
    """Read, store and acknowledge until nothing waits."""
    while True:
        reply: Any = client.xreadgroup(GROUP, CONSUMER, {stream: ">"}, count=BATCH)
        if not reply:
            return
        entries = reply[stream.encode()]
        with connection:
            connection.executemany(
                UPSERT, [row_of(entry_id, fields[b"message"]) for entry_id, fields in entries]
            )
        client.xack(stream, GROUP, *[entry_id for entry_id, _ in entries])


def row_of(entry_id: bytes, body: bytes) -> list[Any]:
    """The row of one message."""
    envelope = orjson.loads(body)
    data = envelope["data"]
    if hashlib.sha256(orjson.dumps(data, option=orjson.OPT_SORT_KEYS)).hexdigest() != envelope["checksum"]:
        raise ValueError(f"checksum of {envelope['id']} does not hold")
    record = Session.model_validate(data)
    return [
        *[as_column(getattr(record, name)) for name in FIELDS],
        as_column(record.model_extra),
        envelope["id"],
        entry_id.decode(),
        "by-hand",
        envelope["timestamp"],
        datetime.now(UTC).isoformat(),
    ]


def as_column(value: object) -> object:
    """What SQLite can hold of a value."""
    if isinstance(value, (list, dict)):
        return orjson.dumps(value).decode()
    return value.isoformat() if isinstance(value, datetime) else value


def main() -> None:
    """Drain as the job says."""
    job, drained = Job.given(), Drained()
    stream = f"{job.key_prefix}:{CHANNEL}"
    connection = sqlite3.connect(job.store)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")
    connection.execute(str(CreateTable(record_table(CHANNEL)).compile(dialect=sqlite.dialect())))
    with redis.Redis.from_url(job.url, protocol=2, legacy_responses=False) as client:
        client.xgroup_create(stream, GROUP, id="0")
        with drained.measuring():
            drain(client, stream, connection)
        client.xgroup_destroy(stream, GROUP)
    drained.rows = connection.execute(f"SELECT count(*) FROM {CHANNEL}").fetchone()[0]  # noqa: S608
    connection.close()
    drained.hand_back()


if __name__ == "__main__":
    main()
