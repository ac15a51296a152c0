"""From publishing to stored, while a drain lingers."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from itertools import islice

from benchmarks.figures import Figure
from benchmarks.fresh_process import Drained, Job
from benchmarks.messages import CHANNEL, publish, sessions
from benchmarks.place import Place, wait_until_quiet
from benchmarks.throughput import OWN
from queue_core import MessagePublisher, RedisClient
from queue_core.monitor import snapshot

_PREFIX = "latency"
_START_SECONDS = 60
_LINGER_SECONDS = 15


def latency(place: Place, *, seconds: float, per_second: int = 100) -> Iterator[Figure]:
    """Publish at a steady rate to a lingering drain.

    Measured from the publisher's clock, read just before the message is sent, to the moment at which
    the commit that stored it has returned: the same clock, as both are on this machine.
    """
    messages = int(seconds * per_second)
    with place.client(_PREFIX) as client:
        wait_until_quiet(client)
        # One for the drain to begin with: what is measured is a drain that lingers, not one that starts.
        publish(client, 1)
        job = Job(place.url, _PREFIX, str(place.store("latency")), messages + 1, _LINGER_SECONDS)
        process = job.start(OWN)
        try:
            _wait_until_lingering(client)
            _publish_steadily(client, messages, per_second)
        except BaseException:
            process.kill()
            raise
        drained = Drained.of(process)
        client.redis.flushdb()
    place.remove_store("latency")

    measured = drained.latency_ms[1:]
    percentiles = statistics.quantiles(measured, n=100)
    name = f"publish to stored at {per_second}/s"
    yield Figure(f"{name}, p50", percentiles[49], "ms", most=10)
    yield Figure(f"{name}, p95", percentiles[94], "ms")
    yield Figure(f"{name}, p99", percentiles[98], "ms", most=50)
    yield Figure(f"{name}, longest", max(measured), "ms")
    yield Figure("messages published and not stored", messages - len(measured), least=0, most=0)
    for percent in ("50", "99"):
        yield Figure(f"as the drain reports it, p{percent}", drained.reported_ms[percent], "ms")


def _wait_until_lingering(client: RedisClient) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        # Acknowledging comes with the read that waits for more.
        seen = snapshot(client, CHANNEL)
        if seen.group_exists and seen.waiting == seen.pending == 0:
            return
        time.sleep(0.01)
    raise TimeoutError(f"the drain did not take its first message within {_START_SECONDS} seconds")


def _publish_steadily(client: RedisClient, messages: int, per_second: int) -> None:
    # By a schedule and not by pauses, so that a slow call does not thin out what follows.
    publisher, started = MessagePublisher(client), time.perf_counter()
    for number, record in enumerate(islice(sessions(), 1, messages + 1)):
        time.sleep(max(0.0, started + number / per_second - time.perf_counter()))
        publisher.publish(CHANNEL, record)
