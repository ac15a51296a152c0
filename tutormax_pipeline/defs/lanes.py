"""A lane is one channel's drains: the tags by which runs of a lane are found, and what all of them share."""

import dagster as dg

from queue_core.channels import Channel
from tutormax_pipeline.local_runs import IN_FLIGHT

#: Tag of every drain run: the channel's name, or ``all`` for a run that drains every channel.
LANE_TAG = "lane"
ALL_LANES = "all"

#: Who answers for these definitions.
OWNERS = ["team:data-engineering"]

#: A run whose process and code server both died would stay STARTED, and block its lane, without a bound.
MAX_RUNTIME_SECONDS = 7_200


def consumer_name(run_id: str) -> str:
    """Name of the consumer of a run, by which what it holds is found."""
    return f"run:{run_id}"


def lane_tags(lane: str) -> dict[str, str]:
    """Tags of a drain run."""
    return {LANE_TAG: lane, "queue": lane, "dagster/max_runtime": str(MAX_RUNTIME_SECONDS)}


def runs_in_flight(instance: dg.DagsterInstance, channel: Channel) -> int:
    """Runs that drain this channel and have not ended."""
    statuses = [dg.DagsterRunStatus(status) for status in IN_FLIGHT]
    return instance.get_runs_count(
        dg.RunsFilter(statuses=statuses, tags={LANE_TAG: [channel.name, ALL_LANES]})
    )
