"""``tutormax dlq groups``: what is wrong, how often, and an example."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from queue_core.letter_filter import LetterFilter
from queue_core.letter_groups import LetterGroup
from tutormax_pipeline.cli.age import age
from tutormax_pipeline.cli.dlq.choosing import choosing_letters
from tutormax_pipeline.cli.dlq.opening import opened_letters
from tutormax_pipeline.cli.printable import one_line


@click.command(short_help="Sum up by what is wrong.")
@choosing_letters
@click.option("--json", "as_json", is_flag=True, help="For programs: a list of JSON objects.")
def groups(chosen: LetterFilter, as_json: bool) -> None:
    """Sum up dead letters by what is wrong, the biggest group first."""
    with opened_letters() as letters:
        found = letters.groups(chosen)
    if as_json:
        click.echo(orjson.dumps(found).decode())
    elif found:
        Console().print(_table(found))
        click.echo("An example whole: tutormax dlq show ID")
    else:
        click.echo("No dead letters." if chosen == LetterFilter() else "No such dead letters.")


def _table(found: list[LetterGroup]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    table.add_column("count", justify="right", no_wrap=True)
    table.add_column("channel", no_wrap=True)
    table.add_column("reason", no_wrap=True)
    table.add_column("error", overflow="fold", ratio=1)
    table.add_column("newest", justify="right", no_wrap=True)
    table.add_column("example", no_wrap=True)
    now = datetime.now(UTC)
    for group in found:
        error = f"{group.field}: {group.error}" if group.field else group.error
        newest = age((now - group.newest).total_seconds())
        cells = (f"{group.count:,}", group.channel, group.reason, error, newest, group.example_id)
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    return table
