"""A run that is asked to end: the batch in hand is finished, the rest is there for the next run."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.monitor import snapshot
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS
MESSAGES = 10_000


@pytest.fixture
def harmless(number: signal.Signals) -> Iterator[signal.Signals]:
    """A signal that comes when no drain runs does not end the tests."""
    before = signal.signal(number, signal.SIG_IGN)
    yield number
    signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_run_ends_in_order_and_the_next_takes_up_the_rest_at_once(
    client: RedisClient,
    publisher: MessagePublisher,
    resources: dict[str, object],
    instance: dg.DagsterInstance,
    tmp_path: Path,
    harmless: signal.Signals,
) -> None:
    publisher.publish_batch(TUTORS, ({"tutor_id": f"T{n}", "name": "x"} for n in range(MESSAGES)))
    job = defs.resolve_job_def("drain_tutors")
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:

        def ask_in_the_middle() -> None:
            for _ in range(100_000):
                if store.row_count(TUTORS):
                    os.kill(os.getpid(), harmless)
                    return

        thread = threading.Thread(target=ask_in_the_middle)
        thread.start()
        stopped = job.execute_in_process(
            instance=instance,
            resources=resources,
            run_config={"ops": {"tutors": {"config": {"batch_size": 20}}}},
            raise_on_error=False,
        )
        thread.join()
        assert not stopped.success
        (event,) = [event for event in stopped.all_events if event.is_step_failure]
        assert event.step_failure_data.error is not None
        assert "Stopped as asked" in event.step_failure_data.error.message

        stored = store.row_count(TUTORS)
        assert 0 < stored < MESSAGES
        seen = snapshot(client, TUTORS)
        assert seen.waiting + seen.pending == MESSAGES - stored
        assert seen.pending == 0 or seen.claimable

        after = job.execute_in_process(instance=instance, resources=resources)
        (materialization,) = after.asset_materializations_for_node("tutors")
        assert materialization.metadata["stored"].value == MESSAGES - stored
        assert materialization.metadata["settled_before"].value == 0
        assert store.row_count(TUTORS) == MESSAGES
        assert snapshot(client, TUTORS).pending == 0
