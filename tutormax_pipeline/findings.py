"""What a check found wrong, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Severity(StrEnum):
    """How bad it is."""

    #: Messages are lost or unaccounted for, or would be at the next mishap; or nothing works now.
    ERROR = "error"
    #: Nothing is lost; something will get in the way.
    WARNING = "warning"
    #: Good to know; nothing is wrong.
    NOTE = "note"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        check: name of the check that found it: the same for ever, for programs.
        severity: how bad it is.
        summary: what is wrong, with its figures.
        remedy: what to do next.
        channel: the channel it concerns; None where it is not about one.
        entry_ids: the entries concerned, the oldest ones where there are many.
    """

    check: str
    severity: Severity
    summary: str
    remedy: str
    channel: str | None = None
    entry_ids: tuple[str, ...] = ()
