"""The sensor that has left messages given back: what a run held that ended, and what is held for too long."""

import dagster as dg

from queue_core import QueueChannels, RedisClient
from queue_core.channels import Channel
from queue_core.group_health import holders
from queue_core.stale import stale_holders
from tutormax_pipeline.defs.lanes import RECLAIM_LANE, lane_runs_in_flight, reclaim_tags, run_id_of
from tutormax_pipeline.defs.reclaim import ReclaimConfig, reclaim_pending
from tutormax_pipeline.defs.resources import QueueResource

_TICK_SECONDS = 30

#: A drain takes over what is stale within seconds. What is stale for as long again, none takes.
_PATIENCE = 2


@dg.sensor(
    name="stale_pending_sensor",
    job_name=reclaim_pending.name,
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches `reclaim_pending` for what a run that has ended still holds, at once; and for what "
    f"anybody holds for {_PATIENCE} times `REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS` though a drain should "
    "have taken it. The queue's sensor then starts a drain. One such run at a time.",
)
def stale_pending_sensor(context: dg.SensorEvaluationContext, queue: QueueResource) -> dg.SensorResult:
    """Looks at who holds what; reads no message, gives nothing back itself."""
    if lane_runs_in_flight(context.instance, RECLAIM_LANE):
        return dg.SensorResult(skip_reason="reclaim_pending is running.")
    with queue.connect() as client:
        for channel in QueueChannels.all():
            if ended := _ended_holder(client, channel, context.instance):
                return _launch(
                    ReclaimConfig(channels=[channel.name], consumer=ended, min_idle_seconds=0),
                    channel.name,
                    f"{ended} has ended and holds messages of {channel}.",
                )
        idle_seconds = _PATIENCE * client.settings.worker_max_processing_time_seconds
        stale = {
            channel.name: sum(stale_holders(client, channel, int(idle_seconds * 1000)).values())
            for channel in QueueChannels.all()
        }
    held = {name: count for name, count in stale.items() if count}
    if not held:
        return dg.SensorResult(skip_reason="Nothing is held by a run that ended, or for too long.")
    told = ", ".join(f"{count} of {name}" for name, count in held.items())
    return _launch(
        ReclaimConfig(channels=list(held)),
        ",".join(held),
        f"Held for more than {idle_seconds:g} s: {told}.",
    )


def _ended_holder(client: RedisClient, channel: Channel, instance: dg.DagsterInstance) -> str | None:
    for consumer in holders(client, channel):
        run_id = run_id_of(consumer)
        # A run that this Dagster does not know may be another one's, and at work.
        run = instance.get_run_by_id(run_id) if run_id else None
        # What it holds may be nothing that can be given back: then another launch would change nothing.
        if run is not None and run.is_finished and stale_holders(client, channel, 0)[consumer]:
            return consumer
    return None


def _launch(config: ReclaimConfig, queue: str, why: str) -> dg.SensorResult:
    request = dg.RunRequest(
        run_config=dg.RunConfig(ops={"reclaim": config}),
        tags={**reclaim_tags(queue), "tutormax/started_because": why},
    )
    return dg.SensorResult(run_requests=[request])
