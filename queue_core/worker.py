"""A worker: takes messages of some channels and hands each to that channel's handler. No Dagster needed.

    worker = QueueWorker([QueueChannels.TUTORS])

    @worker.register_handler(QueueChannels.TUTORS)
    def process_tutor(data):
        save(data["tutor_id"], data)
        return True

    worker.run()  # until SIGINT or SIGTERM

**At least once.** A message is acknowledged after its handler returned, and is not handled again then. A
worker that is killed in between, or that loses its message to another, has it handled twice: there is no
ledger here as the Dagster drain has one. A handler whose effect must happen once keys it on ``message.id``.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TypeVar, overload

from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient, get_redis_client
from queue_core.consumer import MessageConsumer
from queue_core.errors import AccessDeniedError, ConfigurationError, QueueError, QueueUnavailableError
from queue_core.giving_up import GivingUp
from queue_core.handlers import BatchHandler, Handler, RegisteredHandler
from queue_core.intake import Batch, Intake
from queue_core.interruption import HandlerInterruption, Interruption, Why
from queue_core.lease import Lease
from queue_core.processing import Processing
from queue_core.putting_off import PutOffError, PuttingOff
from queue_core.reclaim import reclaim
from queue_core.reconnecting import Reconnecting
from queue_core.reports import Reports
from queue_core.stopping import Stop, stop_on_signals
from queue_core.watch import Watch
from queue_core.worker_options import channels_of, number, whole_number
from queue_core.worker_statistics import Recorder, WorkerStatistics

_H = TypeVar("_H", bound=Handler)
_B = TypeVar("_B", bound=BatchHandler)

_log = logging.getLogger(__name__)


class QueueWorker:
    """Handles the messages of some channels.

    Of each channel due retries and what others left come first, then new messages; channels take turns. A
    handler's False or exception is tried again after ``REDIS_RETRY_BACKOFF_MS`` x 2^(n-1), at most
    ``REDIS_MAX_RETRIES`` times, then the message is a dead letter (``retries_exhausted``). What cannot be
    read, has expired, or ended its process again and again is a dead letter at once.

    While a handler runs, a thread renews what the worker has in hand, every third of
    ``REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS``, so that no other takes it over. A call past the time limit
    is interrupted and counts as a failed attempt. Python can interrupt only what runs in the main thread, and
    not a long call of a C extension: elsewhere the message is given up over the handler's head, so that
    another worker may try it while this one is stuck until the handler ends.

    A handler that lacks what it needs (its database is away) raises
    :class:`~queue_core.errors.HandlerUnavailableError`; a QueueFullError or QueueUnavailableError of its own
    publishing says the same. That is no fault of the message: nothing is counted, what is in hand is given
    back, and the channel waits, each time longer, up to 5 seconds.

    A handler may start processes: in one that is forked, signals do what they usually do. A handler may set
    SIGALRM for itself; the worker interrupts by SIGURG.

    Args:
        channels: one or more, as channels, names or keys.
        client: the connection; one from the environment when not given.
        batch_size: messages read at once; ``REDIS_WORKER_BATCH_SIZE`` when not given.
        poll_interval_ms: ms between looks for due retries; ``REDIS_WORKER_POLL_INTERVAL_MS``. New messages
            are waited for, and come at once.
        time_limit_seconds: longest time of a handler for one message, of a batch handler for each of its
            batch; 0 is no limit; ``REDIS_WORKER_TIME_LIMIT_SECONDS``.
        grace_seconds: how long a handler may go on after a stop; then it is interrupted and its message
            given back; ``REDIS_WORKER_GRACE_SECONDS``.
        name: the consumer's name in the group; unique when not given.

    Raises:
        ConfigurationError: no channel, an unknown one, or a setting out of its range.
    """

    def __init__(
        self,
        channels: Channel | str | Iterable[Channel | str],
        *,
        client: RedisClient | None = None,
        batch_size: int | None = None,
        poll_interval_ms: int | None = None,
        time_limit_seconds: float | None = None,
        grace_seconds: float | None = None,
        name: str | None = None,
    ) -> None:
        self.channels = channels_of(channels)
        self.client = client or get_redis_client()
        settings = self.client.settings
        most = whole_number("batch_size", batch_size, settings.worker_batch_size)
        poll_ms = whole_number("poll_interval_ms", poll_interval_ms, settings.worker_poll_interval_ms)
        limit = number("time_limit_seconds", time_limit_seconds, settings.worker_time_limit_seconds, least=0)
        self._grace_seconds = number("grace_seconds", grace_seconds, settings.worker_grace_seconds, least=0)
        self._consumer = MessageConsumer(self.client, name)
        self._handlers: dict[Channel, RegisteredHandler] = {}
        self._stop, self._interruption = Stop(), Interruption()
        self._lease, self._recorder = Lease(self._consumer), Recorder(self.channels)
        self._intake = Intake(
            self._consumer,
            self.channels,
            self._lease,
            self._recorder,
            batch_size=most,
            poll_seconds=poll_ms / 1000,
        )
        self._putting_off = PuttingOff()
        self._reports = Reports(self._consumer, self._recorder, self._intake.postponed)
        self._watch = Watch(
            self._lease,
            self._interruption,
            self._stop,
            lease_seconds=settings.worker_max_processing_time_seconds,
            grace_seconds=self._grace_seconds,
            look_seconds=(limit or 1) / 10,
            taken_over=self._reports.taken_over,
            give_up=GivingUp(self._consumer, self._lease, self._recorder, unbegun=self._intake.unbegun),
        )
        self._processing = Processing(
            self._consumer,
            self._handlers,
            lease=self._lease,
            watch=self._watch,
            interruption=self._interruption,
            reports=self._reports,
            recorder=self._recorder,
            stop=self._stop,
            putting_off=self._putting_off,
            time_limit_seconds=limit,
        )
        self._at_work = threading.Lock()
        self._start_over_first = False

    @property
    def name(self) -> str:
        """The consumer's name in the group."""
        return self._consumer.name

    @overload
    def register_handler(self, channel: Channel | str, handler: None = None) -> Callable[[_H], _H]: ...

    @overload
    def register_handler(self, channel: Channel | str, handler: _H) -> _H: ...

    def register_handler(self, channel: Channel | str, handler: _H | None = None) -> _H | Callable[[_H], _H]:
        """Have a channel's messages handled one by one; also a decorator, without ``handler``.

        Args:
            channel: one of the worker's channels.
            handler: takes the ``data`` dict, or with two parameters also the message
                (:class:`~queue_core.received.ReceivedMessage`). It returns True where the message is done;
                False, or an exception, has it tried again, but for a HandlerUnavailableError, which puts the
                channel off. None is done too, and is remarked once in the log. Any other answer counts as a
                failed attempt.

        Returns:
            The handler.

        Raises:
            ConfigurationError: the channel is not this worker's or has a handler already, or the handler
                cannot be called so, is async or a generator.
        """
        if handler is None:
            return lambda given: self.register_handler(channel, given)
        self._register(channel, handler, batch=False)
        return handler

    @overload
    def register_batch_handler(self, channel: Channel | str, handler: None = None) -> Callable[[_B], _B]: ...

    @overload
    def register_batch_handler(self, channel: Channel | str, handler: _B) -> _B: ...

    def register_batch_handler(
        self, channel: Channel | str, handler: _B | None = None
    ) -> _B | Callable[[_B], _B]:
        """Have a channel's messages handled many at a time; also a decorator, without ``handler``.

        Args:
            channel: one of the worker's channels.
            handler: takes a list of data dicts, of 1 to ``batch_size``, or with two parameters also the
                list of messages. True: all are done. A list of bools, one for each in order: those with
                True are done, the others are tried again. False for all, an exception or the time limit:
                the batch failed as a whole, and each of its messages is tried at once in a list of its own,
                so that only those which fail alone count a failed attempt. So a batch should take effect
                as a whole or not at all. None as for :meth:`register_handler`.

        Returns:
            The handler.

        Raises:
            ConfigurationError: as :meth:`register_handler`.
        """
        if handler is None:
            return lambda given: self.register_batch_handler(channel, given)
        self._register(channel, handler, batch=True)
        return handler

    def run(self) -> None:
        """Work until :meth:`stop`, SIGINT or SIGTERM; signals only where this is the main thread.

        Then the message in hand is finished, the rest is given back and the consumer leaves the group. A
        second signal, or the end of the grace time, interrupts the handler and gives back its message too,
        whatever the handler makes of that. Where it does not end a second later, the signal does what it
        usually does: SIGTERM ends the process. Only a long call of a C extension outlasts that.

        While Redis is away, or a handler lacks what it needs, nothing is counted, and this waits for as long
        as it takes.

        Raises:
            ConfigurationError: a channel has no handler, or this worker runs already.
            AccessDeniedError: Redis refuses the user, the password or a command.
            QueueError: any other answer that waiting does not change.
        """
        reconnecting = Reconnecting()
        with self._working():
            _log.info("Working on %s as %s.", ", ".join(map(str, self.channels)), self.name)
            while not self._stop():
                try:
                    self._rounds(reconnecting)
                except AccessDeniedError:
                    raise
                except QueueUnavailableError as trouble:
                    self._start_over_first = True
                    reconnecting.pause(trouble, self._stop)

    def run_once(self) -> int:
        """Work on what waits, is due or was left, and no longer; never waits. For cron, and for tests.

        Reads as many new messages of each channel as waited when it began, at most. SIGINT and SIGTERM end it
        as they end :meth:`run`; then they do what they usually do, so that whoever calls this again and
        again ends too.

        Returns:
            Messages processed: handled and acknowledged. The others are in :meth:`statistics`.

        Raises:
            ConfigurationError, AccessDeniedError: as :meth:`run`.
            QueueUnavailableError: Redis is away. What was in hand is taken up again when it is stale.
            HandlerUnavailableError, QueueFullError, QueueUnavailableError: a handler raised it. The messages
                of its channel were given back, those of the others were worked on.
        """
        before = self.statistics().total.processed
        lacking: PutOffError | None = None
        with self._working(then_raise_signal=True):
            try:
                self._start_over()
                self._intake.limit_to_what_is_there()
                while not self._stop() and (batch := self._intake.next(wait=False)):
                    if put_off := self._work(batch):
                        lacking = lacking or put_off
                        self._intake.pause(put_off.channel, math.inf)
            except QueueUnavailableError:
                self._start_over_first = True
                raise
            finally:
                self._intake.unlimited()
        if lacking is not None:
            raise lacking.trouble
        return self.statistics().total.processed - before

    def stop(self) -> None:
        """Ask for the end, from any thread or a handler; a run that has not begun ends as it begins."""
        self._stop.request()

    def statistics(self) -> WorkerStatistics:
        """What was done until now; from any thread."""
        return self._recorder.snapshot()

    def _register(self, channel: Channel | str, handler: Callable[..., object], *, batch: bool) -> None:
        found = QueueChannels.find(channel)
        if found not in self.channels:
            names = ", ".join(one.name for one in self.channels)
            raise ConfigurationError(f"{found} is not a channel of this worker, which has {names}.")
        if found in self._handlers:
            raise ConfigurationError(f"{found} has a handler already; a channel has one.")
        self._handlers[found] = RegisteredHandler(handler, batch=batch)

    @contextmanager
    def _working(self, *, then_raise_signal: bool = False) -> Iterator[None]:
        missing = [channel.name for channel in self.channels if channel not in self._handlers]
        if missing:
            raise ConfigurationError(f"Register a handler for {', '.join(missing)}, or leave it out.")
        if not self._at_work.acquire(blocking=False):
            raise ConfigurationError("This worker runs already; make another one for another thread.")
        process = os.getpid()

        def end() -> None:
            # What a process that a handler forked leaves by: nothing of its parent's is its own.
            if os.getpid() == process:
                self._end()

        try:
            with ExitStack() as stack:
                stack.enter_context(self._interruption.possible())
                stack.enter_context(
                    stop_on_signals(self._stop, again=lambda: self._interruption.now(Why.STOP))
                )
                stack.callback(end)
                stack.enter_context(self._watch.running())
                try:
                    yield
                except HandlerInterruption:
                    _log.warning("A handler was interrupted; its message is given back.")
        finally:
            asked_by = self._stop.number
            self._stop.over()
            self._at_work.release()
            if then_raise_signal and asked_by is not None and os.getpid() == process:
                signal.raise_signal(asked_by)

    def _rounds(self, reconnecting: Reconnecting) -> None:
        self._start_over()
        while not self._stop():
            batch = self._intake.next(wait=True)
            reconnecting.over()
            if batch is not None and (put_off := self._work(batch)):
                self._intake.pause(put_off.channel, self._putting_off.again(put_off))

    def _work(self, batch: Batch) -> PutOffError | None:
        try:
            self._processing.work(batch)
        except PutOffError as put_off:
            self._give_back()
            return put_off
        return None

    def _start_over(self) -> None:
        """After trouble: tell what was kept, and give back even what came with an answer that was lost."""
        if not self._start_over_first:
            return
        self._reports.flush()
        self._give_back()
        for channel in self.channels:
            reclaim(self.client, channel, consumer=self.name, min_idle_ms=0, uncounted=True)
        self._start_over_first = False

    def _give_back(self) -> None:
        # What ended its handler together with the worker keeps its delivery: it is found out in the end.
        fatal = self._processing.being_handled
        unbegun = self._intake.forget()
        for channel, held in self._lease.held().items():
            uncounted = {*unbegun.get(channel, ()), *fatal.get(channel, ())}
            self._lease.drop(channel, held)
            self._consumer.release(channel, sorted(held - uncounted))
            self._consumer.release(channel, sorted(uncounted & held), counted=False)

    def _end(self) -> None:
        """Leave with empty hands; what is handled and not acknowledged yet is worth waiting for."""
        began = self._stop.requested_at if self._stop() else time.monotonic()
        latest = began + self._grace_seconds
        deadline = latest if self._reports else began
        reconnecting = Reconnecting()
        trouble: QueueError | None = None
        # Where Redis did not answer just now, another try may last as long as its time for an answer.
        while not (self._start_over_first and time.monotonic() >= (deadline if trouble else latest)):
            try:
                self._start_over()
                self._give_back()
                for channel in self.channels:
                    self._consumer.leave(channel)
            except QueueUnavailableError as away:
                self._start_over_first, trouble = True, away
                reconnecting.pause(away, lambda: time.monotonic() >= deadline)
            except QueueError as refused:
                self._start_over_first, trouble = True, refused
                break
            else:
                return
        _log.warning(
            "Nothing could be given back, it is taken over when it is stale: %s",
            trouble or "Redis did not answer",
        )
