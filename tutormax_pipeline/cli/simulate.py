"""``tutormax simulate``: a tutoring business that publishes as a real one does, good messages and bad."""

from __future__ import annotations

import math
import signal
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from typing import Any

import click
import orjson

from queue_core import QueueChannels, RedisClient
from queue_core.simulation import Plan, Tally, Upstream, business, play, with_faults
from tutormax_pipeline.settings import PipelineSettings, redis_settings


class _Finite(click.FloatRange):
    """A range that NaN and infinities are not in."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        number = float(super().convert(value, param, ctx))
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number.", param, ctx)
        return number


_RATE = _Finite(0, 10_000_000)


@click.command()
@click.option("--days", type=_Finite(0, 3_650, min_open=True), default=7, show_default=True)
@click.option("--tutors", type=_RATE, default=100, show_default=True, help="Messages a day.")
@click.option("--sessions", type=_RATE, default=2_500, show_default=True, help="Messages a day.")
@click.option("--feedback", type=_RATE, default=400, show_default=True, help="Messages a day.")
@click.option(
    "--speed",
    type=_Finite(0),
    default=1,
    show_default=True,
    help="1 is as it happens, 60 an hour a minute, 0 as fast as possible.",
)
@click.option("--bad-share", type=_Finite(0, 0.99), default=0, show_default=True, help="Bad ones, of all.")
@click.option(
    "--duplicate-share",
    type=_Finite(0, 1),
    default=0,
    show_default=True,
    help="Sent twice, of good.",
)
@click.option("--seed", default=1, show_default=True, help="Another business for each number.")
@click.option("--start", type=click.DateTime(), help="When it begins, UTC; now when not given.")
@click.option("--limit", type=click.IntRange(1), help="End after so many messages.")
@click.option("--dry-run", is_flag=True, help="Print the messages as JSON lines, and publish nothing.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object at the end.")
def simulate(  # noqa: PLR0917 - click passes them by name
    days: float,
    tutors: float,
    sessions: float,
    feedback: float,
    speed: float,
    bad_share: float,
    duplicate_share: float,
    seed: int,
    start: datetime | None,
    limit: int | None,
    dry_run: bool,
    as_json: bool,
) -> None:
    """Publish what a tutoring business does in a week: busy evenings, quiet nights.

    The same seed and start give the same messages. Ctrl-C ends it. A full queue is waited for.
    """
    begins = start.replace(tzinfo=UTC) if start else datetime.now(UTC).replace(microsecond=0)
    try:
        events = business(Plan(days, tutors, sessions, feedback, seed), begins)
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    mixed = with_faults(events, bad_share=bad_share, duplicate_share=duplicate_share, seed=seed)
    messages = islice(mixed, limit)
    if dry_run:
        _print(messages)
        return
    tally, say = Tally(), _quiet if as_json else _say
    ending = "Broken off"
    try:
        with RedisClient(redis_settings(PipelineSettings.load())) as client, _stopped_by_signals() as stop:
            client.health_check()
            play(client, messages, tally, speed=speed, start=begins, wait=stop.wait, say=say)
        ending = "Stopped" if tally.stopped else "Done"
    finally:
        # Also where Redis went away: whoever begins again should know what is there.
        click.echo(orjson.dumps(tally.as_dict()).decode() if as_json else f"{ending}: {_summary(tally)}")


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """While inside, SIGINT and SIGTERM end a wait at once, and never a message in the middle."""
    stop = threading.Event()
    usual = {one: signal.signal(one, lambda *_: stop.set()) for one in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for one, handler in usual.items():
            signal.signal(one, handler)


def _print(messages: Iterable[Upstream]) -> None:
    for message in messages:
        event = message.event
        line = {
            "at": event.at.isoformat(),
            "channel": event.channel.name,
            "message_id": event.message_id,
            "fault": message.fault,
            "data": event.data,
        }
        click.echo(orjson.dumps(line).decode())


def _say(words: str) -> None:
    click.echo(words, err=True)


def _quiet(_: str) -> None:
    pass


def _summary(tally: Tally) -> str:
    counts = ", ".join(f"{tally.published[one.name]:,} {one}" for one in QueueChannels.all())
    faults = ", ".join(f"{number:,} {fault}" for fault, number in sorted(tally.faults.items()))
    waited = f" {tally.full_seconds:.0f} s were spent waiting for a full queue." if tally.full_seconds else ""
    return f"published {counts}; of these {faults or 'none with a fault'}.{waited}"
