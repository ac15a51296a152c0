"""Text given on the command line, which may be any bytes."""

from __future__ import annotations

import click


class TextType(click.ParamType[str]):
    """Text that can be kept: the store and JSON hold UTF-8 only."""

    name = "text"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        """Refuse bytes that are none; they arrive here as lone surrogates."""
        try:
            value.encode()
        except UnicodeEncodeError:
            self.fail("must be UTF-8 text; check the terminal's encoding", param, ctx)
        return value
