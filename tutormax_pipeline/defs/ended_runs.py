"""The sensors that give back, at once, what a run still held when it ended."""

import dagster as dg

from queue_core import QueueChannels
from queue_core.reclaim import reclaim
from tutormax_pipeline.defs.lanes import consumer_name
from tutormax_pipeline.defs.resources import QueueResource

#: The daemon looks every 5 s; with this no look is left out.
_TICK_SECONDS = 4


def _ended_run_sensor(name: str, status: dg.DagsterRunStatus, ended: str) -> dg.SensorDefinition:
    @dg.run_status_sensor(
        name=name,
        run_status=status,
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"When a run {ended}, gives back at once what it still held; else that would wait for "
        "`REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS`.",
    )
    def give_back(context: dg.RunStatusSensorContext, queue: QueueResource) -> None:
        run = context.dagster_run
        with queue.connect() as client:
            reports = [
                reclaim(client, channel, consumer=consumer_name(run.run_id), min_idle_ms=0)
                for channel in QueueChannels.all()
            ]
        held = ", ".join(f"{one.given_back} of {one.channel}" for one in reports if one.given_back)
        context.log.info("Run %s of %s held %s; given back.", run.run_id, run.job_name, held or "nothing")

    return give_back


drain_failure_sensor = _ended_run_sensor("drain_failure_sensor", dg.DagsterRunStatus.FAILURE, "fails")
drain_canceled_sensor = _ended_run_sensor(
    "drain_canceled_sensor", dg.DagsterRunStatus.CANCELED, "is canceled"
)
