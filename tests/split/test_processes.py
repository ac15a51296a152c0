"""Webserver, daemon and code server on PostgreSQL; each is killed, and started again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.split.deployment import Deployment
from tests.split.pipeline import SOON_SECONDS, Pipeline

#: So many that a drain by tens is still at it when it is killed.
MANY = 2_000
LINGERS = {"sessions": {"config": {"linger_seconds": 120, "batch_size": 10}}}

pytestmark = [pytest.mark.long, pytest.mark.timeout(300)]


@pytest.fixture
def split(dagster_database: dict[str, str], pipeline: Pipeline, tmp_path: Path) -> Iterator[Deployment]:
    variables = {**dagster_database, **pipeline.variables()}
    with Deployment(tmp_path, "dagster.yaml", variables) as deployment:
        deployment.start("code", "daemon", "web")
        deployment.wait_until_up()
        yield deployment


def test_sensors_drain_the_sample_and_each_process_may_be_killed_and_started_again(
    split: Deployment, pipeline: Pipeline
) -> None:
    # A code server that is replaced takes its runs along, here one in the middle of a drain.
    run = split.launch("drain_sessions", LINGERS)
    split.wait_for(run, "STARTED")
    pipeline.publish(MANY)
    pipeline.publish_sample()
    wait_until(lambda: pipeline.settled() > 0, SOON_SECONDS, "the first batch")
    split.kill("code")
    before = pipeline.settled()
    assert before < pipeline.published
    split.start("code")
    assert split.wait_for(run, "FAILURE", "SUCCESS") == "FAILURE"

    # What it left is drained by a new daemon. A run that the old one was just launching is given up after a
    # minute; the webserver's absence nobody notices but people.
    split.kill("daemon")
    split.kill("web")
    pipeline.publish(100)
    split.start("daemon", "web")
    pipeline.assert_all_stored_once(within_seconds=150)
    split.wait_until_up()
    assert split.status(run) == "FAILURE"
