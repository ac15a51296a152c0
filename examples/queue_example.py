"""The queue from end to end, told step by step; needs nothing but queue_core.

    python examples/queue_example.py

It uses the Redis that REDIS_URL or REDIS_HOST names, and cleans up after itself; where neither is set, an
embedded server in a temporary folder.
"""

from __future__ import annotations

import tempfile
import uuid
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from queue_core import (
    MessageConsumer,
    MessagePublisher,
    QueueChannels,
    QueueError,
    QueueWorker,
    ReceivedMessage,
    RedisClient,
    RedisSettings,
)
from queue_core.dead_letter import DeadLetters
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot

TUTORS, SESSIONS = QueueChannels.TUTORS, QueueChannels.SESSIONS


@contextmanager
def connected() -> Iterator[RedisClient]:
    """The Redis that the environment names, else an embedded one for as long as this lasts."""
    prefix = f"queue-example-{uuid.uuid4().hex[:8]}"
    settings = RedisSettings.load(key_prefix=prefix)
    with ExitStack() as stack:
        if not {"url", "host"} & settings.model_fields_set:
            folder = stack.enter_context(tempfile.TemporaryDirectory())
            server = stack.enter_context(EmbeddedServer(Path(folder)))
            settings = RedisSettings.load(key_prefix=prefix, url=server.url)
        client = stack.enter_context(RedisClient(settings))
        client.health_check()
        yield client
        client.redis.delete(*client.redis.scan_iter(f"{prefix}:*"))


def publish(client: RedisClient) -> None:
    """One message, then many."""
    publisher = MessagePublisher(client)
    message_id = publisher.publish(
        TUTORS, {"tutor_id": "T001", "name": "Ann"}, metadata={"source": "example"}
    )
    print(f"1. Published one tutor: message {message_id}")
    sessions = [{"session_id": f"S{n}", "tutor_id": "T001"} for n in range(10)]
    report = publisher.publish_batch(SESSIONS, sessions)
    print(f"2. Published a batch: {report.published} sessions")


def consume_by_hand(client: RedisClient) -> None:
    """Read, process, acknowledge: what is not acknowledged stays pending, and another takes it over."""
    consumer = MessageConsumer(client)
    for message in consumer.consume(TUTORS, count=10):
        held = consumer.get_pending_messages(TUTORS)[0]
        print(f"3. Read {message['data']}; until it is acknowledged it is pending on {held.consumer}")
        consumer.acknowledge(TUTORS, message["_redis_id"])
    consumer.leave(TUTORS)
    print(f"   Acknowledged: {len(consumer.get_pending_messages(TUTORS))} pending")


def work_with_handlers(client: RedisClient) -> None:
    """A worker does all of that by itself: retries, dead letters, and a graceful end included."""
    worker = QueueWorker([TUTORS, SESSIONS], client=client)

    @worker.register_handler(SESSIONS)
    def handle_session(data: dict[str, object], message: ReceivedMessage) -> bool:
        if data["session_id"] == "S3" and not message.failures:
            return False  # not now: it is tried again after REDIS_RETRY_BACKOFF_MS
        if data["session_id"] == "S7":
            raise ValueError("never")  # again and again: a dead letter after REDIS_MAX_RETRIES
        return True

    worker.register_batch_handler(TUTORS, lambda tutors: len(tutors) > 0)
    # run() goes on until SIGINT or SIGTERM; run_once() ends when nothing waits or is due.
    while snapshot(client, SESSIONS).waiting or snapshot(client, SESSIONS).pending:
        worker.run_once()
    total = worker.statistics().total
    print(f"4. A worker: {total.processed} processed, {total.retried} tried again, {total.dead} dead letter")
    for letter in DeadLetters(client).iterate():
        print(
            f"   {letter.channel}: {letter.reason} after {len(letter.attempts)} attempts; {letter.errors[0]}"
        )


def check_health(client: RedisClient) -> None:
    """What the server says of itself, and what waits."""
    health = client.health_check()
    print(f"5. {health.server} answers in {health.latency_ms:.1f} ms, and evicts: {health.eviction_policy}")
    for channel in (TUTORS, SESSIONS):
        seen = snapshot(client, channel)
        print(f"   {channel}: {seen.waiting} waiting, {seen.pending} pending, {seen.dead} dead")


def main() -> None:
    """Tell the story."""
    try:
        with connected() as client:
            for chapter in (publish, consume_by_hand, work_with_handlers, check_health):
                chapter(client)
    except QueueError as error:
        raise SystemExit(f"Error: {error}") from None


if __name__ == "__main__":
    main()
