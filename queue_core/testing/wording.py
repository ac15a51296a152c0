"""How a failed expectation tells what was there instead."""

from __future__ import annotations

from collections.abc import Sequence

#: Messages or letters that a failure shows; the rest is counted.
_SHOWN = 10
_MOST_CHARACTERS = 300


def expectation(count: int | None, noun: str, where: str) -> str:
    """What was expected: ``exactly 2 messages in tutors``; at least one where no count is given."""
    number = "at least 1" if count is None else f"exactly {count}" if count else "no"
    plural = "" if count in (None, 1) else "s"
    return f"Expected {number} {noun}{plural} {where}"


def is_met(count: int | None, found: int) -> bool:
    """Whether so many are what was expected."""
    return found >= 1 if count is None else found == count


def listing(lines: Sequence[str]) -> str:
    """One line for each thing that was there."""
    if not lines:
        return "\n  nothing is there"
    shown = [f"\n  {line[:_MOST_CHARACTERS]}" for line in lines[:_SHOWN]]
    more = f"\n  ... and {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "".join(shown) + more
