"""``tutormax dlq list``: dead letters one by one, without what is in them."""

from __future__ import annotations

from datetime import UTC, datetime

import click
import orjson
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from queue_core.letter import DeadLetter
from queue_core.letter_filter import LetterFilter
from tutormax_pipeline.cli.age import age
from tutormax_pipeline.cli.dlq.choosing import choosing_letters
from tutormax_pipeline.cli.dlq.opening import opened_letters
from tutormax_pipeline.cli.printable import one_line


@click.command("list")
@choosing_letters
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Show at most as many.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object a letter.")
def list_letters(chosen: LetterFilter, limit: int, as_json: bool) -> None:
    """List dead letters, oldest first."""
    with opened_letters() as letters:
        found = letters.iterate(chosen, limit, bodies=False)
        if as_json:
            for letter in found:
                click.echo(orjson.dumps(as_dict(letter)).decode())
            return
        table = _table(list(found))
        total = letters.count(chosen)
    if not table.row_count:
        click.echo("No dead letters." if chosen == LetterFilter() else "No such dead letters.")
        return
    Console().print(table)
    if total > table.row_count:
        click.echo(f"{table.row_count:,} of {total:,}; --limit shows more, 'tutormax dlq groups' sums up.")


def as_dict(letter: DeadLetter) -> dict[str, object]:
    """What a letter says of itself, for programs; nothing of its message."""
    return {
        "id": letter.id,
        "channel": letter.channel,
        "reason": letter.reason,
        "errors": letter.errors,
        "attempts": letter.attempts,
        "message_id": letter.message_id,
        "entry_id": letter.entry_id,
        "deliveries": letter.deliveries,
        "consumer": letter.consumer,
        "failed_at": letter.failed_at,
        "redrives": letter.redrives,
        "redrivable": letter.redrivable,
        "message_bytes": letter.body_bytes,
    }


def _table(letters: list[DeadLetter]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, expand=True)
    for name in ("letter", "channel", "reason"):
        table.add_column(name, no_wrap=True)
    table.add_column("age", no_wrap=True, justify="right")
    table.add_column("error", no_wrap=True, overflow="ellipsis", ratio=1)
    now = datetime.now(UTC)
    for letter in letters:
        cells = (
            letter.id,
            letter.channel,
            letter.reason,
            age((now - letter.failed_at).total_seconds()),
            letter.errors[0] if letter.errors else "",
        )
        table.add_row(*(Text(one_line(cell)) for cell in cells))
    return table
