"""A process that drains all channels, over and over, until it is told to stop or its parent is gone.

python -m tests.chaos.drain_process '{"settings": {...}, "store": "sqlite:///..."}'
"""

from __future__ import annotations

import itertools
import json
import os
import random
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from queue_core import MessageConsumer, QueueChannels, RedisClient, RedisSettings
from queue_core.errors import QueueUnavailableError
from queue_core.stopping import stop_on_signals
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.store import Store, StoreUnavailableError

#: How long a drain waits out an outage by itself. Short, so that giving up and beginning anew is tried too.
OUTAGE_SECONDS = 3.0
#: Small lingering: the process has three channels to look after.
_LIMITS = DrainLimits(batch_size=500, max_seconds=2.0, linger_seconds=0.05, outage_seconds=OUTAGE_SECONDS)
#: Patience with a locked database; less than it is locked for, so that the drain sees it.
_STORE_TIMEOUT_SECONDS = 0.5
_PAUSE_SECONDS = 0.1


def work(job: Mapping[str, Any]) -> None:
    """Drain until SIGTERM, or until the process that started this one is gone.

    Trouble of Redis or the database is waited out here too, where the drain's own patience ends: as an
    orchestrator that launches the next run. Anything else is raised, and counts against the pipeline.
    """
    parent, dice = os.getppid(), random.Random()
    with stop_on_signals() as asked:

        def stop() -> bool:
            return asked() or os.getppid() != parent

        while not stop():
            try:
                _drain(job, stop, first=dice.randrange(3))
            except (QueueUnavailableError, StoreUnavailableError):
                time.sleep(dice.uniform(0, _PAUSE_SECONDS))


def _drain(job: Mapping[str, Any], stop: Callable[[], bool], *, first: int) -> None:
    run_id = f"chaos-{os.getpid()}"
    channels = QueueChannels.all()
    with (
        RedisClient(RedisSettings.load(**job["settings"])) as client,
        Store.open(job["store"], timeout_seconds=_STORE_TIMEOUT_SECONDS) as store,
    ):
        consumer = MessageConsumer(client, f"run:{run_id}")
        for turn in itertools.count(first):
            if stop():
                return
            drain(consumer, store, channels[turn % len(channels)], run_id=run_id, limits=_LIMITS, stop=stop)


if __name__ == "__main__":
    work(json.loads(sys.argv[1]))
