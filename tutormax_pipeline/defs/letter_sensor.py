"""The sensor that launches a review of the dead letters when some came or went."""

import time
from dataclasses import asdict

import dagster as dg
import orjson
from pydantic import TypeAdapter, ValidationError

from queue_core.letter_counts import letter_traffic
from tutormax_pipeline.defs.dead_letters import review_dead_letters, reviewed
from tutormax_pipeline.defs.resources import QueueResource
from tutormax_pipeline.local_runs import IN_FLIGHT
from tutormax_pipeline.review_policy import Watch, decide_review

#: The daemon looks every 5 s; with this or less no look is left out.
_TICK_SECONDS = 4
_WATCH = TypeAdapter(Watch)


@dg.sensor(
    name="dead_letter_sensor",
    job=review_dead_letters,
    minimum_interval_seconds=_TICK_SECONDS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Launches `review_dead_letters` when dead letters came or went since the last review: once "
    "for each burst, when it is over or has lasted a minute, and never beside another review. While letters "
    "trickle in, every five minutes.",
)
def dead_letter_sensor(context: dg.SensorEvaluationContext, queue: QueueResource) -> dg.SensorResult:
    """One look at two numbers."""
    with queue.connect() as client:
        traffic = letter_traffic(client)
    watch = _read(context.cursor)
    if traffic != watch.reviewed:
        # Only now, because a materialization is read whole, with its report.
        watch = _with_last_review(watch, context.instance)
    decision = decide_review(watch, traffic, time.time(), _reviews_in_flight(context.instance))
    cursor = orjson.dumps(asdict(decision.watch)).decode()
    if not decision.launch:
        return dg.SensorResult(skip_reason=decision.why, cursor=cursor)
    request = dg.RunRequest(tags={"tutormax/started_because": decision.why})
    return dg.SensorResult(run_requests=[request], cursor=cursor)


def _reviews_in_flight(instance: dg.DagsterInstance) -> int:
    statuses = [dg.DagsterRunStatus(status) for status in IN_FLIGHT]
    return instance.get_runs_count(dg.RunsFilter(job_name=review_dead_letters.name, statuses=statuses))


def _with_last_review(watch: Watch, instance: dg.DagsterInstance) -> Watch:
    last = reviewed(instance)
    if last is None:
        return watch
    return Watch(last, watch.seen, watch.changing_since, watch.asked, watch.asked_at)


def _read(cursor: str | None) -> Watch:
    try:
        return _WATCH.validate_json(cursor or "{}")
    except ValidationError:
        # Of another version: as if nothing had been seen before.
        return Watch()
