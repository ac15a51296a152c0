"""Measure what the pipeline promises, on this machine.

    python -m benchmarks.drain              # everything, about two minutes
    python -m benchmarks.drain --quick      # small numbers, to see that it works
    python -m benchmarks.drain --json       # for programs
    python -m benchmarks.drain --store postgresql://user:password@host/database    # into PostgreSQL

The figures depend on what else the machine does: its load average is printed with them. A missed
target does not change the exit code.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from benchmarks.figures import Figure, table_of
from benchmarks.latency import latency
from benchmarks.machine import Machine
from benchmarks.place import Place
from benchmarks.throughput import throughput
from benchmarks.tick import tick

_TABLE_WIDTH = 120


@click.command(help="Measure draining, latency and sensor ticks, beside a loop written by hand.")
@click.option("--messages", default=200_000, show_default=True, help="Messages of a full drain.")
@click.option(
    "--small", default=20_000, show_default=True, help="Messages of the drain its memory is compared with."
)
@click.option(
    "--rounds", default=3, show_default=True, help="Drains of each kind, of which the median counts."
)
@click.option("--seconds", default=10.0, show_default=True, help="How long latency is measured.")
@click.option(
    "--waiting", default=1_000_000, show_default=True, help="Messages waiting while a snapshot is taken."
)
@click.option("--store", help="Measure draining into this PostgreSQL, in a database that is made for it.")
@click.option("--quick", is_flag=True, help="Small numbers instead of all of these.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--folder",
    type=click.Path(exists=True, file_okay=False, path_type=Path),
    help="Measure on this folder's disk, instead of the one with the system's temporary files.",
)
def main(
    *,
    messages: int,
    small: int,
    rounds: int,
    seconds: float,
    waiting: int,
    store: str | None,
    quick: bool,
    as_json: bool,
    folder: Path | None,
) -> None:
    """Run every measurement and print the figures."""
    if quick:
        messages, small, rounds, seconds, waiting = 20_000, 5_000, 1, 2.0, 100_000
    _forget_own_settings()
    console = Console(stderr=as_json)
    with Place.open(folder) as place, console.status("") as status:
        machine = Machine.measured(place.folder)

        def figures() -> Iterator[Figure]:
            if store is not None:
                from benchmarks.postgres import postgres  # noqa: PLC0415 - psycopg is an extra

                yield from postgres(place, store, messages=messages, rounds=rounds, say=status.update)
                return
            yield from throughput(place, messages=messages, small=small, rounds=rounds, say=status.update)
            status.update(f"measuring latency for {seconds:g} seconds")
            yield from latency(place, seconds=seconds)
            status.update(f"looking at {waiting:,} waiting messages")
            yield from tick(place, many=waiting)

        found = list(figures())
    if as_json:
        click.echo(json.dumps({"machine": asdict(machine), "figures": [one.as_dict() for one in found]}))
    else:
        console.width = max(console.width, _TABLE_WIDTH)  # where it goes to a file, it would be 80
        console.print(table_of(found, f"{machine}; load average {os.getloadavg()[0]:.2f} at the end"))


def _forget_own_settings() -> None:
    # Measured are the defaults, whatever this shell is set up for; the processes started inherit it.
    for name in list(os.environ):
        if name.startswith(("REDIS_", "TUTORMAX_")):
            del os.environ[name]


if __name__ == "__main__":
    main()
