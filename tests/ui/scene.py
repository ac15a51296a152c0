"""What the browser finds: rows of each channel, feedback that no table takes, a review of it, figures."""

from __future__ import annotations

import orjson

from queue_core import QueueChannels
from tests.conftest import patiently
from tests.instance import Instance
from tutormax_pipeline.sample import sample_lines

#: One dead letter is one too many, and no run lingers: what is to be seen is there within seconds.
VARIABLES = {"TUTORMAX_ALERT_DEAD_LETTERS": "0", "TUTORMAX_DRAIN_LINGER_SECONDS": "0"}
ROWS = 60
BAD = 3

_SENSOR = """query ($name: String!) { sensorOrError(sensorSelector: {
  repositoryName: "__repository__", repositoryLocationName: "tutormax", sensorName: $name
}) { ... on Sensor { sensorState { id } } } }"""
_STOP = "mutation ($id: String!) { stopSensor(id: $id) { __typename } }"
_LAUNCH = """mutation ($job: String!, $config: RunConfigData!) { launchRun(executionParams: {
  selector: {repositoryName: "__repository__", repositoryLocationName: "tutormax", jobName: $job},
  runConfigData: $config
}) { __typename ... on LaunchRunSuccess { run { runId } } } }"""
_OBSERVED = """query ($path: [String!]!) { assetOrError(assetKey: {path: $path}) {
  ... on Asset { assetObservations { timestamp } } } }"""


def publish(instance: Instance, channel: str, lines: list[bytes], *options: str) -> None:
    """Publish records with the command that a person would use."""
    instance.run("publish", *options, channel, "-", given=b"\n".join(lines).decode())


def stop_sensor(instance: Instance, name: str) -> None:
    """Turn a sensor off."""
    sensor = instance.ask(_SENSOR, name=name)["sensorOrError"]["sensorState"]["id"]
    answer = instance.ask(_STOP, id=sensor)["stopSensor"]
    assert answer["__typename"] == "StopSensorMutationResult", answer


def launch(instance: Instance, job: str, config: object) -> str:
    """Launch a job; returns the id of its run."""
    answer = instance.ask(_LAUNCH, job=job, config=config)["launchRun"]
    assert answer["__typename"] == "LaunchRunSuccess", answer
    run_id: str = answer["run"]["runId"]
    return run_id


def observations(instance: Instance, channel: str) -> int:
    """How often a queue was observed."""
    return len(instance.ask(_OBSERVED, path=["queue", channel])["assetOrError"]["assetObservations"])


def play(instance: Instance) -> None:
    """Publish sessions, feedback and bad feedback, and wait for their drains and a review."""
    for channel in (QueueChannels.SESSIONS, QueueChannels.FEEDBACK):
        publish(instance, channel.name, sample_lines(channel)[:ROWS])
    bad = [
        orjson.dumps({"feedback_id": f"F-bad-{number}", "tutor_id": "P001", "rating": 55})
        for number in range(BAD)
    ]
    publish(instance, "feedback", bad, "--no-check")
    patiently(lambda: instance.counts()[1:3] == [ROWS, ROWS], what="the rows")
    patiently(lambda: instance.outcomes().get("dead_lettered") == BAD, what="the dead letters")
    patiently(lambda: instance.runs("SUCCESS", "review_dead_letters"), what="the review")
