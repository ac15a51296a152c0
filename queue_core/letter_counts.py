"""The counts of the dead letters, which make them cheap to show: whether they are right, and anew.

They go wrong where somebody trims or deletes letters by hand.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import redis

from queue_core.answers import answer_of
from queue_core.channels import QueueChannels
from queue_core.client import RedisClient
from queue_core.errors import QueueError

#: Letters counted in one step; a step reads their bodies, of up to a megabyte each, on the server.
_STEP_LETTERS = 200
_TRIES = 10

#: End of the fields that say how many letters of a channel were ever moved on.
_MOVED = ":moved"


@dataclass(frozen=True, slots=True)
class LetterCounts:
    """How many dead letters there are, and how many are counted, over all channels."""

    letters: int
    counted: int


@dataclass(frozen=True, slots=True)
class _State:
    """The dead letter stream and its counts at one instant."""

    letters: int
    added: int
    counts: Counter[str]


def counted_as(channel: str) -> str:
    """The name under which a letter is counted; empty for all that come from no channel of ours."""
    return channel if any(channel == one.name for one in QueueChannels.all()) else ""


def letter_counts(client: RedisClient) -> LetterCounts:
    """Compare the dead letter stream with its counts, at one instant.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    state = _state(client)
    return LetterCounts(state.letters, state.counts.total())


def miscounted_letters(client: RedisClient) -> Counter[str]:
    """How many letters too many are counted, by the name of their channel; below 0: too few.

    Empty where letters came and went all the time, so that it could not be found out.

    Raises:
        QueueUnavailableError: Redis is away.
    """
    for _ in range(_TRIES):
        before, counts = _state(client), _count(client)
        if _state(client) == before:
            before.counts.subtract(counts)
            return before.counts
    return Counter()


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
        before, counts = _state(client), _count(client)
        pairs = [part for pair in counts.items() for part in pair]
        with client.errors():
            if client.run("set_letter_counts", keys, [before.letters, before.added, *pairs]):
                return counts
    raise QueueError("Dead letters came or went while they were counted. Count them again later.")


def _state(client: RedisClient) -> _State:
    with client.errors():
        pipeline = client.redis.pipeline(transaction=True)
        pipeline.xlen(client.keys.dead_letter)
        pipeline.xinfo_stream(client.keys.dead_letter)
        pipeline.hgetall(client.keys.dead_letter_counts)
        letters, info, counts = pipeline.execute(raise_on_error=False)
        if isinstance(info, redis.ResponseError) and "no such key" in answer_of(info):
            info = {"entries-added": 0}
        for answer in (letters, info, counts):
            if isinstance(answer, Exception):
                raise answer
    return _State(letters, info["entries-added"], _only_counts(counts))


def _only_counts(fields: Mapping[bytes, bytes]) -> Counter[str]:
    named: dict[str, Any] = {name.decode(errors="replace"): number for name, number in fields.items()}
    return Counter({name: int(number) for name, number in named.items() if not name.endswith(_MOVED)})


def _count(client: RedisClient) -> Counter[str]:
    counts: Counter[str] = Counter()
    start = "-"
    while start:
        with client.errors():
            last, *pairs = client.run("count_letters", [client.keys.dead_letter], [start, _STEP_LETTERS])
        for name, count in zip(pairs[::2], pairs[1::2], strict=True):
            counts[counted_as(name.decode(errors="replace"))] += count
        start = f"({last.decode()}" if last else ""
    return counts
