"""Whether a command does what it says, or only says it."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from tutormax_pipeline.cli.text import TextType


def doing_it(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--yes``, without which it changes nothing, and ``--dry-run``, which says so."""

    @wraps(command)
    def with_answer(yes: bool, dry_run: bool, **options: Any) -> None:
        if yes and dry_run:
            raise click.UsageError("Give --yes or --dry-run, not both.")
        command(yes=yes, **options)

    said = click.option("--dry-run", is_flag=True, help="Only say what it would do; the default.")(
        with_answer
    )
    return click.option("--yes", is_flag=True, help="Do it.")(said)


def saying_why(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command ``--why``, which may not be empty."""

    def said(_context: click.Context, _option: click.Parameter, why: str) -> str:
        if not why.strip():
            raise click.BadParameter("say the reason")
        return why

    option = click.option(
        "--why", required=True, type=TextType(), callback=said, help="The reason, for the archive."
    )
    return option(command)
