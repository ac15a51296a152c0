"""Dagster's own settings as `tutormax up` writes them, and the tags by which they act on runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml

from queue_core import QueueChannels
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.home import prepare_dagster_home
from tutormax_pipeline.settings import PipelineSettings


def lane_limit(home: Path) -> dict[str, Any]:
    """The limit of runs of each lane, as Dagster understands the file."""
    with dg.DagsterInstance.from_config(str(home)) as instance:
        queue = instance.get_concurrency_config().run_queue_config
    assert queue is not None
    (limit,) = queue.tag_concurrency_limits
    return dict(limit)


@pytest.mark.parametrize("runs", [1, 3])
def test_each_lane_has_as_many_runs_at_once_as_the_setting_says(tmp_path: Path, runs: int) -> None:
    home = prepare_dagster_home(PipelineSettings.load(home=tmp_path, drain_max_parallel_runs=runs))
    assert lane_limit(home) == {"key": "lane", "value": {"applyLimitPerUniqueValue": True}, "limit": runs}


def test_a_changed_setting_reaches_a_file_that_nobody_touched(tmp_path: Path) -> None:
    for runs in (1, 12, 2):
        home = prepare_dagster_home(PipelineSettings.load(home=tmp_path, drain_max_parallel_runs=runs))
        assert lane_limit(home)["limit"] == runs


def test_a_file_that_somebody_changed_stays_as_it_is(tmp_path: Path) -> None:
    home = prepare_dagster_home(PipelineSettings.load(home=tmp_path))
    file = home / "dagster.yaml"
    own = file.read_text().replace("max_concurrent_runs: 8", "max_concurrent_runs: 2")
    file.write_text(own)
    prepare_dagster_home(PipelineSettings.load(home=tmp_path, drain_max_parallel_runs=4))
    assert file.read_text() == own


def test_runs_that_die_are_found_and_only_those_that_ask_are_run_again(tmp_path: Path) -> None:
    home = prepare_dagster_home(PipelineSettings.load(home=tmp_path))
    written = yaml.safe_load((home / "dagster.yaml").read_text())
    assert written["run_monitoring"]["enabled"]
    assert written["run_monitoring"]["max_runtime_seconds"] > 0
    with dg.DagsterInstance.from_config(str(home)) as instance:
        assert (instance.run_retries_enabled, instance.run_retries_max_retries) == (True, 0)


def test_drains_come_before_what_was_left_and_that_before_housekeeping() -> None:
    drains = [f"drain_{channel}" for channel in QueueChannels.all()] + ["drain_all"]
    tags = {name: defs.resolve_job_def(name).tags for name in [*drains, "reclaim_pending", "maintain_queues"]}
    for name, found in tags.items():
        assert {"lane", "queue", "dagster/priority", "dagster/max_runtime"} <= found.keys(), name
    priority = {name: int(found["dagster/priority"]) for name, found in tags.items()}
    assert len({priority[name] for name in drains}) == 1
    assert priority["drain_tutors"] > priority["reclaim_pending"] > priority["maintain_queues"]
    assert len({found["lane"] for found in tags.values()}) == len(tags)
    assert {name for name, found in tags.items() if "dagster/max_retries" in found} == {"maintain_queues"}
