"""Foreign text for a terminal, which must not obey it."""

from __future__ import annotations

_KEPT = frozenset("\n\t")


def printable(text: str) -> str:
    """The text with every character that is none to look at written as an escape."""
    if text.isprintable():
        return text
    return "".join(one if one.isprintable() or one in _KEPT else ascii(one)[1:-1] for one in text)


def one_line(text: str) -> str:
    """The same, on one line."""
    return printable(text).replace("\n", "\\n").replace("\t", "\\t")
