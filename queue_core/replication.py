"""Waiting until replicas have what was written (``REDIS_WAIT_REPLICAS``), so that a failover cannot lose it.

Replication is asynchronous: a primary that dies takes along what its replicas do not have yet.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from queue_core.client import RedisClient
from queue_core.errors import NotReplicatedError
from queue_core.failpoints import around


def run_and_wait(
    client: RedisClient, script: str, keys: Sequence[str], args: Sequence[str | bytes | int]
) -> Any:
    """Run a script, and wait until ``REDIS_WAIT_REPLICAS`` replicas have what it wrote.

    Waits for half of ``REDIS_SOCKET_TIMEOUT`` at the longest, in the same round trip.

    Raises:
        NotReplicatedError: too few of them confirmed it in time; it is written nevertheless.
        redis.RedisError: as any command does.
    """
    wanted = client.settings.wait_replicas
    wait_ms = int(client.settings.socket_timeout * 500)
    pipeline = client.pipeline()
    # On one connection, for WAIT is about what that one wrote. EVALSHA would take another round trip.
    pipeline.eval(str(client.script(script).script), len(keys), *keys, *args)
    pipeline.wait(wanted, wait_ms)
    with around(script):
        answer, confirmed = pipeline.execute()
    if confirmed < wanted:
        raise NotReplicatedError(
            f"Published, but only {confirmed} of {wanted} replicas confirmed it within {wait_ms} ms: a "
            "failover now could lose it. Check the replicas, or lower REDIS_WAIT_REPLICAS; publish again "
            "under the same message id, which takes effect once."
        )
    return answer
