"""The command: once or live, for people or for programs."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

import click
from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from queue_core import RedisClient
from queue_core.errors import AccessDeniedError, QueueUnavailableError
from queue_core.look import Away, Look, look
from queue_core.looks import Looks
from queue_core.stopping import stop_on_signals
from tutormax_pipeline.cli.monitor.as_json import as_json
from tutormax_pipeline.cli.monitor.screen import screen
from tutormax_pipeline.settings import PipelineSettings, redis_settings
from tutormax_pipeline.timed_look import TimedLook

#: Between the two looks of a snapshot, at most: enough to tell a rate.
_SNAPSHOT_SECONDS = 1.0
#: How soon a request to stop is noticed.
_STEP_SECONDS = 0.05

Show = Callable[[Looks], None]


def _a_number(_context: click.Context, option: click.Parameter, value: float) -> float:
    # Which the range lets through: no comparison with it is true.
    if math.isnan(value):
        raise click.BadParameter("nan is no number of seconds", param=option)
    return value


@click.command()
@click.option("--snapshot", "once", is_flag=True, help="Show it once and end; 1 where Redis is away.")
@click.option(
    "--json", "for_programs", is_flag=True, help="For programs: one JSON object a look, one a line."
)
@click.option(
    "--interval",
    type=click.FloatRange(0.1, 3_600),
    callback=_a_number,
    default=2,
    show_default=True,
    metavar="SECONDS",
    help="Seconds between two looks.",
)
def monitor(once: bool, for_programs: bool, interval: float) -> None:
    """Watch the queues: what waits, how fast it goes, who works, what died.

    Looking changes nothing, and nothing of a message is shown. Where Redis is away it says so, and goes on
    when it is back. Ctrl-C ends it.
    """
    console, looks = Console(highlight=False), Looks()
    with stop_on_signals() as stop, _looks(PipelineSettings.load(), stop) as take:
        first = take()
        if isinstance(first, Away) and (once or first.denied):
            raise _error(first)
        if once:
            _wait(min(interval, _SNAPSHOT_SECONDS), stop)
            second = take()
            if isinstance(second, Away):
                raise _error(second)
            if first is None or second is None:
                raise click.Abort
            looks.take(first)
            looks.take(second)
            _show_once(looks, console, for_programs=for_programs)
            return
        with _shown(console, interval, for_programs=for_programs) as show:
            found = first
            while found is not None:
                looks.take(found)
                show(looks)
                found = None if _wait(interval, stop) else take()


@contextmanager
def _looks(
    settings: PipelineSettings, stop: Callable[[], bool]
) -> Iterator[Callable[[], Look | Away | None]]:
    """Look again and again, after an outage over a new client: an embedded server may have another port.

    None where a stop was asked for before the answer came, as a server that is frozen gives none for long.
    """
    client = RedisClient(redis_settings(settings))

    def take() -> Look | Away:
        nonlocal client
        found = look(client)
        if isinstance(found, Away):
            client.close()
            client = RedisClient(redis_settings(settings))
        return found

    timed = TimedLook(take, _STEP_SECONDS)

    def take_unless_stopped() -> Look | Away | None:
        found = None
        while found is None and not stop():
            found = timed()
        return found

    try:
        yield take_unless_stopped
    finally:
        # Closed under the thread that reads from it, it would wake that thread as the interpreter ends, which
        # aborts the process now and then.
        if not timed.asking:
            client.close()


@contextmanager
def _shown(console: Console, interval: float, *, for_programs: bool) -> Iterator[Show]:
    """How a look is shown: a screen of its own where there is a terminal, else one text after the other."""
    if for_programs or not console.is_terminal or console.is_dumb_terminal:
        yield lambda looks: _show_next(looks, console, for_programs=for_programs)
        return
    with Live(console=console, screen=True, auto_refresh=False, vertical_overflow="crop") as live:
        yield lambda looks: live.update(_page(looks, console, interval), refresh=True)


def _page(looks: Looks, console: Console, interval: float) -> Group:
    footer = Text(f"every {interval:g} s; Ctrl-C ends it", style="dim")
    lines = _lines(looks, console, height=console.height - 2)
    return Group(*lines, Text(), footer)


def _show_next(looks: Looks, console: Console, *, for_programs: bool) -> None:
    _show_once(looks, console, for_programs=for_programs)
    if not for_programs:
        console.print()


def _show_once(looks: Looks, console: Console, *, for_programs: bool) -> None:
    if for_programs:
        click.echo(as_json(looks, now=datetime.now(UTC)))
        return
    for line in _lines(looks, console):
        console.print(line, soft_wrap=True)


def _lines(looks: Looks, console: Console, height: int | None = None) -> list[Text]:
    # A terminal that is not one (a pipe) has a width all the same: COLUMNS, or 80.
    plain = not console.encoding.lower().startswith("utf")
    return screen(looks, now=datetime.now(UTC), width=console.width, height=height, ascii_only=plain)


def _wait(seconds: float, stop: Callable[[], bool]) -> bool:
    """Wait; whether a stop was asked for, which ends it sooner."""
    until = time.monotonic() + seconds
    while not stop() and (left := until - time.monotonic()) > 0:
        time.sleep(min(left, _STEP_SECONDS))
    return stop()


def _error(away: Away) -> QueueUnavailableError:
    return AccessDeniedError(away.error) if away.denied else QueueUnavailableError(away.error)
