"""The drain: from a channel's stream into its table. What a run, the command line and a test all call.

One turn takes due retries and what others left first, then new entries; decodes, verifies and validates
each; writes rows and ledger in one transaction; moves what cannot be stored to the dead letter stream;
and acknowledges in the same round trip as a later read. Turns go on until the queue is empty, a
limit is reached or a stop is asked for; then the drain lingers, so that a message published while
it does is stored within milliseconds. When Redis or the database is away, it waits and starts over.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from queue_core.channels import Channel
from queue_core.consumer import MessageConsumer
from queue_core.dead_letter import Letter
from queue_core.monitor import ChannelSnapshot, snapshot
from tutormax_pipeline.batches import Batches, DrainLimits
from tutormax_pipeline.drain_report import DrainReport
from tutormax_pipeline.outage import Outage
from tutormax_pipeline.settler import FailedAttempt, Settler
from tutormax_pipeline.store import Settlement, Store

__all__ = ["DrainLimits", "DrainReport", "drain"]

#: Objects made, and not freed, before Python looks for cycles while a drain runs.
_COLLECTOR_THRESHOLD = 200_000


def drain(
    consumer: MessageConsumer,
    store: Store,
    channel: Channel,
    *,
    run_id: str,
    limits: DrainLimits | None = None,
    stop: Callable[[], bool] = lambda: False,
) -> DrainReport:
    """Drain one channel into the store.

    Args:
        consumer: a consumer of this drain's own.
        store: where rows and ledger go.
        channel: the channel.
        run_id: recorded with every row.
        limits: when to end; until empty when not given.
        stop: asked before every read; True ends the drain after the batch in hand.

    Raises:
        QueueUnavailableError: Redis is away. What was not settled is pending and taken up again.
        StoreUnavailableError: the database is away. What was in hand was given back.
    """
    limits = limits or DrainLimits()
    settler = Settler(consumer, store, channel, run_id)
    deadline = None if limits.max_seconds is None else time.monotonic() + limits.max_seconds
    outage = Outage(limits.outage_seconds, stop, deadline=deadline)

    def look() -> ChannelSnapshot:
        return snapshot(consumer.client, channel)

    def try_again(failures: list[FailedAttempt]) -> list[Settlement]:
        given_up: list[Settlement] = []
        for failure in failures:
            planned = consumer.plan_retry(channel, failure.entry.id, failure.error)
            # One that a group made anew delivers again has more attempts on record than it came with.
            if planned.used_up:
                given_up += settler.give_up(failure)
            batches.postponed(planned.delay_seconds)
        return given_up

    def turns() -> ChannelSnapshot:
        batches.start_over()
        for entries in batches:
            settlements, failures = settler.settle(entries)
            settlements += try_again(failures)
            report.add(settlements, retried=len(entries) - len(settlements))
            dead = [Letter(one.arrival.entry, one.rejection) for one in settlements if one.rejection]
            consumer.dead_letter(channel, dead)
            batches.settled([one.arrival.entry.id for one in settlements if not one.rejection])
            outage.over()
        batches.give_back()
        return look()

    with Batches(consumer, channel, limits, stop, idle=outage.over) as batches, _collecting_rarely():
        before = outage.through(look)
        report = DrainReport(channel.name, before, before)
        report.after = outage.through(turns)
    report.stopped, report.outages = stop(), outage.ended
    report.seconds, report.working_seconds = batches.seconds, batches.seconds - batches.idle_seconds
    return report


@contextmanager
def _collecting_rarely() -> Iterator[None]:
    # A batch is tens of thousands of objects without cycles: the collector would walk them for nothing,
    # for a sixth of the drain's time.
    usual = gc.get_threshold()
    gc.set_threshold(_COLLECTOR_THRESHOLD, *usual[1:])
    try:
        yield
    finally:
        gc.set_threshold(*usual)
