"""A realistic producer: a week of tutoring, with busy evenings, quiet nights, and bad messages if you like.

    python examples/upstream_generator.py                             # as it happens, for a week
    python examples/upstream_generator.py --speed 3600                # an hour a second
    python examples/upstream_generator.py --speed 0 --bad-share 0.05  # everything at once, 5 % of it bad

Needs the queue only: REDIS_HOST and REDIS_PORT, or REDIS_URL, say where. Ctrl-C ends it; what it published
is told at the end. The same --seed and --start give the same messages, ids included.
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from datetime import UTC, datetime

from queue_core import QueueError, get_redis_client
from queue_core.simulation import Plan, Tally, business, play, with_faults


def instant(text: str) -> datetime:
    """A point in time, in UTC."""
    given = datetime.fromisoformat(text)
    if given.tzinfo is None:
        return given.replace(tzinfo=UTC)
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise ValueError("out of range") from None


def read_arguments() -> argparse.Namespace:
    """How much, how fast, and how bad."""
    parser = argparse.ArgumentParser(description="Publish a simulated week of tutoring.")
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--tutors", type=float, default=100, help="messages a day")
    parser.add_argument("--sessions", type=float, default=2_500, help="messages a day")
    parser.add_argument("--feedback", type=float, default=400, help="messages a day")
    parser.add_argument("--speed", type=float, default=1, help="1 is real time, 0 as fast as possible")
    parser.add_argument("--bad-share", type=float, default=0, help="bad messages, of all")
    parser.add_argument(
        "--duplicate-share", type=float, default=0, help="messages sent twice, of the good ones"
    )
    parser.add_argument("--seed", type=int, default=1, help="another business for each number")
    parser.add_argument("--start", type=instant, help="ISO 8601, UTC without an offset; now when not given")
    return parser.parse_args()


def main() -> int:
    """Publish; the exit code is 1 where Redis or an argument cannot be used."""
    given = read_arguments()
    start = given.start or datetime.now(UTC)

    # Ctrl-C ends a wait at once, and never a message in the middle.
    stop = threading.Event()
    for one in (signal.SIGINT, signal.SIGTERM):
        signal.signal(one, lambda *_: stop.set())

    tally, ending = Tally(), "Broken off."
    try:
        plan = Plan(given.days, given.tutors, given.sessions, given.feedback, given.seed)
        messages = with_faults(
            business(plan, start),
            bad_share=given.bad_share,
            duplicate_share=given.duplicate_share,
            seed=given.seed,
        )
        with get_redis_client() as client:
            print(f"Publishing to {client.address}", file=sys.stderr)
            play(
                client,
                messages,
                tally,
                speed=given.speed,
                start=start,
                wait=stop.wait,
                say=lambda words: print(words, file=sys.stderr),
            )
        ending = "Stopped." if tally.stopped else "Ended."
    except (QueueError, ValueError) as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    finally:
        print(ending, "Published:", dict(tally.published), end=" ")
        print("of these:", dict(tally.faults))
    return 0


if __name__ == "__main__":
    sys.exit(main())
