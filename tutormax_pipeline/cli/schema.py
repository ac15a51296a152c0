"""``tutormax schema``: the data contract, for producers in any language."""

from __future__ import annotations

from pathlib import Path

import click
import orjson

from queue_core import Channel, QueueChannels, RedisSettings
from queue_core.channels import Keys
from tutormax_pipeline.cli.channel_argument import ChannelType
from tutormax_pipeline.json_schemas import Schema, envelope_schema, record_schema


@click.command()
@click.argument("channel", type=ChannelType(), required=False)
@click.option("--envelope", is_flag=True, help="Of the whole message instead of its data.")
@click.option("--all", "of_all", is_flag=True, help="Of every channel, each in a file of its own.")
@click.option("--output", type=click.Path(file_okay=False, path_type=Path), help="Folder for --all.")
def schema(channel: Channel | None, envelope: bool, of_all: bool, output: Path | None) -> None:
    """Print the JSON Schema (2020-12) of what CHANNEL may hold."""
    if of_all:
        if channel is not None or output is None:
            raise click.UsageError("--all goes with --output FOLDER, and without a channel.")
        for one in QueueChannels.all():
            path = output / f"{one}{'.envelope' if envelope else ''}.schema.json"
            _write(path, _written(_schema(one, envelope=envelope)))
            click.echo(path)
        return
    if channel is None or output is not None:
        raise click.UsageError("Name a channel, or give --all --output FOLDER.")
    click.echo(_written(_schema(channel, envelope=envelope)), nl=False)


def _schema(channel: Channel, *, envelope: bool) -> Schema:
    if envelope:
        return envelope_schema(channel, Keys(RedisSettings.load().key_prefix))
    return record_schema(channel)


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise click.ClickException(
            f"{path}: {error.strerror}. Give --output a folder that you may write to."
        ) from error


def _written(made: Schema) -> bytes:
    return orjson.dumps(made, option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)
