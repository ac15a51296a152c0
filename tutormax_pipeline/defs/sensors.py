"""The sensors: each looks at one queue, keeps what it saw, and starts a drain when the launch policy says so.

A tick looks once, reads no message, acknowledges nothing, and costs the same at any backlog.
"""

import time

import dagster as dg

from queue_core import QueueChannels
from queue_core.channels import Channel
from queue_core.monitor import snapshot
from tutormax_pipeline.defs.assets import DrainConfig
from tutormax_pipeline.defs.jobs import drain_jobs
from tutormax_pipeline.defs.lanes import lane_tags, runs_in_flight
from tutormax_pipeline.defs.observations import observation_of
from tutormax_pipeline.defs.queue_alerts import alert_evaluations
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.launch_policy import decide
from tutormax_pipeline.observation import Observation, Remembered, observe
from tutormax_pipeline.settings import PipelineSettings

#: The daemon looks every 5 s; with this or less no look is left out (5 itself would end up at 10).
_TICK_SECONDS = 4


def _queue_sensor(channel: Channel) -> dg.SensorDefinition:
    @dg.sensor(
        name=f"{channel.name}_queue_sensor",
        job=drain_jobs[channel],
        minimum_interval_seconds=_TICK_SECONDS,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Watches and observes `queue/{channel.name}`, and starts `drain_{channel.name}` when "
        "enough waits or something has waited long enough; beside a drain of this channel only for a large "
        "backlog, up to `TUTORMAX_DRAIN_MAX_PARALLEL_RUNS`. Each minute in which something changed it also "
        "evaluates the checks of age and dead letters, which thus turn red where nothing drains.",
    )
    def look(context: dg.SensorEvaluationContext, queue: QueueResource) -> dg.SensorResult:
        settings = PipelineSettings.load()
        events: list[dg.AssetObservation | dg.AssetCheckEvaluation] = []
        with queue.connect() as client:
            seen = snapshot(client, channel)
            found = observe(Remembered.parse(context.cursor), seen, time.time())
            if isinstance(found, Observation):
                events.append(observation_of(client, channel, seen, found))
                events += alert_evaluations(context.instance, channel, seen, settings)
        decision = decide(seen, settings, runs_in_flight(context.instance, channel))
        cursor = found.remember.to_cursor()
        if not decision.launch:
            return dg.SensorResult(skip_reason=decision.why, asset_events=events, cursor=cursor)
        config = DrainConfig(
            linger_seconds=settings.drain_linger_seconds,
            max_seconds=settings.drain_max_seconds,
            outage_seconds=settings.drain_outage_seconds,
        )
        request = dg.RunRequest(
            run_config=dg.RunConfig(ops={channel.name: config}),
            tags={**lane_tags(channel.name), "tutormax/started_because": decision.why},
        )
        return dg.SensorResult(run_requests=[request], asset_events=events, cursor=cursor)

    return look


queue_sensors = [_queue_sensor(channel) for channel in QueueChannels.all()]
