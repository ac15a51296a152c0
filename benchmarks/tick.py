"""What a sensor tick asks of the queue, with little and with much waiting."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator

from benchmarks.figures import Figure
from benchmarks.messages import CHANNEL
from benchmarks.place import Place, wait_until_quiet
from queue_core import MessageConsumer, RedisClient
from queue_core.monitor import snapshot

_FEW = 10
_LOOKS = 500
_CHUNK = 10_000
_FILL = "for i = 1, ARGV[1] do redis.call('XADD', KEYS[1], '*', 'message', '{}') end"


def tick(place: Place, *, many: int) -> Iterator[Figure]:
    """Take snapshots of a channel with 10 waiting and of one with ``many``, in turn."""
    durations: dict[int, list[float]] = {_FEW: [], many: []}
    with place.client("few") as few, place.client("many") as full:
        _fill(few, _FEW)
        _fill(full, many)
        wait_until_quiet(full)
        for _ in range(_LOOKS):
            for client, waiting in ((few, _FEW), (full, many)):
                started = time.perf_counter()
                seen = snapshot(client, CHANNEL)
                durations[waiting].append((time.perf_counter() - started) * 1000)
                assert seen.waiting == waiting
        full.redis.flushdb()
    medians = {waiting: statistics.median(found) for waiting, found in durations.items()}
    for waiting, median in medians.items():
        yield Figure(f"snapshot with {waiting:,} waiting", median, "ms")
    yield Figure(f"snapshot, {many:,} to {_FEW} waiting", medians[many] / medians[_FEW], most=1.25)


def _fill(client: RedisClient, messages: int) -> None:
    MessageConsumer(client).create_consumer_group(CHANNEL)
    for begin in range(0, messages, _CHUNK):
        client.redis.eval(_FILL, 1, client.keys.stream(CHANNEL), min(_CHUNK, messages - begin))
