"""A server's answers in its own words, without what they quote of a command: that may be a message."""

from __future__ import annotations

import re

#: Before it redis-py puts the command that failed in a pipeline.
_OF_A_PIPELINE = " of pipeline caused error: "
#: A server that does not know a command adds the command's arguments.
_UNKNOWN_COMMAND = re.compile(r"unknown command ['`][\w.|-]*['`](?=, with args beginning with)")


def answer_of(error: Exception) -> str:
    """The server's own words, without a part of the command."""
    words = str(error)
    if unknown := _UNKNOWN_COMMAND.search(words):
        return unknown[0]
    return words.rpartition(_OF_A_PIPELINE)[2]


def quote_nothing(error: Exception) -> None:
    """Reduce an error to :func:`answer_of` it: it goes on as a cause, and so into tracebacks and logs."""
    words, answer = str(error), answer_of(error)
    if words != answer:
        error.args = (answer,)


def is_unknown_command(error: Exception) -> bool:
    """Whether the server does not have the command, under this name."""
    return answer_of(error).startswith("unknown command")
