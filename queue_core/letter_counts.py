"""The counts of the dead letters, which make them cheap to show: whether they are right, and anew.

They go wrong where somebody trims or deletes letters by hand.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from queue_core.client import RedisClient
from queue_core.errors import QueueError

#: Letters counted in one step; a step reads their bodies, of up to a megabyte each, on the server.
_STEP_LETTERS = 200
_TRIES = 10


@dataclass(frozen=True, slots=True)
class LetterCounts:
    """How many dead letters there are, and how many are counted, over all channels."""

    letters: int
    counted: int


def letter_counts(client: RedisClient) -> LetterCounts:
    """Compare the dead letter stream with its counts, at one instant.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    with client.errors():
        pipeline = client.redis.pipeline(transaction=True)
        pipeline.xlen(client.keys.dead_letter)
        pipeline.hvals(client.keys.dead_letter_counts)
        letters, counts = pipeline.execute()
    return LetterCounts(letters, sum(int(count) for count in counts))


@dataclass(frozen=True, slots=True)
class LetterTraffic:
    """What the dead letter stream says of itself: equal at two instants, no letter came or went between.

    Attributes:
        letters: there now.
        ever: ever written.
    """

    letters: int
    ever: int


def letter_traffic(client: RedisClient) -> LetterTraffic:
    """Look at the dead letter stream; costs the same at any number of letters.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    with client.errors():
        return LetterTraffic(*client.run("letter_traffic", [client.keys.dead_letter], []))


def recount_letters(client: RedisClient) -> Counter[str]:
    """Count the dead letters anew.

    Returns:
        Letters by the name of their channel.

    Raises:
        QueueError: letters came or went all the time, so that none of the counts held.
        QueueUnavailableError: Redis is away.
    """
    keys = [client.keys.dead_letter, client.keys.dead_letter_counts]
    for _ in range(_TRIES):
        with client.errors():
            before, counts = letter_traffic(client), _count(client)
            pairs = [part for pair in counts.items() for part in pair]
            if client.run("set_letter_counts", keys, [before.letters, before.ever, *pairs]):
                return counts
    raise QueueError("Dead letters came or went while they were counted. Count them again later.")


def _count(client: RedisClient) -> Counter[str]:
    counts: Counter[str] = Counter()
    start = "-"
    while start:
        last, *pairs = client.run("count_letters", [client.keys.dead_letter], [start, _STEP_LETTERS])
        for name, count in zip(pairs[::2], pairs[1::2], strict=True):
            counts[name.decode(errors="replace")] += count
        start = f"({last.decode()}" if last else ""
    return counts
