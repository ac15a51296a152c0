"""``tutormax drain``: the Dagster job, in this process, recorded where the UI shows it."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import click
import orjson
from rich.console import Console
from rich.table import Table

from queue_core import Channel, QueueChannels
from tutormax_pipeline.batches import BATCH_SIZE, LARGEST_BATCH_SIZE
from tutormax_pipeline.cli.channel_argument import ChannelType
from tutormax_pipeline.dagster_instance import open_instance
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.local_runs import OWN_PROCESS_TAG
from tutormax_pipeline.settings import PipelineSettings

_INTERRUPTIONS = ("DagsterExecutionInterruptedError", "KeyboardInterrupt")
_SHOWN = ("stored", "duplicate", "dead_lettered", "settled_before", "lag_after", "messages_per_second")


@click.command()
@click.argument("channels", nargs=-1, type=ChannelType())
@click.option(
    "--batch-size", type=click.IntRange(1, LARGEST_BATCH_SIZE), default=BATCH_SIZE, show_default=True
)
@click.option("--max-messages", type=click.IntRange(1), help="End after this many messages of a channel.")
@click.option("--max-seconds", type=click.FloatRange(0, min_open=True), help="End a channel after this long.")
@click.option("--linger-seconds", type=click.FloatRange(0), default=0, help="Wait this long for more.")
@click.option(
    "--outage-seconds", type=click.FloatRange(0), default=0, help="Wait this long for Redis or the database."
)
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def drain(channels: tuple[Channel, ...], as_json: bool, **limits: Any) -> None:
    """Drain CHANNELS (all of them when none is named) into their tables."""
    settings = PipelineSettings.load()
    os.environ["DAGSTER_HOME"] = os.environ.get("DAGSTER_HOME") or str(prepare_dagster_home(settings))
    results: dict[str, Any] = {}
    for channel in channels or QueueChannels.all():
        results[channel.name] = found = _run_job(channel, limits)
        if found.get("stopped"):
            break
    if as_json:
        click.echo(orjson.dumps(results).decode())
    else:
        _show(results)
    sys.exit(1 if any("error" in found for found in results.values()) else 0)


def _run_job(channel: Channel, limits: dict[str, Any]) -> dict[str, Any]:
    from tutormax_pipeline.definitions import defs  # noqa: PLC0415 - loads Dagster, which takes a second

    job = defs.resolve_job_def(f"drain_{channel.name}")
    config = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_instance(Path(os.environ["DAGSTER_HOME"])) as instance:
        result = job.execute_in_process(
            instance=instance,
            raise_on_error=False,
            tags={OWN_PROCESS_TAG: "tutormax drain"},
            run_config={**config, "ops": {channel.name: {"config": limits}}},
        )
    if not result.success:
        return {"run_id": result.run_id, **_why(result)}
    (materialization,) = result.asset_materializations_for_node(channel.name)
    values = {name: value.value for name, value in materialization.metadata.items()}
    shown = {name: value for name, value in values.items() if isinstance(value, (int, float, str))}
    return {"run_id": result.run_id, **shown}


def _why(result: Any) -> dict[str, Any]:
    for event in result.all_events:
        data = event.event_specific_data
        if event.is_step_failure and data.user_failure_data is not None:
            return {"error": data.user_failure_data.description}
        if event.is_step_failure and data.error is not None:
            error = data.error.cause or data.error
            words = error.message.strip().removeprefix("dagster._core.errors.")
            return {
                "error": words.removeprefix("DagsterExecutionInterruptedError: "),
                "stopped": error.cls_name in _INTERRUPTIONS,
            }
    return {"error": "The run did not begin; its events tell why."}


def _show(results: dict[str, Any]) -> None:
    table = Table()
    table.add_column("channel")
    for name in _SHOWN:
        table.add_column(name.replace("_", " "), justify="right")
    for channel, found in results.items():
        if "error" in found:
            click.echo(f"Error: {channel}: {found['error']}", err=True)
        else:
            table.add_row(channel, *(f"{found[name]:,}" for name in _SHOWN))
    if table.row_count:
        Console().print(table)
