"""How fast a full queue drains, in how much memory, and how that compares with a loop by hand."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator

from benchmarks.figures import Figure
from benchmarks.fresh_process import Drained, Job
from benchmarks.messages import publish, rewind
from benchmarks.place import Place, wait_until_quiet
from queue_core import RedisClient

OWN, BY_HAND = "benchmarks.own_drain", "benchmarks.by_hand"

_MEBIBYTE = 2**20


def throughput(
    place: Place, *, messages: int, small: int, rounds: int, say: Callable[[str], None]
) -> Iterator[Figure]:
    """Drain ``messages`` in turn with the drain and by hand, and ``small`` for comparing memory.

    The same waiting messages are drained each time, into a fresh store by a fresh process. Which of
    the two goes first changes every round.
    """
    own: list[Drained] = []
    hand: list[Drained] = []
    with place.client("full") as full, place.client("small") as few:
        say(f"publishing {messages + small:,} messages")
        publish(full, messages)
        publish(few, small)
        little = _drain(place, few, OWN)
        for number in range(rounds):
            say(f"draining {messages:,} messages, round {number + 1} of {rounds}")
            turns = [(OWN, own), (BY_HAND, hand)]
            for module, results in turns if number % 2 == 0 else reversed(turns):
                results.append(_drain(place, full, module))
        for client in (full, few):
            client.redis.flushdb()

    yield from _speed(own, f"drain of {messages:,}", messages, least=20_000)
    yield from _speed(hand, f"by hand, {messages:,}", messages)
    pairs = list(zip(own, hand, strict=True))
    yield _median("drain to by hand", (loop.seconds / drain.seconds for drain, loop in pairs), least=0.8)
    # The one of the two that hardly depends on what else the machine does.
    yield _median(
        "drain to by hand: processor", (loop.cpu_seconds / drain.cpu_seconds for drain, loop in pairs)
    )
    peak = _median(
        f"peak memory, drain of {messages:,}", (one.peak_rss_bytes / _MEBIBYTE for one in own), "MiB"
    )
    little_peak = little.peak_rss_bytes / _MEBIBYTE
    yield peak
    yield Figure(f"peak memory, drain of {small:,}", little_peak, "MiB")
    yield Figure(f"memory, {messages:,} to {small:,}", peak.value / little_peak, least=0.9, most=1.1)
    expected = rounds * 2 * messages + small
    stored = sum(one.rows for one in (*own, *hand, little))
    yield Figure("messages drained and not stored", expected - stored, least=0, most=0)


def _drain(place: Place, client: RedisClient, module: str) -> Drained:
    rewind(client)
    wait_until_quiet(client)
    drained = Job(place.url, client.settings.key_prefix, str(place.store("drain"))).run(module)
    place.remove_store("drain")
    return drained


def _speed(
    results: list[Drained], name: str, messages: int, *, least: float | None = None
) -> Iterator[Figure]:
    yield _median(name, (messages / one.seconds for one in results), "messages/s", least=least)
    yield _median(f"{name}: processor", (one.cpu_seconds / messages * 1e6 for one in results), "us/message")


def _median(name: str, values: Iterable[float], unit: str = "", *, least: float | None = None) -> Figure:
    rounds = tuple(values)
    return Figure(name, statistics.median(rounds), unit, least=least, rounds=rounds)
