"""Watch the queues from a program of your own: plain text, on queue_core alone.

    python examples/monitor_queues.py               # live, until Ctrl-C
    python examples/monitor_queues.py --snapshot    # once

Finds Redis by REDIS_URL, or REDIS_HOST and REDIS_PORT; localhost:6379 where neither is set.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading

from queue_core import QueueError, get_redis_client
from queue_core.look import Away, Look, look
from queue_core.looks import Looks

COLUMNS = "{:<10} {:>9} {:>9} {:>7} {:>7} {:>10} {:>9} {:>9}"


def main() -> int:
    """Show the queues; 1 where Redis cannot be asked and nobody waits for it."""
    options = _options()
    stop = threading.Event()
    # Nothing is written, so the wait between two looks is a good place to end.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    try:
        client = get_redis_client()
    except QueueError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    with client:
        looks = Looks()
        while not stop.is_set():
            found = look(client)
            if isinstance(found, Away) and (options.snapshot or found.denied):
                print(f"Error: {found.error}", file=sys.stderr)
                return 1
            looks.take(found)
            # The second look is the first that knows how fast messages come and go.
            if not options.snapshot or looks.history("tutors"):
                print("\n".join(_lines(looks)), flush=True)
            if options.snapshot and looks.history("tutors"):
                return 0
            stop.wait(options.interval)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Watch the queues.")
    parser.add_argument("--snapshot", action="store_true", help="show them once and end")
    parser.add_argument("--interval", type=_seconds, default=2.0, help="seconds between two looks (2)")
    return parser.parse_args()


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0.1 <= seconds <= 3_600:
        raise argparse.ArgumentTypeError("must be from 0.1 to 3600 seconds")
    return seconds


def _lines(looks: Looks) -> list[str]:
    lines = [""]
    if looks.away is not None and looks.away_since is not None:
        lines += [f"Redis is away since {looks.away_since:%H:%M:%S} UTC; trying again.", looks.away.error]
    if looks.last is not None and looks.away is None:
        lines += _figures(looks, looks.last)
    return lines


def _figures(looks: Looks, seen: Look) -> list[str]:
    memory, ping = seen.health.used_memory_bytes / 1_048_576, seen.health.latency_ms
    lines = [
        f"Queues on {seen.address}, {seen.taken_at:%H:%M:%S} UTC: {memory:.1f} MiB, ping {ping:.1f} ms",
        COLUMNS.format("channel", "waiting", "pending", "retry", "dead", "oldest", "in/s", "out/s"),
    ]
    for channel in seen.channels:
        one, rates = channel.figures, looks.rates(channel.figures.channel)
        oldest = one.oldest_unprocessed_age_seconds
        lines.append(
            COLUMNS.format(
                one.channel,
                f"{one.waiting}{'' if one.waiting_is_exact else '+'}",
                one.pending,
                one.scheduled,
                one.dead,
                "-" if oldest is None else f"{oldest:.0f} s",
                *("-" if rate is None else f"{rate:.1f}" for rate in (rates.published, rates.processed)),
            )
        )
        lines += [
            f"  {consumer.name} holds {consumer.pending}, idle for {consumer.idle_seconds:.0f} s"
            for consumer in channel.consumers
            if consumer.pending
        ]
    return lines + [
        f"  dead: {one.count} of {one.channel}, {one.reason}, the newest {one.newest_id}"
        for one in seen.letters.by_reason
    ]


if __name__ == "__main__":
    sys.exit(main())
