"""``tutormax dlq edit``: mend a message and put it back."""

from __future__ import annotations

import os
import sys

import click

from queue_core import strict_json
from tutormax_pipeline.cli.dlq.choosing import LetterIdType
from tutormax_pipeline.cli.dlq.confirming import doing_it, saying_why
from tutormax_pipeline.cli.dlq.opening import opened_letters
from tutormax_pipeline.cli.login_name import login_name


@click.command(short_help="Mend a message and publish it again.")
@click.argument("letter_id", metavar="ID", type=LetterIdType())
@click.option(
    "--patch",
    required=True,
    help="JSON object with the fields of the data to set, null to remove one; - reads it from standard "
    "input. {} accepts the data as it stands.",
)
@saying_why
@doing_it
def edit(letter_id: str, patch: str, why: str, yes: bool) -> None:
    """Mend the data of the dead letter ID and publish its message again.

    The patch is a JSON merge patch (RFC 7396). The result must meet the contract of the channel's
    records, else nothing moves. The original is archived in the store.
    """
    changes = _changes(patch)
    if not yes:
        with opened_letters() as letters:
            letters.preview_edit(letter_id, changes)
        click.echo(f"Dead letter {letter_id} would be published so. Nothing was changed: --yes does it.")
        return
    with opened_letters(archived=True) as letters:
        entry_id = letters.edit(letter_id, changes, who=login_name(), why=why)
    click.echo(f"Published again as entry {entry_id}. The original is archived.")


def _changes(patch: str) -> dict[str, object]:
    text = sys.stdin.buffer.read() if patch == "-" else os.fsencode(patch)
    try:
        changes = strict_json.loads(text)
    except strict_json.StrictJSONError as error:
        raise click.BadParameter(str(error), param_hint="'--patch'") from None
    if not isinstance(changes, dict):
        raise click.BadParameter('must be a JSON object, such as {"rating": 5}', param_hint="'--patch'")
    return changes
