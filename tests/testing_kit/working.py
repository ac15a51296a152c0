"""A worker of one channel, for ``run_until_idle``."""

from __future__ import annotations

from collections.abc import Callable

from queue_core import Channel, QueueWorker, RedisClient


def worker_of(client: RedisClient, channel: Channel, handler: Callable[..., bool]) -> QueueWorker:
    worker = QueueWorker(channel, client=client)
    worker.register_handler(channel, handler)
    return worker
