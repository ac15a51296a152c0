"""Messages to measure with: the sample's sessions, over and over, each under an id of its own."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import orjson

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import CONSUMER_GROUP
from tutormax_pipeline.sample import sample_lines

CHANNEL = QueueChannels.SESSIONS

#: A report holds a line for each message: published in slices, none grows with the number of messages.
_SLICE = 5_000


def sessions() -> Iterator[dict[str, Any]]:
    """Records without end. No two have the same id, so that each makes a row and the table grows."""
    sample = [orjson.loads(line) for line in sample_lines(CHANNEL)]
    term = 0
    while True:
        for session in sample:
            yield {**session, "session_id": f"{session['session_id']}-{term}"}
        term += 1


def publish(client: RedisClient, messages: int) -> None:
    """Publish this many messages in batches."""
    publisher, records = MessagePublisher(client), sessions()
    for begin in range(0, messages, _SLICE):
        publisher.publish_batch(CHANNEL, islice(records, min(_SLICE, messages - begin)))


def rewind(client: RedisClient) -> None:
    """Make every message of the stream wait again, as if none had been read."""
    client.redis.xgroup_destroy(client.keys.stream(CHANNEL), CONSUMER_GROUP)
