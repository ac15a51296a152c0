"""When a drain starts: every branch of the policy, from snapshots alone."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.conftest import NOTHING
from tutormax_pipeline.launch_policy import MESSAGES_PER_RUN, decide
from tutormax_pipeline.settings import PipelineSettings

IDLE = replace(NOTHING, group_exists=True)


@pytest.mark.parametrize(
    ("changes", "runs", "launch", "words"),
    [
        ({}, 0, False, "Nothing waits; 0 pending, 0 dead letters"),
        ({"group_exists": False}, 0, False, "Nothing waits"),
        ({"dead": 4}, 0, False, "4 dead letters"),
        ({"waiting": 10}, 0, True, "10 messages wait."),
        ({"waiting": 9, "oldest_unprocessed_age_seconds": 29.9}, 0, False, "TUTORMAX_DRAIN_MIN_MESSAGES=10"),
        (
            {"waiting": 9, "oldest_unprocessed_age_seconds": 29.9},
            0,
            False,
            "TUTORMAX_DRAIN_MAX_WAIT_SECONDS=30",
        ),
        ({"waiting": 1, "oldest_unprocessed_age_seconds": 30.0}, 0, True, "the oldest for 30 s"),
        ({"waiting": 1, "oldest_unprocessed_age_seconds": None}, 0, False, "1 messages wait, fewer than"),
        ({"waiting": 500}, 1, False, "A drain of tutors is running"),
        ({"waiting": 500, "claimable": True, "next_retry_in_seconds": 0.0}, 2, False, "is running"),
        ({"pending": 5, "claimable": True}, 0, True, "left by a consumer"),
        ({"pending": 5, "claimable": True}, 1, False, "is running"),
        ({"pending": 5, "oldest_unprocessed_age_seconds": 99.0}, 0, False, "5 pending"),
        ({"scheduled": 1, "next_retry_in_seconds": -0.1}, 0, True, "retry is due"),
        ({"scheduled": 1, "next_retry_in_seconds": 0.0}, 0, True, "retry is due"),
        ({"scheduled": 1, "next_retry_in_seconds": 5.0}, 0, False, "Nothing waits"),
    ],
)
def test_a_drain_starts_by_count_or_age_and_never_beside_another(
    changes: dict[str, object], runs: int, launch: bool, words: str
) -> None:
    settings = PipelineSettings.load(drain_min_messages=10, drain_max_wait_seconds=30)
    decision = decide(replace(IDLE, **changes), settings, runs)
    assert decision.launch is launch
    assert words in decision.why


def test_as_it_comes_any_waiting_message_starts_a_drain() -> None:
    seen = replace(IDLE, waiting=1, oldest_unprocessed_age_seconds=0.0)
    assert decide(seen, PipelineSettings.load(), 0).launch


@pytest.mark.parametrize(
    ("waiting", "runs", "launch", "words"),
    [
        (MESSAGES_PER_RUN, 1, False, "which 1 running drains take soon; another starts beyond 20000"),
        (MESSAGES_PER_RUN + 1, 1, True, "too many for 1 running drains"),
        (MESSAGES_PER_RUN + 1, 2, False, "another starts beyond 40000"),
        (2 * MESSAGES_PER_RUN + 1, 2, True, "TUTORMAX_DRAIN_MAX_PARALLEL_RUNS=3"),
        (90 * MESSAGES_PER_RUN, 3, False, "A drain of tutors is running"),
    ],
)
def test_a_further_drain_starts_for_a_backlog_beyond_what_those_running_take_soon(
    waiting: int, runs: int, launch: bool, words: str
) -> None:
    settings = PipelineSettings.load(drain_max_parallel_runs=3)
    decision = decide(replace(IDLE, waiting=waiting), settings, runs)
    assert decision.launch is launch
    assert words in decision.why


def test_with_one_run_a_lane_no_backlog_starts_another() -> None:
    assert not decide(replace(IDLE, waiting=90 * MESSAGES_PER_RUN), PipelineSettings.load(), 1).launch
