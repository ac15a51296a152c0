"""When a drain starts, and which Redis and store the pipeline uses."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from queue_core.embedded import EmbeddedServer
from queue_core.errors import ConfigurationError
from queue_core.monitor import ChannelSnapshot
from tutormax_pipeline.launch_policy import decide
from tutormax_pipeline.settings import PipelineSettings, brings_own_redis, redis_settings

IDLE = ChannelSnapshot(
    channel="tutors",
    length=0,
    entries_added=0,
    waiting=0,
    waiting_is_exact=True,
    pending=0,
    scheduled=0,
    dead=0,
    oldest_unprocessed_age_seconds=None,
    claimable=False,
    next_retry_in_seconds=None,
    group_exists=True,
)


@pytest.mark.parametrize(
    ("changes", "runs", "launch", "words"),
    [
        ({}, 0, False, "Nothing waits"),
        ({"waiting": 10}, 0, True, "10 messages wait"),
        ({"waiting": 9, "oldest_unprocessed_age_seconds": 29.0}, 0, False, "TUTORMAX_DRAIN_MIN_MESSAGES=10"),
        ({"waiting": 1, "oldest_unprocessed_age_seconds": 30.0}, 0, True, "the oldest for 30 s"),
        ({"waiting": 500}, 1, False, "is running"),
        ({"pending": 5, "claimable": True}, 0, True, "left by a consumer"),
        ({"pending": 5, "claimable": True}, 1, False, "is running"),
        ({"pending": 5}, 0, False, "5 pending"),
        ({"scheduled": 1, "next_retry_in_seconds": -0.1}, 0, True, "retry is due"),
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


def test_a_bad_setting_is_named_and_a_password_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORMAX_DRAIN_MIN_MESSAGES", "0")
    with pytest.raises(ConfigurationError, match=r"^TUTORMAX_DRAIN_MIN_MESSAGES"):
        PipelineSettings.load()
    monkeypatch.delenv("TUTORMAX_DRAIN_MIN_MESSAGES")
    monkeypatch.setenv("TUTORMAX_STORE_URL", "hunter2 is no address")
    with pytest.raises(ConfigurationError, match=r"^TUTORMAX_STORE_URL") as caught:
        PipelineSettings.load()
    assert "hunter2" not in str(caught.value)


def test_a_named_redis_wins_over_the_embedded_one(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pipeline = PipelineSettings.load(home=tmp_path / "home")
    assert redis_settings(pipeline).port == 6379
    with EmbeddedServer(pipeline.redis_folder) as server:
        found = redis_settings(pipeline)
        assert (found.host, found.port) == ("127.0.0.1", server.port)
        monkeypatch.setenv("REDIS_HOST", "elsewhere")
        found = redis_settings(pipeline)
        assert brings_own_redis(found)
        assert found.host == "elsewhere"


def test_the_store_is_a_file_in_the_home_unless_it_is_named(tmp_path: Path) -> None:
    assert PipelineSettings.load(home=tmp_path).store_address == f"sqlite:///{tmp_path}/tutormax.db"
    assert PipelineSettings.load(store_url="sqlite:///x.db").store_address == "sqlite:///x.db"
