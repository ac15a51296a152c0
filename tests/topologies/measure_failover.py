"""How much a failover costs: messages published and gone, seconds without a primary, messages a second.

    python -m tests.topologies.measure_failover

One program publishes one message after the other; the primary is killed, or asked to hand over, under it.
"""

from __future__ import annotations

import tempfile
import threading
import time
from pathlib import Path

from queue_core import MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import find_server_binary
from queue_core.errors import QueueUnavailableError
from queue_core.serializer import deserialize
from tests.conftest import wait_until
from tests.topologies.processes import SECONDS
from tests.topologies.sentinels import SentinelGroup, is_primary, sentinel_group

CHANNEL = QueueChannels.TUTORS
_WARM_SECONDS = 3.0
_AFTER_SECONDS = 15.0


class _Publisher:
    """Publishes without a pause; knows what it was told is published."""

    def __init__(self, settings: RedisSettings) -> None:
        self._settings = settings
        self.confirmed: list[str] = []
        self.longest_gap_seconds = 0.0
        self.stop = threading.Event()

    def run(self) -> None:
        with RedisClient(self._settings) as client:
            publisher, last = MessagePublisher(client), time.monotonic()
            while not self.stop.is_set():
                try:
                    self.confirmed.append(publisher.publish(CHANNEL, {"tutor_id": "T1", "name": "x"}))
                except QueueUnavailableError:
                    time.sleep(0.02)
                    continue
                now = time.monotonic()
                self.longest_gap_seconds, last = max(self.longest_gap_seconds, now - last), now


def _there(settings: RedisSettings) -> set[str]:
    """Ids of the messages that the primary of now has."""
    with RedisClient(settings) as client:
        stream = client.keys.stream(CHANNEL)
        entries = client.redis.xrange(stream)
        return {deserialize(fields[b"message"]).message_id or "" for _, fields in entries}


def _measure(group: SentinelGroup, settings: RedisSettings, *, planned: bool) -> str:
    publisher, old = _Publisher(settings), group.primary
    thread = threading.Thread(target=publisher.run)
    thread.start()
    time.sleep(_WARM_SECONDS)
    rate = len(publisher.confirmed) / _WARM_SECONDS
    if planned:
        group.sentinels[0].ask("SENTINEL", "FAILOVER", "mymaster")
    else:
        old.kill()
    wait_until(lambda: any(is_primary(one) for one in group.servers if one is not old), SECONDS)
    time.sleep(_AFTER_SECONDS if planned else _WARM_SECONDS)
    publisher.stop.set()
    thread.join()
    lost = len(set(publisher.confirmed) - _there(settings))
    return (
        f"lost {lost:,} of {len(publisher.confirmed):,} confirmed; {rate:,.0f} a second before; "
        f"longest without {publisher.longest_gap_seconds:.1f} s"
    )


def main() -> None:
    """Measure a kill and a planned failover: with nothing done against loss, and with each remedy."""
    for planned in (False, True):
        for replicas, at_the_server in ((0, []), (0, ["min-replicas-to-write 1"]), (1, [])):
            with (
                tempfile.TemporaryDirectory() as folder,
                sentinel_group(find_server_binary(), Path(folder) / "group", at_the_server) as group,
            ):
                settings = group.settings(
                    wait_replicas=replicas, socket_timeout=1, retry_on_timeout=False, queue_maxlen=1_000_000
                )
                found = _measure(group, settings, planned=planned)
            how = ["planned" if planned else "killed", f"REDIS_WAIT_REPLICAS={replicas}", *at_the_server]
            print(f"{', '.join(how)}: {found}", flush=True)


if __name__ == "__main__":
    main()
