"""The process that drains with the pipeline's own drain."""

from __future__ import annotations

import time
from collections.abc import Sequence

from benchmarks.fresh_process import Drained, Job
from benchmarks.messages import CHANNEL
from benchmarks.place import client_for
from queue_core import MessageConsumer
from queue_core.channels import Channel
from tutormax_pipeline.drain import DrainLimits, drain
from tutormax_pipeline.store import Arrival, Settlement, Store


class WatchedStore(Store):
    """Notes when each batch was committed, which neither the table nor the ledger can hold."""

    latency_ms: list[float]

    def write(self, channel: Channel, arrivals: Sequence[Arrival], run_id: str) -> list[Settlement]:
        """As the store writes; then compare the publisher's clock with this moment."""
        settlements = super().write(channel, arrivals, run_id)
        now = time.time()
        self.latency_ms.extend(
            (now - arrival.message.published_at.timestamp()) * 1000
            for arrival in arrivals
            if arrival.message is not None
        )
        return settlements


def main() -> None:
    """Drain as the job says."""
    job, drained = Job.given(), Drained()
    limits = DrainLimits(max_messages=job.max_messages, linger_seconds=job.linger_seconds)
    lingers = job.linger_seconds > 0
    with (
        client_for(job.url, job.key_prefix) as client,
        (WatchedStore if lingers else Store).open(job.address) as store,
    ):
        if isinstance(store, WatchedStore):
            store.latency_ms = drained.latency_ms
        time.sleep(max(0.0, job.begin_at - time.time()))
        with drained.measuring():
            report = drain(MessageConsumer(client), store, CHANNEL, run_id="benchmark", limits=limits)
        drained.rows = store.row_count(CHANNEL)
        if lingers:
            drained.reported_ms = {
                str(percent): report.latency.percentile_ms(percent) or 0.0 for percent in (50, 95, 99)
            }
    drained.hand_back()


if __name__ == "__main__":
    main()
