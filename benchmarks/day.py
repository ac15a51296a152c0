"""A simulated day of 3,000 messages with afternoon peaks, and what it costs.

    python -m benchmarks.day            # about a minute
    python -m benchmarks.day --json     # for programs

Runs and waiting come from the real launch policy, tick by tick on a clock of its own; what one run, one
observation and one tick cost is measured on a real Dagster instance. Settings are taken from the
environment, so that a policy can be tried: TUTORMAX_DRAIN_LINGER_SECONDS=60 make day
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import click
from rich.console import Console

from benchmarks.dagster_cost import Cost, measure
from benchmarks.figures import Figure, table_of
from benchmarks.machine import Machine
from benchmarks.place import Place
from benchmarks.simulated_day import MESSAGES, START_SECONDS, TICK_SECONDS, Day, arrivals, simulate
from tutormax_pipeline.settings import PipelineSettings

_TABLE_WIDTH = 120
_MOST_RUNS = 300


@click.command(help="Simulate a day of messages and measure what its runs cost.")
@click.option("--seed", default=1, show_default=True, help="Another day for each number.")
@click.option("--runs", default=5, show_default=True, help="Real runs, of which the mean counts.")
@click.option("--linger", default=10.0, show_default=True, help="Seconds that one real run lingers.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@click.option(
    "--folder", type=click.Path(exists=True, file_okay=False, path_type=Path), help="Measure there."
)
def main(*, seed: int, runs: int, linger: float, as_json: bool, folder: Path | None) -> None:
    """Print the figures."""
    settings = PipelineSettings.load()
    days = {name: simulate(name, arrivals(count, seed), settings) for name, count in MESSAGES.items()}
    console = Console(stderr=as_json)
    with Place.open(folder) as place, console.status(f"running {runs + 2} drains"):
        machine = Machine.measured(place.folder)
        cost = measure(place, runs=runs, linger_seconds=linger)
    found = [*_simulated(days, settings), *_costs(days, cost)]
    if as_json:
        click.echo(json.dumps({"machine": asdict(machine), "figures": [one.as_dict() for one in found]}))
    else:
        console.width = max(console.width, _TABLE_WIDTH)
        console.print(table_of(found, str(machine)))


def _simulated(days: dict[str, Day], settings: PipelineSettings) -> Iterator[Figure]:
    slack_seconds = TICK_SECONDS + START_SECONDS
    for name, day in days.items():
        yield Figure(f"runs for {day.messages:,} {name}", day.runs)
    yield Figure("runs a day", sum(day.runs for day in days.values()), most=_MOST_RUNS)
    waits = sorted(one for day in days.values() for one in day.waits)
    bound = settings.drain_max_wait_seconds + slack_seconds
    yield Figure("longest wait", waits[-1], "s", most=bound)
    yield Figure("wait, p95", waits[int(0.95 * len(waits))], "s")
    at_once = sum(one == 0 for one in waits) / len(waits)
    yield Figure("stored within milliseconds, by a lingering run", 100 * at_once, "%")
    yield Figure("hours that runs last", sum(day.run_seconds for day in days.values()) / 3_600, "h")
    yield Figure("observations a day", sum(day.observations for day in days.values()))


def _costs(days: dict[str, Day], cost: Cost) -> Iterator[Figure]:
    runs = sum(day.runs for day in days.values())
    lingering_seconds = sum(day.run_seconds for day in days.values()) * cost.lingering_cpu_percent / 100
    ticks = sum(day.ticks for day in days.values())
    observations = sum(day.observations for day in days.values())
    yield Figure("a run: processor", cost.run_cpu_seconds, "s")
    yield Figure("a run: Dagster's storage", cost.run_bytes / 1024, "KB")
    yield Figure("a lingering run: processor", cost.lingering_cpu_percent, "% of a core")
    yield Figure("a run: memory", cost.lingering_memory_mb, "MB")
    yield Figure("an observation", cost.observation_bytes / 1024, "KB")
    yield Figure("a skipped tick, kept for a day", cost.tick_bytes / 1024, "KB")
    yield Figure("a tick: processor", cost.tick_cpu_ms, "ms")
    yield Figure("runs a day: processor", runs * cost.run_cpu_seconds + lingering_seconds, "s")
    yield Figure("ticks a day: processor", ticks * cost.tick_cpu_ms / 1000, "s")
    grown = runs * cost.run_bytes + observations * cost.observation_bytes
    yield Figure("Dagster's storage grows a day by", grown / 1024**2, "MB")
    yield Figure("ticks of the last day", ticks * cost.tick_bytes / 1024**2, "MB")


if __name__ == "__main__":
    main()
