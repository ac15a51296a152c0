"""What redriving and discarding did, or would do."""

from __future__ import annotations

from dataclasses import dataclass, field

#: Letters that a report names at most.
NAMED_LETTERS = 100


@dataclass(slots=True)
class RedriveReport:
    """What a redrive did; of a dry run, what it would do.

    Attributes:
        dry_run: nothing was changed.
        redriven: messages that are back in their queues.
        gone: letters that somebody else moved first.
        capped: letters left because their message was redriven often enough.
        unredrivable: letters left because they have no message, too many other fields, or no channel of ours.
        full: letters left because their queue is full, by channel.
        failed: letters left because Redis could not put them back, as one of several thousand fields.
        failures: of the first ``NAMED_LETTERS`` of these, what it answered, by letter id.
        left: letters that still match, all of the above that were left and new ones included.
        stopped: it was asked to stop.
    """

    dry_run: bool
    redriven: int = 0
    gone: int = 0
    capped: int = 0
    unredrivable: int = 0
    full: dict[str, int] = field(default_factory=dict)
    failed: int = 0
    failures: dict[str, str] = field(default_factory=dict)
    left: int = 0
    stopped: bool = False


@dataclass(slots=True)
class DiscardReport:
    """What discarding did; of a dry run, what it would do.

    Attributes:
        dry_run: nothing was changed.
        discarded: letters that are archived and removed.
        gone: letters that somebody else moved first.
        left: letters that still match, new ones included.
        stopped: it was asked to stop.
    """

    dry_run: bool
    discarded: int = 0
    gone: int = 0
    left: int = 0
    stopped: bool = False
