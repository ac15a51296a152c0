"""``tutormax publish``: a file of records into a queue."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import click
import orjson

from queue_core import Channel, MessagePublisher, RedisClient
from queue_core.errors import InvalidMessageError, PublishError, QueueError
from queue_core.outcomes import Message, Rejection
from queue_core.serializer import ENVELOPE_FIELDS, deserialize
from tutormax_pipeline.cli.channel_argument import ChannelType
from tutormax_pipeline.cli.progress import progress_bar
from tutormax_pipeline.cli.record_files import Line, opened, read_lines
from tutormax_pipeline.records import record_class, validate
from tutormax_pipeline.settings import PipelineSettings, redis_settings

#: Lines that are read, published and counted together.
_CHUNK = 500
#: Refused lines that the report names; the rest is counted.
_SHOWN = 20


@click.command()
@click.argument("channel", type=ChannelType())
@click.argument("file", type=click.Path(allow_dash=True))
@click.option("--csv", "is_csv", is_flag=True, help="The file is CSV with a header (else: by its name).")
@click.option("--envelopes", is_flag=True, help="Each line is a whole envelope, published as it is.")
@click.option("--no-check", is_flag=True, help="Publish records that the channel's contract does not allow.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object.")
def publish(  # noqa: PLR0917 - click passes them by name
    channel: Channel, file: str, is_csv: bool, envelopes: bool, no_check: bool, as_json: bool
) -> None:
    """Publish the records of FILE (- is standard input) to CHANNEL.

    FILE holds one JSON object a line, or CSV; both may be gzipped. Lines that are refused are
    reported by number, and the exit code is 1.
    """
    published, refused = 0, list[tuple[int, str]]()
    is_csv = is_csv or Path(file.removesuffix(".gz")).suffix == ".csv"
    with RedisClient(redis_settings(PipelineSettings.load())) as client, opened(file) as raw:
        fields = ENVELOPE_FIELDS if envelopes else None
        lines = read_lines(raw, record_class(channel), is_csv=is_csv, fields=fields)
        sender = _Sender(client, channel, envelopes=envelopes, check=not no_check)
        with progress_bar(quiet=as_json) as progress:
            task = progress.add_task(f"to {channel}", total=None)
            try:
                while chunk := _take(lines):
                    errors = sender.send(chunk)
                    refused.extend((line.number, str(error)) for line, error in errors)
                    published += len(chunk) - len(errors)
                    progress.update(task, completed=published)
            except QueueError as error:
                # What went before is in the queue: whoever publishes again should know.
                raise QueueError(f"{error} Before that, {published:,} were published.") from error
            progress.update(task, total=published)
    if as_json:
        found = [{"line": number, "error": error} for number, error in refused]
        click.echo(orjson.dumps({"published": published, "refused": found}).decode())
    else:
        _report(channel, published, refused)
    sys.exit(1 if refused else 0)


class _Sender:
    def __init__(self, client: RedisClient, channel: Channel, *, envelopes: bool, check: bool) -> None:
        self._publisher = MessagePublisher(client)
        self._channel, self._envelopes, self._check = channel, envelopes, check
        self._stream = client.keys.stream(channel)
        self._max_bytes = client.settings.max_message_size_bytes

    def send(self, lines: list[Line]) -> list[tuple[Line, PublishError]]:
        """Publish lines; returns those that were refused."""
        report = self._publisher.publish_envelopes(self._channel, [self._encode(line) for line in lines])
        return [(lines[one.index], one.error) for one in report.refused if one.error is not None]

    def _encode(self, line: Line) -> tuple[str | None, bytes | PublishError]:
        if isinstance(line.record, PublishError):
            return None, line.record
        if self._envelopes:
            body = orjson.dumps(line.record)
            message = deserialize(body, channel=self._stream, max_bytes=self._max_bytes)
        else:
            message_id, body_or_error = self._publisher.encode(self._channel, line.record)
            if isinstance(body_or_error, PublishError):
                return message_id, body_or_error
            body = body_or_error
            message = deserialize(body)
        if isinstance(message, Message) and self._check:
            checked = validate(record_class(self._channel), message)
            message = checked if isinstance(checked, Rejection) else message
        if isinstance(message, Rejection):
            return message.message_id, InvalidMessageError("; ".join(message.errors))
        return message.id, body


def _take(lines: Iterator[Line]) -> list[Line]:
    return [line for _, line in zip(range(_CHUNK), lines, strict=False)]


def _report(channel: Channel, published: int, refused: list[tuple[int, str]]) -> None:
    click.echo(f"{published:,} published to {channel}, {len(refused):,} refused.")
    for number, error in refused[:_SHOWN]:
        click.echo(f"  line {number}: {error}", err=True)
    if len(refused) > _SHOWN:
        click.echo(f"  ... and {len(refused) - _SHOWN:,} more.", err=True)
