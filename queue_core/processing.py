"""From a batch of entries to outcomes: admitted, handed to the handler, and reported."""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from queue_core.admission import Admission
from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.entry import Delivery, Entry
from queue_core.fault import describe
from queue_core.giving_up import too_long
from queue_core.handlers import HandlerAnswerError, RegisteredHandler
from queue_core.intake import Batch
from queue_core.interruption import HandlerInterruption, Interruption, Why
from queue_core.lease import Lease
from queue_core.letter import Letter
from queue_core.outcomes import Rejection
from queue_core.putting_off import NO_FAULT_OF_THE_MESSAGE, PutOffError, PuttingOff
from queue_core.received import ReceivedMessage, received
from queue_core.reports import Done, Failed, Reports
from queue_core.stopping import Stop
from queue_core.watch import Call, Watch
from queue_core.worker_statistics import Count, Recorder

_log = logging.getLogger(__name__)

#: Frames between the place where a handler's error is caught and the handler's own frame.
_OUR_FRAMES = 4
_SAID_FALSE = "the handler returned False"


@dataclass(frozen=True, slots=True)
class _Admitted:
    entry: Entry
    message: ReceivedMessage


@dataclass(frozen=True, slots=True)
class _CallFailed:
    """A call that gave no answer, and why: in words that hold no value of a message."""

    error: str


class Processing:
    """Handles the batches of a worker.

    Attributes:
        being_handled: entries that the handler has at this moment.
    """

    def __init__(
        self,
        consumer: MessageConsumer,
        handlers: Mapping[Channel, RegisteredHandler],
        *,
        lease: Lease,
        watch: Watch,
        interruption: Interruption,
        reports: Reports,
        recorder: Recorder,
        stop: Stop,
        putting_off: PuttingOff,
        time_limit_seconds: float,
    ) -> None:
        self.being_handled: dict[Channel, list[str]] = {}
        self._consumer, self._handlers = consumer, handlers
        self._lease, self._watch, self._interruption = lease, watch, interruption
        self._reports, self._recorder, self._stop = reports, recorder, stop
        self._putting_off = putting_off
        self._time_limit_seconds = time_limit_seconds or math.inf
        self._admissions: dict[Channel, Admission] = {}

    def work(self, batch: Batch) -> None:
        """Handle a batch; on a stop the rest of it stays in hand.

        Raises:
            QueueUnavailableError: Redis is away; what was not reported stays in hand, or is kept.
            PutOffError: the handler lacks what it needs; its messages stay in hand.
            HandlerInterruption: the handler was ended by a stop; its message stays in hand.
            BaseException: what a handler raised that is no ``Exception``, such as SystemExit.
        """
        channel = batch.channel
        admitted = self._admit(channel, batch.entries, batch.received_at)
        if self._handlers[channel].batch and len(admitted) > 1:
            admitted = self._handle_together(channel, admitted)
        for one in admitted:
            if self._stop():
                return
            if self._lease.holds(channel, one.entry.id):
                self._settle(channel, [one], self._call(channel, [one]))

    def _admit(
        self, channel: Channel, entries: Sequence[Entry], received_at: float | None = None
    ) -> list[_Admitted]:
        if channel not in self._admissions:
            self._admissions[channel] = Admission(self._consumer.client, channel)
        admit, admitted, letters = self._admissions[channel], [], []
        for entry in entries:
            message = admit(entry, received_at=received_at)
            if isinstance(message, Rejection):
                letters.append(Letter(entry, message))
                _log.error("Entry %s of %s is a dead letter: %s", entry.id, channel, message.reason.value)
            else:
                admitted.append(_Admitted(entry, received(entry, message)))
        if letters:
            self._lease.drop(channel, [letter.entry.id for letter in letters])
            self._recorder.count(channel, Count.DEAD, self._consumer.dead_letter(channel, letters))
        return admitted

    def _handle_together(self, channel: Channel, admitted: list[_Admitted]) -> list[_Admitted]:
        """Those of a batch that are to be tried one by one, because it failed as a whole."""
        admitted = [one for one in admitted if self._lease.holds(channel, one.entry.id)]
        if self._stop() or not admitted:
            return []
        answers = self._call(channel, admitted)
        if isinstance(answers, list) and any(answers):
            self._settle(channel, admitted, answers)
            return []
        error = _SAID_FALSE if isinstance(answers, list) else answers.error
        _log.warning(
            "A batch of %d messages of %s failed, each is tried alone: %s", len(admitted), channel, error
        )
        # Read anew, as the handler may have changed what it was given; not first, as that could expire.
        return self._admit(channel, [one.entry._replace(delivery=Delivery.AGAIN) for one in admitted])

    def _settle(self, channel: Channel, admitted: list[_Admitted], answers: list[bool] | _CallFailed) -> None:
        if isinstance(answers, _CallFailed):
            error, answers = answers.error, [False] * len(admitted)
        else:
            error = _SAID_FALSE
        # What another has taken over, or was given up, is no longer for us to tell of.
        held = [
            (one, done)
            for one, done in zip(admitted, answers, strict=True)
            if self._lease.holds(channel, one.entry.id)
        ]
        done_ids = [one.entry.id for one, done in held if done]
        failed = [one for one, done in held if not done]
        self._lease.drop(channel, [one.entry.id for one, _ in held])
        reports: list[Done | Failed] = [Done(channel, done_ids)] if done_ids else []
        reports += [Failed(channel, one.entry, one.message, error) for one in failed]
        self._reports.tell(*reports)

    def _call(self, channel: Channel, admitted: list[_Admitted]) -> list[bool] | _CallFailed:
        handler, messages = self._handlers[channel], [one.message for one in admitted]
        started = time.monotonic()
        entry_ids = [one.entry.id for one in admitted]
        limit_seconds = self._time_limit_seconds * len(admitted)
        call = Call(channel, entry_ids, started + limit_seconds, limit_seconds)
        self.being_handled = {channel: entry_ids}
        try:
            with self._watch.over(call):
                answers: list[bool] | _CallFailed = self._interruption.run(
                    lambda: handler(messages), call=call
                )
        except HandlerInterruption:
            answers = _CallFailed(too_long(limit_seconds))
        except HandlerAnswerError as error:
            answers = _CallFailed(str(error))
        except NO_FAULT_OF_THE_MESSAGE as error:
            if self._interruption.delivered is None:
                self.being_handled = {}
                raise PutOffError(channel, error) from error
            answers = _CallFailed(describe(error, within=_OUR_FRAMES))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is this message's and not its neighbours'
            answers = _CallFailed(describe(error, within=_OUR_FRAMES))
        # Whatever a handler made of its interruption, with nothing done that is what ended it.
        interrupted = self._interruption.delivered
        if interrupted is not None and not (isinstance(answers, list) and any(answers)):
            if interrupted is Why.STOP:
                self.being_handled = {}
                raise HandlerInterruption(Why.STOP)
            answers = _CallFailed(too_long(limit_seconds))
        elif isinstance(answers, list):
            self._putting_off.over(channel)
        self.being_handled = {}
        self._recorder.called(channel, time.monotonic() - started)
        return answers
