"""``tutormax dlq show``: one dead letter, whole."""

from __future__ import annotations

import os
from base64 import b64encode
from collections.abc import Iterator

import click
import orjson

from queue_core.errors import QueueError
from queue_core.letter import DeadLetter
from tutormax_pipeline.cli.dlq.choosing import LetterIdType
from tutormax_pipeline.cli.dlq.listing import as_dict
from tutormax_pipeline.cli.dlq.opening import opened_letters
from tutormax_pipeline.cli.printable import one_line, printable


@click.command(short_help="Show a dead letter whole.")
@click.argument("letter_id", metavar="ID", type=LetterIdType())
@click.option("--raw", is_flag=True, help="Only the message, byte for byte as it was received.")
@click.option("--field", help="Only this other field of the entry, byte for byte.")
@click.option("--json", "as_json", is_flag=True, help="For programs: one JSON object, bytes in base64.")
def show(letter_id: str, raw: bool, field: str | None, as_json: bool) -> None:
    """Show the dead letter ID with its message, which may hold personal data."""
    with opened_letters() as letters:
        letter = letters.get(letter_id)
    if field is not None:
        click.echo(_field(letter, os.fsencode(field)), nl=False)
    elif raw:
        click.echo(_message(letter), nl=False)
    elif as_json:
        click.echo(orjson.dumps(_whole(letter)).decode())
    else:
        click.echo("\n".join(_lines(letter)))


def _message(letter: DeadLetter) -> bytes:
    if letter.body is None:
        names = ", ".join(_name(name) for name in letter.fields)
        raise QueueError(
            f"Dead letter {letter.id} has no message: its entry had no field 'message'. "
            + (f"It had {names}: see --field." if names else "It had no other field.")
        )
    return letter.body


def _field(letter: DeadLetter, name: bytes) -> bytes:
    if name not in letter.fields:
        names = ", ".join(_name(one) for one in letter.fields) or "none"
        raise QueueError(
            f"Dead letter {letter.id} has no other field {_name(name)}; those it has are: {names}."
        )
    return letter.fields[name]


def _whole(letter: DeadLetter) -> dict[str, object]:
    fields = [[b64encode(part).decode() for part in pair] for pair in letter.fields.items()]
    message = None if letter.body is None else b64encode(letter.body).decode()
    return {**as_dict(letter), "message_base64": message, "fields_base64": fields}


def _lines(letter: DeadLetter) -> Iterator[str]:
    facts = {
        "dead letter": letter.id,
        "channel": letter.channel,
        "reason": letter.reason,
        "failed at": letter.failed_at.isoformat(" ", "seconds"),
        "message id": letter.message_id or "-",
        "entry id": letter.entry_id,
        "deliveries": f"{letter.deliveries:,}",
        "given up by": letter.consumer,
        "redriven": f"{letter.redrives:,} times before" if letter.redrives else "never",
    }
    for name, value in facts.items():
        yield f"{name:<12} {one_line(value)}"
    yield "errors"
    for error in letter.errors:
        yield f"  {one_line(error)}"
    if letter.attempts:
        yield "attempts that failed"
    for attempt in letter.attempts:
        yield one_line(f"  {attempt.at}  {attempt.consumer}: {attempt.error}")
    if letter.fields:
        yield "other fields"
    for name_bytes, value_bytes in letter.fields.items():
        yield f"  {_name(name_bytes)} = {one_line(value_bytes.decode(errors='backslashreplace'))}"
    yield from _body(letter)


def _body(letter: DeadLetter) -> Iterator[str]:
    if letter.body is None:
        yield "message      none: the entry had no field 'message'"
        return
    yield f"message      {len(letter.body):,} bytes"
    try:
        text = letter.body.decode()
    except UnicodeDecodeError as error:
        yield f"It is not UTF-8 text: the first wrong byte is byte {error.start:,}. Wrong bytes are shown"
        yield "as \\xNN; --raw gives them as they are."
        text = letter.body.decode(errors="backslashreplace")
    yield printable(text)


def _name(name: bytes) -> str:
    return one_line(name.decode(errors="backslashreplace")) or "''"
