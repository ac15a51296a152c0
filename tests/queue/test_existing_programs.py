"""Programs written for this library before run as they are, on each kind of server."""

from __future__ import annotations

import os
import subprocess
import sys

from queue_core import QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot

PROGRAM = """
from queue_core import get_redis_client, MessagePublisher, MessageConsumer, QueueChannels
client = get_redis_client()
publisher = MessagePublisher(client)
msg_id = publisher.publish_tutor_data({"tutor_id": "T001", "name": "John Smith", "subject": "Mathematics", "rating": 4.8, "sessions_count": 150})
msg_ids = publisher.publish_batch(QueueChannels.TUTORS, [{"tutor_id": f"T{i:03d}", "name": "x"} for i in range(10)])
length = publisher.get_stream_length(QueueChannels.TUTORS)
consumer = MessageConsumer(get_redis_client())
consumer.create_consumer_group(QueueChannels.TUTORS)
for msg in consumer.consume(QueueChannels.TUTORS, count=10, block_ms=5000):
    print(msg["data"]); consumer.acknowledge(QueueChannels.TUTORS, msg["_redis_id"])
pending = consumer.get_pending_messages("tutormax:tutors")
claimed = consumer.claim_pending_messages("tutormax:tutors", min_idle_time_ms=60000)
"""  # noqa: E501 - as it was written

FIGURES = "print(type(msg_id).__name__, len(msg_ids), len(set(msg_ids)), length, pending, claimed)"


def test_existing_programs_run_as_they_are_written(any_server: EmbeddedServer) -> None:
    settings = RedisSettings.load(host="127.0.0.1", port=any_server.port, db=7)
    environment = {**os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(settings.port), "REDIS_DB": "7"}
    with RedisClient(settings) as client:
        client.redis.flushdb()
        result = subprocess.run(
            [sys.executable, "-c", f"{PROGRAM}{FIGURES}"],
            env=environment,
            check=False,
            capture_output=True,
            text=True,
        )
        seen = snapshot(client, QueueChannels.TUTORS)
        client.redis.flushdb()
    assert (result.returncode, result.stderr) == (0, "")
    *printed, figures = result.stdout.splitlines()
    john = {
        "tutor_id": "T001",
        "name": "John Smith",
        "subject": "Mathematics",
        "rating": 4.8,
        "sessions_count": 150,
    }
    assert printed == [str(john), *(str({"tutor_id": f"T{i:03d}", "name": "x"}) for i in range(9))]
    assert figures == "str 10 10 11 [] []"
    assert (seen.length, seen.waiting, seen.pending) == (11, 1, 0)
