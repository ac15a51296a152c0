"""Runs of a Dagster that is stopped with us: ended in order before it, cleared up after a crash."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import orjson

from tutormax_pipeline.dagster_instance import open_instance

#: Tag of a run that has a process of its own, so that it outlives ``tutormax up``.
OWN_PROCESS_TAG = "tutormax/own_process"

#: Statuses of a run that has not ended; as text, so that asking over HTTP does not load Dagster.
IN_FLIGHT = ("QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING")
_RUNS = """query ($statuses: [RunStatus!]) {
  runsOrError(filter: {statuses: $statuses}) { ... on Runs { results { id } } }
}"""
_TERMINATE = """mutation ($ids: [String!]!) {
  terminateRuns(runIds: $ids, terminatePolicy: SAFE_TERMINATE) { __typename }
}"""
_END_SECONDS = 20.0
_LOOK_SECONDS = 0.3


def end_runs(url: str) -> int:
    """Ask the runs in flight to end after the batch in hand, and wait until they have.

    Returns:
        How many had not ended in time.
    """
    deadline = time.monotonic() + _END_SECONDS
    asked: set[str] = set()
    while True:
        runs = {run["id"] for run in _ask(url, _RUNS, statuses=IN_FLIGHT)["runsOrError"]["results"]}
        if not runs or time.monotonic() > deadline:
            return len(runs)
        if runs - asked:
            _ask(url, _TERMINATE, ids=sorted(runs - asked))
            asked |= runs
        time.sleep(_LOOK_SECONDS)


def fail_left_behind(dagster_home: Path) -> int:
    """Mark as failed the runs whose processes ended with an earlier Dagster: they would block their lanes.

    To be called while no Dagster runs on this home; makes the tables of a new one, before Dagster's own
    processes do so at once with a drain. Returns how many there were.

    Raises:
        InstanceError: the home cannot be used.
    """
    import dagster as dg  # noqa: PLC0415 - takes a second

    statuses = [dg.DagsterRunStatus(status) for status in IN_FLIGHT]
    with open_instance(dagster_home) as instance:
        runs = [
            run
            for run in instance.get_runs(dg.RunsFilter(statuses=statuses))
            if OWN_PROCESS_TAG not in run.tags
        ]
        for run in runs:
            instance.report_run_failed(
                run, "The Dagster that ran it was ended; its messages are taken up again."
            )
    return len(runs)


def _ask(url: str, query: str, **variables: Any) -> dict[str, Any]:
    body = orjson.dumps({"query": query, "variables": variables})
    request = Request(f"{url}/graphql", body, {"Content-Type": "application/json"})  # noqa: S310 - our own address
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        data: dict[str, Any] = orjson.loads(answer.read())["data"]
    return data
