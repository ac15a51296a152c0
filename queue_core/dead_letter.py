"""Dead letters: look at them, put them back, mend them, throw them away.

    letters = DeadLetters(client)
    letters.groups()                                              # what is wrong, biggest first
    letters.redrive(LetterFilter(reason="rejected"))              # what it would do
    letters.redrive(LetterFilter(reason="rejected"), dry_run=False)

Each letter moves in one atomic step, or stays. Of two operators who want the same letter one gets it,
and the other's report counts it as gone. A letter's format is in ``letter``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime

from queue_core.burial import bury
from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient
from queue_core.errors import (
    ConfigurationError,
    EditRefusedError,
    LetterGoneError,
    QueueFullError,
    QueueUnavailableError,
)
from queue_core.letter import DeadLetter, Letter
from queue_core.letter_archive import ArchiveAction, LetterArchive
from queue_core.letter_edit import edited
from queue_core.letter_filter import LetterFilter
from queue_core.letter_groups import LetterGroup, grouped
from queue_core.letter_moves import (
    Move,
    MoveOutcome,
    as_ours,
    move_back,
    raise_first,
    raise_trouble,
    remove,
)
from queue_core.letter_pages import PAGE_LETTERS, pages, pages_of
from queue_core.letter_reports import NAMED_LETTERS, DiscardReport, RedriveReport
from queue_core.outcomes import Message, Rejection
from queue_core.pace import Pace

__all__ = ["DeadLetters", "Letter", "LetterFilter", "bury"]

#: How often a message may be redriven, unless another number is given.
MAX_REDRIVES = 5

#: Which letters: a filter, or ids.
Chosen = LetterFilter | Iterable[str]
#: Why a message is not fit for its channel; None where it is.
Check = Callable[[Channel, Message], Rejection | None]

_ALL = LetterFilter()


def _never() -> bool:
    return False


def _quiet(_: object) -> None:
    pass


class DeadLetters:
    """The dead letters of all channels.

    Args:
        client: the connection.
        archive: where letters are kept before they are edited or discarded; neither is possible without.
        check: looks at an edited message before anything moves; any readable one will do when not given.
        now: the present, to which ages are taken.
    """

    def __init__(
        self,
        client: RedisClient,
        *,
        archive: LetterArchive | None = None,
        check: Check | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._client, self._archive, self._check, self._now = client, archive, check, now

    def iterate(
        self, chosen: Chosen = _ALL, limit: int | None = None, *, bodies: bool = True
    ) -> Iterator[DeadLetter]:
        """Letters that are there now, oldest first, read as they are wanted.

        Args:
            chosen: which; all when not given.
            limit: most letters.
            bodies: False where messages are not looked at, which spares reading them.

        Raises:
            QueueUnavailableError: Redis is away.
        """
        left = limit
        for page in self._pages(LetterFilter.of(chosen), bodies=bodies, most=limit):
            wanted = page[:left]
            yield from wanted
            left = None if left is None else left - len(wanted)
            if left == 0:
                return

    def count(self, chosen: Chosen = _ALL) -> int:
        """How many there are; costs the same at any number where only the channel is given."""
        wanted, keys = LetterFilter.of(chosen), self._client.keys
        if not wanted.only_channel:
            return sum(len(page) for page in self._pages(wanted, bodies=False))
        with self._client.errors():
            length = self._client.redis.xlen(keys.dead_letter)
            if wanted.channel is None or not length:
                return length
            return int(self._client.redis.hget(keys.dead_letter_counts, wanted.channel.name) or 0)

    def get(self, letter_id: str) -> DeadLetter:
        """One letter, whole.

        Raises:
            LetterGoneError: it is not there.
            ValueError: that is no id.
        """
        for letter in self.iterate([letter_id]):
            return letter
        raise _gone(letter_id)

    def groups(self, chosen: Chosen = _ALL) -> list[LetterGroup]:
        """What is wrong with how many of them; the biggest group first."""
        return grouped(self.iterate(chosen, bodies=False))

    def redrive(
        self,
        chosen: Chosen,
        *,
        limit: int | None = None,
        per_second: float | None = None,
        dry_run: bool = True,
        max_redrives: int = MAX_REDRIVES,
        progress: Callable[[RedriveReport], None] = _quiet,
        stop: Callable[[], bool] = _never,
    ) -> RedriveReport:
        """Publish the messages of letters again, each as it was received and under its own message id.

        What was redriven is no longer there, so doing the same again goes on where this ended. A letter that
        Redis cannot put back stays, is counted as failed, and holds up no other.

        Args:
            chosen: which.
            limit: most messages to redrive.
            per_second: most messages to redrive in a second.
            dry_run: only count.
            max_redrives: a message redriven as often before stays.
            progress: called with the report so far, after every few hundred letters.
            stop: asked before every few hundred letters; True ends it.

        Raises:
            QueueUnavailableError: Redis is away; what was redriven until then stays so.
        """
        wanted, pace, report = LetterFilter.of(chosen), Pace(per_second), RedriveReport(dry_run)
        for page in self._pages(wanted, bodies=False, most=pace.chunk(PAGE_LETTERS)):
            report.stopped = stop()
            if report.stopped or report.redriven == limit:
                break
            ready = _redrivable(page, report, max_redrives)
            ready = ready[: None if limit is None else limit - report.redriven]
            if dry_run:
                report.redriven += len(ready)
            else:
                moves = move_back(self._client, ready)
                _tally(self._client, report, moves)
                progress(report)
                raise_trouble(self._client, moves)
                pace.wait(report.redriven, stop)
        report.left = self.count(wanted)
        return report

    def preview_edit(self, letter_id: str, patch: Mapping[str, object]) -> bytes:
        """The message as :meth:`edit` would publish it; refused as there, and changes nothing."""
        return self._edited(self.get(letter_id), patch)

    def edit(self, letter_id: str, patch: Mapping[str, object], *, who: str, why: str) -> str:
        """Mend the data of a letter's message and publish it again; the original is archived first.

        Args:
            letter_id: the letter.
            patch: JSON merge patch (RFC 7396) of the data: fields to set, None to remove one. An empty one
                accepts the data as it stands, with a checksum made anew.
            who: the operator.
            why: the reason, for the archive.

        Returns:
            The new entry's id. Message id and timestamp are as before.

        Raises:
            LetterGoneError: it is not there.
            EditRefusedError: the message cannot be edited, or would still fail. Nothing moved.
            QueueFullError: there is no room in the channel's queue. Nothing moved.
            ValueError: ``who`` or ``why`` is empty.
        """
        letter = self.get(letter_id)
        body, archive = self._edited(letter, patch), self._archive_for(who, why)
        receipt = archive.keep([letter], ArchiveAction.EDITED, who=who, why=why)
        (move,) = move_back(self._client, [letter], body=body)
        raise_trouble(self._client, [move])
        if fault := as_ours(self._client, move):
            archive.withdraw(receipt, [letter_id])
            raise EditRefusedError(
                f"Dead letter {letter_id} stays as it is: {fault} Discard it, and publish its record anew."
            )
        if move.outcome is not MoveOutcome.MOVED:
            archive.withdraw(receipt, [letter_id])
            raise _gone(letter_id) if move.outcome is MoveOutcome.GONE else self._full(letter)
        return move.entry_id

    def discard(
        self,
        chosen: Chosen,
        *,
        who: str,
        why: str,
        dry_run: bool = True,
        progress: Callable[[DiscardReport], None] = _quiet,
        stop: Callable[[], bool] = _never,
    ) -> DiscardReport:
        """Archive letters, then remove them.

        Args:
            chosen: which.
            who: the operator.
            why: the reason, for the archive.
            dry_run: only count.
            progress: called with the report so far, after every few hundred letters.
            stop: asked before every few hundred letters; True ends it.

        Raises:
            QueueUnavailableError: Redis is away; what was discarded until then stays so.
            ValueError: ``who`` or ``why`` is empty.
        """
        wanted, report, archive = LetterFilter.of(chosen), DiscardReport(dry_run), self._archive_for(who, why)
        for page in self._pages(wanted, bodies=not dry_run):
            report.stopped = stop()
            if report.stopped:
                break
            if dry_run:
                report.discarded += len(page)
            elif page:
                receipt = archive.keep(page, ArchiveAction.DISCARDED, who=who, why=why)
                moves = remove(self._client, page)
                gone = [move.letter.id for move in moves if move.outcome is MoveOutcome.GONE]
                archive.withdraw(receipt, gone)
                report.gone += len(gone)
                report.discarded += sum(move.outcome is MoveOutcome.MOVED for move in moves)
                progress(report)
                raise_first(self._client, moves)
        report.left = self.count(wanted)
        return report

    def _pages(
        self, wanted: LetterFilter, *, bodies: bool, most: int | None = None
    ) -> Iterator[list[DeadLetter]]:
        # A page may be empty: whoever goes through many that do not match can still be stopped.
        now, bodies = self._now(), bodies or wanted.text is not None
        size = min(most or PAGE_LETTERS, PAGE_LETTERS)
        read = (
            pages(self._client, bodies=bodies, most=size)
            if wanted.ids is None
            else pages_of(self._client, wanted.ids, bodies=bodies, most=size)
        )
        for page in read:
            yield [letter for letter in page if wanted.matches(letter, now)]

    def _edited(self, letter: DeadLetter, patch: Mapping[str, object]) -> bytes:
        if letter.body is None or not letter.redrivable:
            raise EditRefusedError(
                f"Dead letter {letter.id} has no message that could be published again: discard it, and "
                "publish its record anew."
            )
        channel = QueueChannels.find(letter.channel)
        result = edited(
            letter.body,
            patch,
            channel=self._client.keys.stream(channel),
            max_bytes=self._client.settings.max_message_size_bytes,
        )
        if isinstance(result, str):
            raise EditRefusedError(f"Dead letter {letter.id} stays as it is: {result}.")
        body, message = result
        fault = self._check(channel, message) if self._check else None
        if isinstance(fault, Rejection):
            words = "; ".join(fault.errors)
            raise EditRefusedError(
                f"Dead letter {letter.id} stays as it is: edited so, the message would still fail: {words}."
            )
        return body

    def _archive_for(self, who: str, why: str) -> LetterArchive:
        if not who.strip() or not why.strip():
            raise ValueError("who discards or edits a letter, and why, must be said: neither may be empty")
        if self._archive is None:
            raise ConfigurationError(
                "Letters are edited and discarded only with an archive: give DeadLetters one."
            )
        return self._archive

    def _full(self, letter: DeadLetter) -> QueueFullError:
        return QueueFullError(
            f"Queue {letter.channel} is full ({self._client.settings.queue_maxlen} messages, "
            f"REDIS_QUEUE_MAXLEN); dead letter {letter.id} stays as it is. "
            "Edit it again once they are drained."
        )


def _redrivable(page: Iterable[DeadLetter], report: RedriveReport, max_redrives: int) -> list[DeadLetter]:
    """Those that may be tried; the others are counted."""
    ready = []
    for letter in page:
        if not letter.redrivable:
            report.unredrivable += 1
        elif letter.redrives >= max_redrives:
            report.capped += 1
        elif letter.channel in report.full:
            report.full[letter.channel] += 1
        else:
            ready.append(letter)
    return ready


def _tally(client: RedisClient, report: RedriveReport, moves: Iterable[Move]) -> None:
    for move in moves:
        channel = move.letter.channel
        fault = as_ours(client, move)
        if fault and not isinstance(fault, QueueUnavailableError):
            report.failed += 1
            if report.failed <= NAMED_LETTERS:
                report.failures[move.letter.id] = str(fault)
        report.redriven += move.outcome is MoveOutcome.MOVED
        report.gone += move.outcome is MoveOutcome.GONE
        if move.outcome is MoveOutcome.FULL:
            report.full[channel] = report.full.get(channel, 0) + 1


def _gone(letter_id: str) -> LetterGoneError:
    return LetterGoneError(
        f"There is no dead letter {letter_id}: somebody has moved it, or it never was. "
        "See 'tutormax dlq list'."
    )
