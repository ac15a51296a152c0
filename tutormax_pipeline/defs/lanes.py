"""A lane is what must not run twice at once, as a channel's drains: its tags, and its runs in flight."""

from datetime import UTC, datetime

import dagster as dg

from queue_core.channels import Channel
from tutormax_pipeline.local_runs import IN_FLIGHT

#: Tag of every run: the channel's name for a drain, ``all`` for one of every channel, else the work's name.
#: dagster.yaml limits the runs of each value.
LANE_TAG = "lane"
ALL_LANES = "all"
RECLAIM_LANE = "reclaim"
MAINTENANCE_LANE = "maintenance"

#: Who answers for these definitions.
OWNERS = ["team:data-engineering"]

#: A run whose process and code server both died would stay STARTED, and block its lane, without a bound.
MAX_RUNTIME_SECONDS = 7_200
MAX_RUNTIME_TAG = "dagster/max_runtime"
#: Beyond its bound a run has this long to be ended by Dagster's monitoring before it counts as dead.
_GRACE_SECONDS = 120

#: Where the machine is full: messages first, what was left behind next, housekeeping and reviews last.
DRAIN_PRIORITY = 10
RECLAIM_PRIORITY = 5
WORK_PRIORITY = 0


def consumer_name(run_id: str) -> str:
    """Name of the consumer of a run, by which what it holds is found."""
    return f"run:{run_id}"


def run_id_of(consumer: str) -> str | None:
    """The run of a consumer; None for a consumer that is no run's."""
    kind, _, run_id = consumer.partition(":")
    return run_id if kind == "run" and run_id else None


def lane_tags(lane: str) -> dict[str, str]:
    """Tags of a drain run."""
    return run_tags(lane, queue=lane, priority=DRAIN_PRIORITY)


def reclaim_tags(queue: str = ALL_LANES) -> dict[str, str]:
    """Tags of a run that gives back what was left."""
    return run_tags(RECLAIM_LANE, queue=queue, priority=RECLAIM_PRIORITY)


def run_tags(lane: str, *, queue: str = ALL_LANES, priority: int = WORK_PRIORITY) -> dict[str, str]:
    """Tags of any run.

    Args:
        lane: runs of the same lane wait for each other.
        queue: name of the channel that it works on; ``all`` for every one.
        priority: the higher, the earlier it is taken from Dagster's queue.
    """
    return {
        LANE_TAG: lane,
        "queue": queue,
        "dagster/priority": str(priority),
        MAX_RUNTIME_TAG: str(MAX_RUNTIME_SECONDS),
    }


def runs_in_flight(instance: dg.DagsterInstance, channel: Channel, now: datetime | None = None) -> int:
    """Runs that drain this channel, and have not ended or are still to begin."""
    return lane_runs_in_flight(instance, channel.name, ALL_LANES, now=now)


def lane_runs_in_flight(instance: dg.DagsterInstance, *lanes: str, now: datetime | None = None) -> int:
    """Runs of some lanes that have not ended, without those that died unnoticed.

    Args:
        instance: knows the runs.
        lanes: values of the lane's tag.
        now: the present.
    """
    statuses = [dg.DagsterRunStatus(status) for status in IN_FLIGHT]
    records = instance.get_run_records(dg.RunsFilter(statuses=statuses, tags={LANE_TAG: list(lanes)}))
    now_seconds = (now or datetime.now(UTC)).timestamp()
    return sum(not _is_overdue(record, now_seconds) for record in records)


def _is_overdue(record: dg.RunRecord, now_seconds: float) -> bool:
    # Only a run that has begun can be overdue: one that is queued may have to wait for long, and the next
    # tick must not queue another.
    if record.start_time is None:
        return False
    # Whoever launches a run by hand may write anything into its tags.
    tag = record.dagster_run.tags.get(MAX_RUNTIME_TAG, "")
    bound_seconds = int(tag) if tag.isdecimal() else MAX_RUNTIME_SECONDS
    return now_seconds - record.start_time > bound_seconds + _GRACE_SECONDS
