"""``tutormax dlq redrive``: put messages back into their queues."""

from __future__ import annotations

import math
import sys
from dataclasses import asdict

import click
import orjson

from queue_core.dead_letter import MAX_REDRIVES, DeadLetters
from queue_core.errors import QueueError
from queue_core.letter_filter import LetterFilter
from queue_core.letter_reports import RedriveReport
from queue_core.stopping import stop_on_signals
from tutormax_pipeline.cli.dlq.choosing import choosing_letters
from tutormax_pipeline.cli.dlq.confirming import doing_it
from tutormax_pipeline.cli.dlq.opening import opened_letters
from tutormax_pipeline.cli.progress import progress_bar


class RateType(click.FloatRange):
    """So many a second: a finite number above 0."""

    def __init__(self) -> None:
        super().__init__(0, min_open=True)

    def convert(self, value: str | float, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Refuse nan and inf, which are numbers to Python."""
        rate = float(super().convert(value, param, ctx))  # type: ignore[arg-type]  # its stub leaves out text
        if not math.isfinite(rate):
            self.fail(f"{value} is no rate; leave --rate out to go as fast as can be", param, ctx)
        return rate


@click.command(short_help="Publish messages again.")
@choosing_letters
@click.option("--limit", type=click.IntRange(1), help="Redrive at most as many.")
@click.option("--rate", type=RateType(), help="Redrive as many a second.")
@click.option(
    "--max-redrives",
    type=click.IntRange(1),
    default=MAX_REDRIVES,
    show_default=True,
    help="Leave messages that were redriven as often before.",
)
@doing_it
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def redrive(  # noqa: PLR0917 - click passes them by name
    chosen: LetterFilter, limit: int | None, rate: float | None, max_redrives: int, yes: bool, as_json: bool
) -> None:
    """Publish the messages of dead letters again, each under its own message id.

    Without --yes it only says what it would do. It can be interrupted; given again, it goes on.
    """
    with opened_letters() as letters:
        report = _redrive(
            letters, chosen, limit=limit, rate=rate, max_redrives=max_redrives, yes=yes, quiet=as_json
        )
    if as_json:
        click.echo(orjson.dumps(asdict(report)).decode())
    else:
        _tell(report, max_redrives)
    sys.exit(1 if report.stopped or report.full or report.failed else 0)


def _redrive(
    letters: DeadLetters,
    chosen: LetterFilter,
    *,
    limit: int | None,
    rate: float | None,
    max_redrives: int,
    yes: bool,
    quiet: bool,
) -> RedriveReport:
    done = 0
    with progress_bar(quiet=quiet or not yes) as bar, stop_on_signals() as stop:
        task = bar.add_task("redriven", total=None)
        if not bar.disable:
            total = letters.count(chosen)
            bar.update(task, total=total if limit is None else min(limit, total))

        def progress(report: RedriveReport) -> None:
            nonlocal done
            done = report.redriven
            bar.update(task, completed=done)

        try:
            return letters.redrive(
                chosen,
                limit=limit,
                per_second=rate,
                dry_run=not yes,
                max_redrives=max_redrives,
                progress=progress,
                stop=stop,
            )
        except QueueError as error:
            # What went before is in the queue: whoever goes on should know.
            raise QueueError(
                f"{error} Before that, {done:,} were redriven; the same command goes on."
            ) from error


def _tell(report: RedriveReport, max_redrives: int) -> None:
    verb = "would be redriven" if report.dry_run else "redriven"
    click.echo(f"{report.redriven:,} {verb}. Dead letters that match now: {report.left:,}.")
    stays = {
        f"redriven {max_redrives:,} times before (--max-redrives), left as they are": report.capped,
        "without a message that can be published, left as they are": report.unredrivable,
        "moved by somebody else meanwhile": report.gone,
    }
    for what, count in stays.items():
        if count:
            click.echo(f"{count:,} {what}.")
    for channel, count in report.full.items():
        click.echo(
            f"Queue {channel} is full: {count:,} stay. "
            f"Drain it ('tutormax drain {channel}'), then give the same command again.",
            err=True,
        )
    if report.failed:
        _tell_failures(report)
    if report.stopped:
        click.echo("Stopped as asked. The same command goes on.", err=True)
    if report.dry_run and report.redriven:
        click.echo("Nothing was changed: --yes does it.")


def _tell_failures(report: RedriveReport) -> None:
    click.echo(
        f"{report.failed:,} could not be put back, and stay. Look at each with 'tutormax dlq show ID', or "
        "discard it ('tutormax dlq discard --id ID') and publish its record anew:",
        err=True,
    )
    for letter_id, answer in report.failures.items():
        click.echo(f"  {letter_id}: {answer}", err=True)
    if report.failed > len(report.failures):
        click.echo(f"  ... and {report.failed - len(report.failures):,} more.", err=True)
