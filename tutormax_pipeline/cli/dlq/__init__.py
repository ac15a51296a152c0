"""``tutormax dlq``: what failed and why; put it back, mend it, throw it away."""

from __future__ import annotations

import click

from tutormax_pipeline.cli.dlq.discard import discard
from tutormax_pipeline.cli.dlq.edit import edit
from tutormax_pipeline.cli.dlq.groups import groups
from tutormax_pipeline.cli.dlq.listing import list_letters
from tutormax_pipeline.cli.dlq.redrive import redrive
from tutormax_pipeline.cli.dlq.show import show

__all__ = ["dlq"]


@click.group()
def dlq() -> None:
    """Dead letters: messages that could not be stored.

    Only 'show' prints what is in a message. Nothing is changed without --yes.
    """


for command in (list_letters, groups, show, redrive, edit, discard):
    dlq.add_command(command)
