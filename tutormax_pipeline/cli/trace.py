"""``tutormax trace``: what became of one message, from its publishing to its row."""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

import click
import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from queue_core import RedisClient
from tutormax_pipeline.cli.printable import one_line, printable
from tutormax_pipeline.cli.progress import progress_bar
from tutormax_pipeline.configured_store import configured_store
from tutormax_pipeline.run_links import run_link, ui_address
from tutormax_pipeline.settings import PipelineSettings, redis_settings
from tutormax_pipeline.story import Happening, nobody_knows, standing, tell
from tutormax_pipeline.trace import MOST_ENTRIES, MessageTrace, Trace, trace


@click.command("trace", short_help="Tell what became of a message.")
@click.argument("asked", metavar="ID")
@click.option(
    "--limit",
    type=click.IntRange(0),
    default=MOST_ENTRIES,
    show_default=True,
    help="Of each stream, search so many of the newest entries.",
)
@click.option("--data", is_flag=True, help="Show the record too, which may hold personal data.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def trace_command(asked: str, limit: int, data: bool, as_json: bool) -> None:
    """Tell the whole story of the message ID.

    ID is that of a message, of an entry in a stream, or of a dead letter. The exit code is 1 where nobody
    knows it.
    """
    settings = PipelineSettings.load()
    with (
        RedisClient(redis_settings(settings)) as client,
        configured_store(settings) as store,
        progress_bar(quiet=as_json) as bar,
    ):
        task = bar.add_task("Looking through the streams", total=None)
        found = trace(client, store, asked, most_entries=limit, progress=lambda n: bar.advance(task, n))
    ui = ui_address(settings)
    if as_json:
        click.echo(orjson.dumps(_as_json(found, ui, data=data)).decode())
    elif found.messages:
        _show(found, ui, data=data)
    if not found.messages:
        click.echo(f"Error: {one_line(nobody_knows(found, further='--limit'))}", err=True)
        sys.exit(1)


def _show(found: Trace, ui: str | None, *, data: bool) -> None:
    console = Console(highlight=False, soft_wrap=False)
    for message in found.messages:
        name = message.message_id or "of which no id could be read"
        console.print(Text(f"Message {one_line(name)}: {standing(message)}", style="bold"))
        console.print(_table(tell(message), ui))
        if data:
            _show_data(message)
    for search in found.searches:
        if not search.complete:
            console.print(
                Text(f"Of {search.channel} the newest {search.looked_at:,} entries were searched (--limit).")
            )


def _table(story: list[Happening], ui: str | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("when (UTC)", no_wrap=True, width=19)
    table.add_column("what", ratio=1, overflow="fold")
    for one in story:
        when = f"{one.at:%Y-%m-%d %H:%M:%S}" if one.at is not None else "now"
        run = () if one.run_id is None else (f"run {run_link(ui, one.run_id)}",)
        aside = () if one.aside is None else (one.aside,)
        lines = (one.what, *(f"  {line}" for line in (*one.details, *aside, *run)))
        table.add_row(when, Text("\n".join(one_line(line) for line in lines)))
    return table


def _show_data(message: MessageTrace) -> None:
    if message.envelope is None:
        click.echo("Its record is nowhere any more, or cannot be read.")
        return
    click.echo("Its record, which may hold personal data:")
    click.echo(printable(orjson.dumps(message.envelope.data, option=orjson.OPT_INDENT_2).decode()))


def _as_json(found: Trace, ui: str | None, *, data: bool) -> dict[str, Any]:
    return {
        "asked": found.asked,
        "found": bool(found.messages),
        "messages": [_message(one, ui, data=data) for one in found.messages],
        "searched": [
            {
                "channel": one.channel.name,
                "entries": one.looked_at,
                "back_to": one.back_to,
                "complete": one.complete,
            }
            for one in found.searches
        ],
    }


def _message(message: MessageTrace, ui: str | None, *, data: bool) -> dict[str, Any]:
    envelope = message.envelope
    shown: dict[str, Any] = {
        "message_id": message.message_id,
        "standing": standing(message),
        "story": [
            {**asdict(one), "run": None if one.run_id is None else run_link(ui, one.run_id)}
            for one in tell(message)
        ],
        "entries": [
            {
                "channel": one.state.channel.name,
                "entry_id": one.state.entry_id,
                "in_stream": one.state.entry is not None,
                "waiting": one.state.waiting,
                "pending": None if one.state.pending is None else asdict(one.state.pending),
                "attempts": one.state.attempts,
                "retry_due": one.state.retry_due,
                "ledger": None if one.ledger is None else asdict(one.ledger),
            }
            for one in message.entries
        ],
        "dead_letters": [one.id for one in message.letters],
        "rows": [
            {"table": one.channel.name, "row": one.row and asdict(one.row), "current": one.current}
            for one in message.rows
        ],
    }
    if data:
        shown["data"] = None if envelope is None else envelope.data
    return shown
