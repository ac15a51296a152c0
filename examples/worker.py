"""A worker that stores tutors and sessions in a SQLite file; needs nothing but queue_core.

    python examples/worker.py --channels tutormax:tutors,tutormax:sessions --batch-size 20

It uses the Redis that REDIS_URL or REDIS_HOST names; where neither is set, an embedded server in a temporary
folder. Ctrl-C ends it after the message in hand.

The queue delivers a message at least once. Each handler notes the message's id in the transaction that
stores its data, so that a message which comes twice takes effect once.
"""

from __future__ import annotations

import argparse
import json
import logging
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from queue_core import (
    Channel,
    QueueChannels,
    QueueError,
    QueueWorker,
    ReceivedMessage,
    RedisClient,
    RedisSettings,
)
from queue_core.embedded import EmbeddedServer
from queue_core.errors import HandlerUnavailableError

log = logging.getLogger("worker")

SCHEMA = """
CREATE TABLE IF NOT EXISTS handled (message_id TEXT PRIMARY KEY);
CREATE TABLE IF NOT EXISTS records (
    channel TEXT, id TEXT, published_at TEXT NOT NULL, data TEXT NOT NULL, PRIMARY KEY (channel, id));
"""
#: An older message that comes late, after a retry, does not undo a newer one.
UPSERT = """
INSERT INTO records VALUES (?, ?, ?, ?) ON CONFLICT DO UPDATE
SET published_at = excluded.published_at, data = excluded.data WHERE excluded.published_at >= published_at
"""


def storing(database: sqlite3.Connection, channel: Channel) -> Callable[..., bool]:
    """A handler that stores the records of a channel."""

    def store(data: dict[str, object], message: ReceivedMessage) -> bool:
        try:
            with database:  # one transaction: both rows, or neither
                noted = database.execute("INSERT OR IGNORE INTO handled VALUES (?)", [message.id])
                if noted.rowcount:
                    key, published = (
                        data[channel.id_field],
                        message.published_at.isoformat(" ", "microseconds"),
                    )
                    database.execute(UPSERT, [channel.name, key, published, json.dumps(data)])
        except sqlite3.OperationalError as error:  # locked, or the disk is full: no fault of the message
            raise HandlerUnavailableError(f"SQLite: {error}") from error
        # Ids only: what is in a message is nobody's business in a log.
        log.info("%s: message %s %s", channel, message.id, "stored" if noted.rowcount else "came before")
        return True

    return store


@contextmanager
def connected() -> Iterator[RedisClient]:
    """The Redis that the environment names, else an embedded one for as long as this lasts."""
    settings = RedisSettings.load()
    if {"url", "host"} & settings.model_fields_set:
        with RedisClient(settings) as client:
            yield client
        return
    with tempfile.TemporaryDirectory() as folder, EmbeddedServer(Path(folder)) as server:
        log.info("No Redis is named; publish to this one with REDIS_URL=%s", server.url)
        with RedisClient(RedisSettings.load(url=server.url)) as client:
            yield client


def main() -> None:
    """Read the options, then work."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--channels", default="tutors,sessions", help="names or keys, separated by commas")
    parser.add_argument("--batch-size", type=int, default=20, help="messages read at once")
    parser.add_argument("--database", type=Path, default=Path("worker.db"), help="SQLite file")
    parser.add_argument("--log", type=Path, default=Path("worker.log"), help="log file")
    parser.add_argument("--once", action="store_true", help="work on what is there, then end")
    options = parser.parse_args()
    try:
        logs: list[logging.Handler] = [logging.FileHandler(options.log), logging.StreamHandler()]
        database = sqlite3.connect(options.database, timeout=1)
        database.executescript(SCHEMA)
    except (OSError, sqlite3.Error) as error:
        raise SystemExit(f"Error: --log {options.log}, --database {options.database}: {error}") from None
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s", handlers=logs)
    try:
        channels = [QueueChannels.find(name.strip()) for name in options.channels.split(",")]
        with connected() as client:
            worker = QueueWorker(channels, client=client, batch_size=options.batch_size)
            for channel in worker.channels:
                worker.register_handler(channel, storing(database, channel))
            (worker.run_once if options.once else worker.run)()
    except QueueError as error:
        raise SystemExit(f"Error: {error}") from None
    finally:
        database.close()
    total = worker.statistics().total
    log.info("%d processed, %d failed, %d dead letters", total.processed, total.failed, total.dead)


if __name__ == "__main__":
    main()
