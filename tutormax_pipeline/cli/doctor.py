"""``tutormax doctor``: do the books balance, what else is wrong, and what to do about it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import click
import orjson
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from queue_core import Channel, RedisClient
from queue_core.letter_counts import letter_counts, recount_letters
from queue_core.outcomes import Outcome
from tutormax_pipeline.books import Books, repair, write_off
from tutormax_pipeline.cli.channel_argument import ChannelType
from tutormax_pipeline.cli.login_name import login_name
from tutormax_pipeline.cli.printable import printable
from tutormax_pipeline.cli.text import TextType
from tutormax_pipeline.configured_store import configured_store
from tutormax_pipeline.doctor import Diagnosis, examine
from tutormax_pipeline.findings import Finding, Severity
from tutormax_pipeline.settings import PipelineSettings, redis_settings
from tutormax_pipeline.store import Store, StoreError
from tutormax_pipeline.store.schema import HEAD

_COLOURS = {Severity.ERROR: "red", Severity.WARNING: "yellow", Severity.NOTE: "cyan"}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
@click.option("--deep", is_flag=True, help="Read the whole database too, for damage; may take minutes.")
@click.option("--repair", "mend", is_flag=True, help="Put back what the ledger lost, count letters anew.")
@click.option(
    "--write-off", "written_off", type=ChannelType(), help="Make this channel's books balance, for ever."
)
@click.option("--why", type=TextType(), help="With --write-off: what happened. Kept with your name.")
@click.option(
    "--who", type=TextType(), help="With --write-off: who answers for it; your user name when not given."
)
def doctor(
    *, as_json: bool, deep: bool, mend: bool, written_off: Channel | None, why: str | None, who: str | None
) -> None:
    """Account for every message ever published, and look for what is wrong.

    The exit code is 1 where something was found, 2 where Redis, the store or Dagster could not be looked at.
    """
    if written_off is not None and not (why and why.strip()):
        raise click.UsageError("--write-off needs --why: what happened, for whoever asks later.")
    if written_off is None and (why or who):
        raise click.UsageError("--why and --who belong to --write-off CHANNEL.")
    settings = PipelineSettings.load()
    done: list[str] = []
    with RedisClient(redis_settings(settings)) as client, _opened(settings) as store:
        places = {
            "redis": client.address,
            "store": store.address if isinstance(store, Store) else "not opened",
        }
        found = examine(client, store, settings, datetime.now(UTC), deep=deep)
        if (mend or written_off) and found.away:
            done.append(f"Nothing was changed: {' and '.join(found.away)} could not be looked at.")
        elif isinstance(store, Store):
            done += _mend(client, found) if mend else []
            if written_off is not None and why is not None:
                before = write_off(
                    client, store, written_off, who=who or login_name(), why=why, now=datetime.now(UTC)
                )
                done.append(_written_off(before))
            if done:
                found = examine(client, store, settings, datetime.now(UTC), deep=deep)
    if as_json:
        click.echo(orjson.dumps(_as_json(found, places, done)).decode())
    else:
        _show(found, places, done)
    sys.exit(found.exit_code)


@contextmanager
def _opened(settings: PipelineSettings) -> Iterator[Store | StoreError]:
    """The store, or why there is none: the rest is to be examined all the same."""
    try:
        store = configured_store(settings)
    except StoreError as error:
        yield error
        return
    with store:
        yield store


def _mend(client: RedisClient, found: Diagnosis) -> list[str]:
    done = []
    for books in found.books:
        if books.unrecorded:
            count = repair(client, books)
            done.append(f"Put back of {books.channel}, for the next drain to settle: {count:,}.")
    counts = letter_counts(client)
    if counts.letters != counts.counted:
        done.append(f"Counted the dead letters anew: {recount_letters(client).total():,}.")
    return done


def _written_off(before: Books) -> str:
    if before.balanced and not before.lost_unacknowledged:
        return f"The books of {before.channel} balance; there was nothing to write off."
    done = (
        f"Wrote off for {before.channel}: a difference of {before.difference:,}; recorded as lost, and now "
        f"acknowledged: {before.lost_unacknowledged:,}"
    )
    if before.letters.balanced:
        return f"{done}."
    upto = "" if before.letters.exact else "up to "
    return f"{done}; dead letters that are gone, and now acknowledged: {upto}{before.letters.gone:,}."


def _as_json(found: Diagnosis, places: dict[str, str], done: list[str]) -> dict[str, Any]:
    return {
        **places,
        "server": None if found.health is None else asdict(found.health),
        "revision": HEAD,
        "away": found.away,
        # Not known where they could not be looked at.
        "balanced": all(books.balanced for books in found.books) if found.books else None,
        "books": {books.channel.name: figures(books) for books in found.books},
        "findings": [asdict(finding) for finding in found.findings],
        "done": done,
    }


def figures(books: Books) -> dict[str, int]:
    """The figures of a channel's books, in the order in which they add up; last, letters that are gone."""
    return {
        "added": books.added,
        "carried": books.carried,
        "adjustments": books.adjustments,
        **{outcome.value: books.outcome(outcome) for outcome in Outcome},
        "waiting": books.waiting,
        "pending": books.pending,
        "difference": books.difference,
        "dead_letters_gone": books.letters.gone,
    }


def _show(found: Diagnosis, places: dict[str, str], done: list[str]) -> None:
    console = Console(soft_wrap=False, highlight=False)
    for line in done:
        console.print(escape(line))
    server = "away" if found.health is None else found.health.server
    console.print(escape(f"Redis: {server} at {places['redis']}"))
    console.print(escape(f"Store: {places['store']}, revision {HEAD}"))
    if found.books:
        console.print(_table(found.books))
    for finding in found.findings:
        _show_finding(console, finding)
    if found.exit_code == 0:
        console.print("[green]Every message is accounted for, and nothing else was found.[/]")


def _table(all_books: tuple[Books, ...]) -> Table:
    table = Table(title="Books: entries of each stream", title_justify="left")
    table.add_column("")
    for books in all_books:
        table.add_column(books.channel.name, justify="right")
    columns = [figures(books) for books in all_books]
    for name in columns[0]:
        label = {"added": "added to the stream", "carried": "before it began anew"}.get(name, name)
        if name == "difference":
            table.add_section()
            label = "unaccounted for"
        values = [column[name] for column in columns]
        if name in {"carried", "dead_letters_gone"} and not any(values):
            continue
        wrong = name in {"difference", "dead_letters_gone"}
        table.add_row(
            label.replace("_", " "),
            *(f"[red]{value:,}[/]" if wrong and value else f"{value:,}" for value in values),
        )
    return table


def _show_finding(console: Console, finding: Finding) -> None:
    colour = _COLOURS[finding.severity]
    where = f" {finding.channel}:" if finding.channel else ""
    console.print(f"[{colour}]{finding.severity}[/]{where} {escape(printable(finding.summary))}")
    if finding.entry_ids:
        named = ", ".join(finding.entry_ids[:10])
        more = len(finding.entry_ids) - 10
        console.print(f"  entries: {named}{' ...' if more > 0 else ''}")
    console.print(f"  [bold]->[/] {escape(printable(finding.remedy))}")
