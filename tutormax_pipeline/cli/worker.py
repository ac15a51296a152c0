"""``tutormax worker``: a worker with handlers of one's own, without Dagster."""

from __future__ import annotations

import logging
import sys
from dataclasses import asdict

import click
import orjson
from rich.console import Console
from rich.table import Table

from queue_core import Channel, QueueWorker, RedisClient
from queue_core.errors import ConfigurationError
from queue_core.worker_statistics import WorkerStatistics
from tutormax_pipeline.cli.channel_argument import ChannelType
from tutormax_pipeline.cli.handler_option import assigned
from tutormax_pipeline.settings import PipelineSettings, redis_settings

_COUNTS = ("processed", "failed", "retried", "dead", "lost", "taken_over")


@click.command()
@click.argument("channels", nargs=-1, type=ChannelType())
@click.option("--handler", "handlers", multiple=True, metavar="[CHANNEL=]MODULE:FUNCTION")
@click.option("--batch-handler", "batch_handlers", multiple=True, metavar="[CHANNEL=]MODULE:FUNCTION")
@click.option("--batch-size", type=click.IntRange(1, 10_000), help="Messages read at once.")
@click.option("--once", is_flag=True, help="Work on what is there, then end.")
@click.option("--json", "as_json", is_flag=True, help="For programs: statistics as one JSON object.")
def worker(
    channels: tuple[Channel, ...],
    *,
    handlers: tuple[str, ...],
    batch_handlers: tuple[str, ...],
    batch_size: int | None,
    once: bool,
    as_json: bool,
) -> None:
    """Hand the messages of CHANNELS to functions of your own, until Ctrl-C.

    A handler takes a message's data, a batch handler a list of them; it returns True where it is done, False
    to try again. Without CHANNELS, those that a handler names, or all of them. With --once the exit code is 1
    where an attempt failed or a message became a dead letter.
    """
    functions, batch_functions = assigned(handlers, channels), assigned(batch_handlers, channels)
    if not functions and not batch_functions:
        raise ConfigurationError("Give a handler: --handler my_package.tasks:store")
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    with RedisClient(redis_settings(PipelineSettings.load())) as client:
        own = QueueWorker(channels or [*functions, *batch_functions], client=client, batch_size=batch_size)
        for channel, function in functions.items():
            own.register_handler(channel, function)
        for channel, function in batch_functions.items():
            own.register_batch_handler(channel, function)
        if once:
            own.run_once()
        else:
            own.run()
    seen = own.statistics()
    _show(seen, as_json=as_json)
    if once and (seen.total.failed or seen.total.dead):
        sys.exit(1)


def _show(seen: WorkerStatistics, *, as_json: bool) -> None:
    if as_json:
        click.echo(orjson.dumps(asdict(seen)).decode())
        return
    table = Table()
    table.add_column("channel")
    for name in (*_COUNTS, "p50 ms"):
        table.add_column(name.replace("_", " "), justify="right")
    for channel, found in seen.channels.items():
        counts = (f"{getattr(found, name):,}" for name in _COUNTS)
        seconds = found.handler_seconds_p50
        table.add_row(channel, *counts, "" if seconds is None else f"{seconds * 1000:.1f}")
    Console().print(table)
