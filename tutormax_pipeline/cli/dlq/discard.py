"""``tutormax dlq discard``: archive dead letters and remove them."""

from __future__ import annotations

import sys
from dataclasses import asdict

import click
import orjson

from queue_core.dead_letter import DeadLetters
from queue_core.errors import QueueError
from queue_core.letter_filter import LetterFilter
from queue_core.letter_reports import DiscardReport
from queue_core.stopping import stop_on_signals
from tutormax_pipeline.cli.dlq.choosing import choosing_letters
from tutormax_pipeline.cli.dlq.confirming import doing_it, saying_why
from tutormax_pipeline.cli.dlq.opening import opened_letters
from tutormax_pipeline.cli.login_name import login_name
from tutormax_pipeline.cli.progress import progress_bar
from tutormax_pipeline.store import StoreError


@click.command(short_help="Archive dead letters and remove them.")
@choosing_letters
@saying_why
@doing_it
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def discard(chosen: LetterFilter, why: str, yes: bool, as_json: bool) -> None:
    """Archive dead letters in the store, with who, when and why, and remove them.

    Without --yes it only says how many. It can be interrupted; given again, it goes on.
    """
    with opened_letters(archived=True) as letters:
        report = _discard(letters, chosen, why, yes=yes, quiet=as_json)
    if as_json:
        click.echo(orjson.dumps(asdict(report)).decode())
    else:
        _tell(report)
    sys.exit(1 if report.stopped else 0)


def _discard(
    letters: DeadLetters, chosen: LetterFilter, why: str, *, yes: bool, quiet: bool
) -> DiscardReport:
    done = 0
    with progress_bar(quiet=quiet or not yes) as bar, stop_on_signals() as stop:
        task = bar.add_task("discarded", total=None if bar.disable else letters.count(chosen))

        def progress(report: DiscardReport) -> None:
            nonlocal done
            done = report.discarded
            bar.update(task, completed=done)

        try:
            return letters.discard(
                chosen, who=login_name(), why=why, dry_run=not yes, progress=progress, stop=stop
            )
        except (QueueError, StoreError) as error:
            raise type(error)(
                f"{error} Before that, {done:,} were discarded; the same command goes on."
            ) from error


def _tell(report: DiscardReport) -> None:
    verb = "would be discarded" if report.dry_run else "discarded, each archived in the store"
    click.echo(f"{report.discarded:,} {verb}. Dead letters that match now: {report.left:,}.")
    if report.gone:
        click.echo(f"{report.gone:,} moved by somebody else meanwhile.")
    if report.stopped:
        click.echo("Stopped as asked. The same command goes on.", err=True)
    if report.dry_run and report.discarded:
        click.echo("Nothing was changed: --yes does it.")
