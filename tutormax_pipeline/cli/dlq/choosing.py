"""Which dead letters a command is about: the same options on each."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from queue_core.letter_filter import LetterFilter
from queue_core.outcomes import Reason
from tutormax_pipeline.cli.age import AgeType
from tutormax_pipeline.cli.channel_argument import ChannelType


class LetterIdType(click.ParamType[str]):
    """The id of a dead letter."""

    name = "id"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse what can be no id."""
        try:
            LetterFilter(ids=(value,))
        except ValueError as error:
            self.fail(str(error), param, ctx)
        return value


_REASONS = [one.value for one in Reason]

_GIVEN_AS_THEY_ARE = (
    "channel",
    "reason",
    "error",
    "fault",
    "message_id",
    "older_than_seconds",
    "newer_than_seconds",
)

_OPTIONS = (
    click.option("--channel", type=ChannelType(), help="Those of this channel."),
    click.option(
        "--reason",
        type=click.Choice(_REASONS),
        metavar="REASON",
        help=f"Those that failed so: {', '.join(_REASONS)}.",
    ),
    click.option("--error", help="Those with this text in an error."),
    click.option(
        "--fault", help="Those whose first error is this one, with # for any number and * for any place."
    ),
    click.option("--message-id", help="Those whose message has this id."),
    click.option("--id", "ids", multiple=True, type=LetterIdType(), help="This letter; may be repeated."),
    click.option("--text", help="Those with this text in their message."),
    click.option(
        "--older-than", "older_than_seconds", type=AgeType(), help="Failed longer ago: 15m, 2h, 7d."
    ),
    click.option("--newer-than", "newer_than_seconds", type=AgeType(), help="Failed less long ago."),
)


def choosing_letters(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options of a filter; it gets the filter, as ``chosen``."""

    @wraps(command)
    def with_filter(ids: tuple[str, ...], text: str | None, **options: Any) -> None:
        given = {name: options.pop(name) for name in _GIVEN_AS_THEY_ARE}
        # As bytes, since a message need not be text.
        wanted = None if text is None else os.fsencode(text)
        command(chosen=LetterFilter(ids=ids or None, text=wanted, **given), **options)

    decorated: Callable[..., None] = with_filter
    for option in reversed(_OPTIONS):
        decorated = option(decorated)
    return decorated
