"""Mending many dead letters alike: one patch, each letter checked before it moves. Free of Dagster."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from queue_core.dead_letter import DeadLetters
from queue_core.errors import EditRefusedError, LetterGoneError, QueueFullError
from queue_core.letter import DeadLetter
from queue_core.letter_filter import LetterFilter
from queue_core.pace import Pace

#: Refusals that are kept with their words.
_WORDS_KEPT = 20


@dataclass(slots=True)
class MendReport:
    """What mending did; of a dry run, what it would do.

    Attributes:
        dry_run: nothing was changed.
        mended: messages that are back in their queues, their originals archived.
        gone: letters that somebody else moved first.
        capped: letters left because their message was redriven often enough.
        unredrivable: letters left because they have no message that could be published again.
        refused: letters left because their message would still fail.
        refusals: letter id -> why it was refused, of the first of them; never a value of a message.
        full: letters left because their queue is full, by channel.
        left: letters that still match.
        stopped: it was asked to stop.
    """

    dry_run: bool
    mended: int = 0
    gone: int = 0
    capped: int = 0
    unredrivable: int = 0
    refused: int = 0
    refusals: dict[str, str] = field(default_factory=dict)
    full: dict[str, int] = field(default_factory=dict)
    left: int = 0
    stopped: bool = False


@dataclass(frozen=True, slots=True)
class Mending:
    """How to mend.

    Attributes:
        patch: JSON merge patch of the data.
        who: the operator.
        why: the reason, for the archive.
        limit: most letters to mend.
        per_second: most letters to mend in a second.
        max_redrives: a message redriven as often before stays.
        dry_run: only check.
    """

    patch: Mapping[str, object]
    who: str
    why: str
    limit: int | None
    per_second: float | None
    max_redrives: int
    dry_run: bool


def mend(
    letters: DeadLetters,
    chosen: LetterFilter,
    mending: Mending,
    *,
    progress: Callable[[MendReport], None],
    stop: Callable[[], bool],
) -> MendReport:
    """Edit each letter and publish its message again; what would still fail stays as it is.

    Args:
        letters: where they are.
        chosen: which.
        mending: how.
        progress: called with the report so far, after each letter.
        stop: asked before each letter; True ends it.

    Raises:
        QueueUnavailableError, StoreUnavailableError: Redis or the archive is away; what was mended until
            then stays so.
    """
    report, pace = MendReport(mending.dry_run), Pace(None if mending.dry_run else mending.per_second)
    for letter in letters.iterate(chosen, bodies=False):
        report.stopped = stop()
        if report.stopped or report.mended == mending.limit:
            break
        _mend_one(letters, letter, mending, report)
        progress(report)
        pace.wait(report.mended, stop)
    report.left = letters.count(chosen)
    return report


def _mend_one(letters: DeadLetters, letter: DeadLetter, mending: Mending, report: MendReport) -> None:
    if not letter.redrivable:
        report.unredrivable += 1
    elif letter.redrives >= mending.max_redrives:
        report.capped += 1
    elif letter.channel in report.full:
        report.full[letter.channel] += 1
    else:
        try:
            if mending.dry_run:
                letters.preview_edit(letter.id, mending.patch)
            else:
                letters.edit(letter.id, mending.patch, who=mending.who, why=mending.why)
        except LetterGoneError:
            report.gone += 1
        except EditRefusedError as error:
            report.refused += 1
            if len(report.refusals) < _WORDS_KEPT:
                report.refusals[letter.id] = str(error)
        except QueueFullError:
            report.full[letter.channel] = 1
        else:
            report.mended += 1
