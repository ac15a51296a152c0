"""A process that publishes its share of the plan, each batch until every message of it is acknowledged.

What it was told is in its progress file: the number of batches of which every message was acknowledged.
A publisher that is killed begins anew after these, and so publishes a batch twice, under the same ids, of
which it does not know. So does one that got no answer.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from queue_core import MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.errors import PublishError, QueueFullError, QueueUnavailableError
from queue_core.stopping import stop_on_signals
from tests.chaos.plan import BATCH, Plan

_PAUSE_SECONDS = 0.05
_DIGITS = 12


def batches_acknowledged(progress: Path) -> int:
    """How many batches a publisher knows to be published."""
    return int(progress.read_bytes() or b"0") if progress.exists() else 0


def work(job: Mapping[str, Any]) -> None:
    """Publish until the share is through, or until SIGTERM: then to the end of the batch in hand."""
    plan, publisher, progress = Plan(**job["plan"]), job["publisher"], Path(job["progress"])
    begun_batches, parent, dice = batches_acknowledged(progress), os.getppid(), random.Random()
    seconds_each = BATCH / job["per_second"] if job["per_second"] else 0.0
    file = os.open(progress, os.O_WRONLY | os.O_CREAT, 0o600)
    started = time.monotonic()
    with stop_on_signals() as asked, RedisClient(RedisSettings.load(**job["settings"])) as client:
        for number in range(begun_batches, job["batches"]):
            early = started + (number - begun_batches) * seconds_each - time.monotonic()
            time.sleep(max(0.0, early))
            if asked():
                return
            planned = list(plan.batch(publisher, number))
            waiting: list[tuple[str | None, bytes | PublishError]] = [
                (one.message_id, plan.body(one)) for one in planned
            ]
            while waiting and os.getppid() == parent:
                waiting = _publish(client, planned[0].channel.name, waiting)
                if waiting:
                    time.sleep(dice.uniform(0, _PAUSE_SECONDS))
            if waiting:
                return
            # One write of a fixed length: a kill leaves the old number or the new one.
            os.pwrite(file, b"%0*d" % (_DIGITS, number + 1), 0)


def _publish(
    client: RedisClient, channel: str, waiting: list[tuple[str | None, bytes | PublishError]]
) -> list[tuple[str | None, bytes | PublishError]]:
    """Publish; gives what is not known to be published."""
    try:
        report = MessagePublisher(client).publish_envelopes(QueueChannels.find(channel), waiting)
    except QueueUnavailableError:
        return waiting
    for refused in report.refused:
        if not isinstance(refused.error, QueueFullError):
            raise AssertionError(f"refused although it is not full: {refused.error}")
    return [waiting[refused.index] for refused in report.refused]
