"""The command."""

from __future__ import annotations

import json
import signal
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console
from rich.table import Table

from tests.chaos.driver import Options, Result, run
from tests.chaos.faults import FAULTS

_USUAL = tuple(name for name, fault in FAULTS.items() if fault.weight)


@click.command(help="Publish and drain while everything around is broken; then check every message.")
@click.option(
    "--messages", type=click.IntRange(1), help="Messages to publish; else for as long as --seconds."
)
@click.option(
    "--seconds", type=click.FloatRange(0, min_open=True), help="Time over which they are published."
)
@click.option("--seed", default=1, show_default=True, help="Of messages and dice.")
@click.option("--drains", type=click.IntRange(1), default=3, show_default=True, help="Drain processes.")
@click.option(
    "--publishers", type=click.IntRange(1), default=3, show_default=True, help="Publisher processes."
)
@click.option("--faults", help=f"Only these, with commas: {', '.join(FAULTS)}; or none.")
@click.option("--tick", default=0.5, show_default=True, help="Mean seconds between two faults.")
@click.option("--flushall", is_flag=True, help="FLUSHALL as well: only what is stored must then be right.")
@click.option(
    "--store-down", type=click.FloatRange(0), help="Take the database away once for so many seconds."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Keep everything in this empty folder.",
)
def main(
    *,
    messages: int | None,
    seconds: float | None,
    seed: int,
    drains: int,
    publishers: int,
    faults: str | None,
    tick: float,
    flushall: bool,
    store_down: float | None,
    as_json: bool,
    folder: Path | None,
) -> None:
    names = _USUAL if faults is None else tuple(name for name in faults.split(",") if name != "none")
    if store_down and faults is None:
        names = ()
    unknown = set(names) - set(FAULTS)
    if unknown:
        raise click.BadParameter(f"{', '.join(sorted(unknown))}; there are {', '.join(FAULTS)}")
    options = Options(
        messages=messages,
        seconds=15.0 if messages is seconds is None else seconds,
        seed=seed,
        drains=drains,
        publishers=publishers,
        faults=(*names, "flushall") if flushall and "flushall" not in names else names,
        tick_seconds=tick,
        store_down_seconds=store_down or 0.0,
    )
    # So that being told to stop ends server, drains and publishers too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    with tempfile.TemporaryDirectory(prefix="tutormax-chaos-") as temporary:
        result = run(options, folder or Path(temporary))
    if as_json:
        print(json.dumps(_as_dict(options, result), default=str))
    else:
        _show(options, result)
    sys.exit(not result.passed)


def _as_dict(options: Options, result: Result) -> dict[str, object]:
    return {
        "options": asdict(options),
        "passed": result.passed,
        "messages": result.messages,
        "publishing_seconds": round(result.publishing_seconds, 1),
        "seconds": round(result.seconds, 1),
        "messages_per_second": round(result.messages / result.seconds),
        "store_down_seconds": round(result.store_down_seconds, 2),
        "looks_at_the_books": result.looks,
        "survived": result.survived,
        "missed": result.missed,
        "thrown": result.thrown,
        "verdict": asdict(result.verdict),
        "crashes": result.crashes,
    }


def _show(options: Options, result: Result) -> None:
    console = Console(soft_wrap=True)
    table = Table(title=f"Faults survived, seed {options.seed}", title_justify="left", title_style="")
    table.add_column("fault")
    table.add_column("times", justify="right")
    table.add_column("not possible then", justify="right")
    for name in options.faults:
        missed = str(result.missed[name] or "")
        table.add_row(FAULTS[name].what, str(result.survived[name]), missed)
    table.add_row("all", str(result.survived.total()), str(result.missed.total() or ""), style="bold")
    console.print(table)
    if options.store_down_seconds:
        console.print(f"The database was away for {result.store_down_seconds:.1f} s in one go.")
    verdict = result.verdict
    console.print(
        f"{result.messages:,} messages acknowledged in {result.publishing_seconds:.1f} s, everything drained "
        f"after {result.seconds:.1f} s: {result.messages / result.seconds:,.0f}/s."
    )
    console.print(
        f"{verdict.entries_added:,} entries = "
        + " + ".join(f"{count:,} {outcome}" for outcome, count in verdict.outcomes.items())
        + f"; {verdict.rows:,} rows. "
        f"The books were looked at {result.looks} times."
    )
    for violation in verdict.violations:
        console.print(f"[red]{violation.rule}[/]: {violation.count:,}, such as")
        for example in violation.examples:
            console.print(f"    {example}", markup=False)
    for crash in result.crashes:
        console.print(f"[red]a process failed[/]:\n{crash}", markup=False)
    alarm = (
        " The books raise the alarm, as they must." if verdict.alarm and "flushall" in options.faults else ""
    )
    passed = "[green]passed[/]: nothing lost, nothing twice, nothing unexplained."
    console.print((passed if result.passed else "[red]failed[/].") + alarm)


if __name__ == "__main__":
    main()
