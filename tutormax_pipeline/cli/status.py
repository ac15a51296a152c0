"""``tutormax status``: is anything waiting, stuck or dead, and how many rows are there."""

from __future__ import annotations

from dataclasses import asdict

import click
import orjson
from rich.console import Console
from rich.table import Table

from queue_core import QueueChannels, RedisClient
from queue_core.monitor import ChannelSnapshot, snapshot
from tutormax_pipeline.cli.age import age
from tutormax_pipeline.configured_store import configured_store
from tutormax_pipeline.settings import PipelineSettings, redis_settings
from tutormax_pipeline.store import Store, StoreNotReadyError


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def status(as_json: bool) -> None:
    """Show every queue and its table."""
    settings = PipelineSettings.load()
    with RedisClient(redis_settings(settings)) as client:
        snapshots = [snapshot(client, channel) for channel in QueueChannels.all()]
        address = client.address
    rows = _row_counts(settings)
    found = list(zip(snapshots, rows, strict=True))
    if as_json:
        channels = {one.channel: {**asdict(one), "rows": rows} for one, rows in found}
        click.echo(orjson.dumps({"redis": address, "channels": channels}).decode())
    else:
        Console().print(_table(found, address))


def _row_counts(settings: PipelineSettings) -> list[int | None]:
    """Rows of each channel's table; None where there are no tables yet."""
    try:
        with configured_store(settings, Store.open_to_read) as store:
            return [store.row_count(channel) for channel in QueueChannels.all()]
    except StoreNotReadyError as error:
        click.echo(f"Rows are not known: {error}", err=True)
        return [None] * len(QueueChannels.all())


def _table(found: list[tuple[ChannelSnapshot, int | None]], address: str) -> Table:
    table = Table(title=f"Queues on {address}", title_justify="left")
    table.add_column("channel")
    for name in ("waiting", "pending", "retry", "dead", "oldest", "rows"):
        table.add_column(name, justify="right")
    for one, rows in found:
        waiting = f"{one.waiting:,}" if one.waiting_is_exact else f"{one.waiting:,} or more"
        table.add_row(
            one.channel,
            _coloured(waiting, "yellow", when=one.waiting > 0),
            _coloured(f"{one.pending:,}", "yellow", when=one.pending > 0),
            f"{one.scheduled:,}",
            _coloured(f"{one.dead:,}", "red", when=one.dead > 0),
            age(one.oldest_unprocessed_age_seconds),
            "-" if rows is None else f"{rows:,}",
        )
    return table


def _coloured(text: str, colour: str, *, when: bool) -> str:
    return f"[{colour}]{text}[/]" if when else text
