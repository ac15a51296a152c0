"""Whether work is left, and working until none is."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Protocol

from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient
from queue_core.consumer import MessageConsumer
from queue_core.monitor import ChannelSnapshot, snapshot
from queue_core.testing.wording import listing

#: Between looks at what nobody here can hurry: an entry that somebody else holds.
_LOOK_SECONDS = 0.01
_SHOWN_ENTRIES = 10


class RunsOnce(Protocol):
    """What works off what is there now, as ``QueueWorker`` does."""

    def run_once(self) -> int:
        """Process what is ready, and return how many that were; 0 where nothing was."""
        ...


def assert_nothing_pending(client: RedisClient, *channels: Channel | str) -> None:
    """Assert that every message that was delivered is acknowledged, retried to its end or dead-lettered.

    Args:
        client: the connection.
        channels: the channels; all of them when none is given.

    Raises:
        AssertionError: some are pending; shows which, on whom, and how often they were delivered.
        QueueUnavailableError: Redis is away.
    """
    left = [seen for seen in _look(client, channels) if seen.pending]
    if left:
        raise AssertionError(f"Expected nothing pending, but:{listing(_told(client, left))}")


def assert_idle(client: RedisClient, *channels: Channel | str) -> None:
    """Assert that nothing waits, is pending or is to be tried again.

    Args:
        client: the connection.
        channels: the channels; all of them when none is given.

    Raises:
        AssertionError: something is left; shows what.
        QueueUnavailableError: Redis is away.
    """
    left = _busy(client, channels)
    if left:
        raise AssertionError(f"Expected idle queues, but:{listing(_told(client, left))}")


def run_until_idle(
    worker: RunsOnce,
    client: RedisClient,
    *channels: Channel | str,
    timeout_seconds: float = 10.0,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Let a worker run until its channels are idle, and wait for retries to come due meanwhile.

    Args:
        worker: what processes messages.
        client: the connection.
        channels: the channels that must become idle; all of them when none is given.
        timeout_seconds: when to give up. What ``run_once`` has in hand is not interrupted.
        clock: seconds.
        sleep: waits so many seconds.

    Returns:
        How many messages ``run_once`` says it processed, altogether.

    Raises:
        AssertionError: something was left after ``timeout_seconds``; shows what.
        QueueUnavailableError: Redis is away.
    """
    deadline, processed = clock() + timeout_seconds, 0
    while True:
        done = worker.run_once()
        processed += done
        left = [] if done else _busy(client, channels)
        if not done and not left:
            return processed
        remaining = deadline - clock()
        if remaining <= 0:
            left = left or _busy(client, channels)
            raise AssertionError(
                f"The queues are not idle after {timeout_seconds:g} s and {processed} processed:"
                f"{listing(_told(client, left) or ['run_once goes on processing'])}"
            )
        if not done:
            sleep(min(remaining, _until_something_is_due(left)))


def _until_something_is_due(left: list[ChannelSnapshot]) -> float:
    if any(seen.waiting or seen.pending > seen.scheduled for seen in left):
        return _LOOK_SECONDS
    due = (seen.next_retry_in_seconds for seen in left if seen.next_retry_in_seconds is not None)
    return max(_LOOK_SECONDS, min(due, default=0.0))


def _look(client: RedisClient, channels: tuple[Channel | str, ...]) -> list[ChannelSnapshot]:
    return [snapshot(client, channel) for channel in channels or QueueChannels.all()]


def _busy(client: RedisClient, channels: tuple[Channel | str, ...]) -> list[ChannelSnapshot]:
    return [seen for seen in _look(client, channels) if seen.waiting or seen.pending or seen.scheduled]


def _told(client: RedisClient, left: list[ChannelSnapshot]) -> list[str]:
    lines = []
    for seen in left:
        due = seen.next_retry_in_seconds
        soon = "" if due is None else f", the next in {max(0.0, due):.1f} s"
        lines.append(
            f"{seen.channel}: {seen.waiting} waiting, {seen.pending} pending, "
            f"of these {seen.scheduled} scheduled for a retry{soon}"
        )
        lines += _pending_entries(client, seen)
    return lines


def _pending_entries(client: RedisClient, seen: ChannelSnapshot) -> list[str]:
    # Nothing is pending where there is no group, so that this look makes none.
    if not seen.pending:
        return []
    return [
        f"  {one.entry_id} on {one.consumer}, delivered {one.deliveries} times, "
        f"the last {one.idle_ms / 1000:.1f} s ago"
        for one in MessageConsumer(client).get_pending_messages(seen.channel, _SHOWN_ENTRIES)
    ]
