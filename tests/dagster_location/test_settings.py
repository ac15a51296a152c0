"""What the environment says, what holds without it, and which Redis is meant."""

from __future__ import annotations

from pathlib import Path

import pytest

from queue_core import RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from queue_core.errors import ConfigurationError
from tutormax_pipeline.settings import PipelineSettings, brings_own_redis, redis_settings


def test_without_an_environment_the_defaults_hold(tmp_path: Path) -> None:
    settings = PipelineSettings.load()
    assert settings.home == Path(".tutormax")
    assert settings.store_timeout_seconds == 30
    assert (settings.drain_min_messages, settings.drain_max_wait_seconds) == (100, 0)
    assert (settings.drain_linger_seconds, settings.drain_max_seconds) == (300, 3_600)
    assert settings.drain_max_parallel_runs == 1
    assert (settings.alert_age_seconds, settings.alert_dead_letters) == (900, 10)
    assert settings.store_address == f"sqlite:///{tmp_path}/.tutormax/tutormax.db"
    assert settings.redis_folder == tmp_path / ".tutormax" / "redis"
    assert settings.dagster_home == tmp_path / ".tutormax" / "dagster"


@pytest.mark.parametrize(
    ("variable", "text", "field", "value"),
    [
        ("TUTORMAX_HOME", "elsewhere", "home", Path("elsewhere")),
        ("TUTORMAX_STORE_TIMEOUT_SECONDS", "0.5", "store_timeout_seconds", 0.5),
        ("TUTORMAX_DRAIN_MIN_MESSAGES", "7", "drain_min_messages", 7),
        ("TUTORMAX_DRAIN_MAX_WAIT_SECONDS", "1.5", "drain_max_wait_seconds", 1.5),
        ("TUTORMAX_DRAIN_LINGER_SECONDS", "0", "drain_linger_seconds", 0),
        ("TUTORMAX_DRAIN_MAX_SECONDS", "90", "drain_max_seconds", 90),
        ("TUTORMAX_DRAIN_MAX_SECONDS", "", "drain_max_seconds", 3_600),
    ],
)
def test_each_variable_sets_its_value_and_an_empty_one_none(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str, field: str, value: object
) -> None:
    monkeypatch.setenv(variable, text)
    assert getattr(PipelineSettings.load(), field) == value


def test_the_environment_wins_over_the_env_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("TUTORMAX_DRAIN_MIN_MESSAGES=3\nTUTORMAX_DRAIN_LINGER_SECONDS=4\n")
    monkeypatch.setenv("TUTORMAX_DRAIN_MIN_MESSAGES", "5")
    settings = PipelineSettings.load()
    assert (settings.drain_min_messages, settings.drain_linger_seconds) == (5, 4)


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("TUTORMAX_STORE_TIMEOUT_SECONDS", "0"),
        ("TUTORMAX_DRAIN_MIN_MESSAGES", "0"),
        ("TUTORMAX_DRAIN_MIN_MESSAGES", "many"),
        ("TUTORMAX_DRAIN_MAX_WAIT_SECONDS", "-1"),
        ("TUTORMAX_DRAIN_LINGER_SECONDS", "-0.1"),
        ("TUTORMAX_DRAIN_MAX_SECONDS", "0"),
        ("TUTORMAX_DRAIN_MAX_PARALLEL_RUNS", "0"),
        ("TUTORMAX_ALERT_AGE_SECONDS", "0"),
        ("TUTORMAX_ALERT_DEAD_LETTERS", "-1"),
    ],
)
def test_a_bad_value_is_named_with_its_variable(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError) as caught:
        PipelineSettings.load()
    (line,) = str(caught.value).splitlines()
    assert line.startswith(f"{variable} (")
    assert repr(text) in line


def test_a_password_of_the_store_is_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORMAX_STORE_URL", "sqlite://u:hunter2@h/x.db")
    settings = PipelineSettings.load()
    assert "hunter2" not in repr(settings) + str(settings)
    assert settings.store_address == "sqlite://u:hunter2@h/x.db"
    monkeypatch.setenv("TUTORMAX_STORE_URL", "hunter2 is no address")
    with pytest.raises(ConfigurationError, match=r"^TUTORMAX_STORE_URL") as caught:
        PipelineSettings.load()
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("postgresql://user:p@hunter2@127.0.0.1/db", "in the password as %3A"),
        ("postgresql://user:p@hun:ter2@127.0.0.1/db", "in the password as %3A"),
        ("postgresql://user:p@127.0.0.1:hunter2/db", "in the password as %3A"),
        ("postgresql://user:hunter2@127.0.0.1:0/db", "from 1 to 65535"),
        ("postgresql://user:hunter2@127.0.0.1:70000/db", "from 1 to 65535"),
    ],
)
def test_an_address_that_is_read_wrongly_is_refused_and_no_part_of_it_shown(
    monkeypatch: pytest.MonkeyPatch, address: str, words: str
) -> None:
    monkeypatch.setenv("TUTORMAX_STORE_URL", address)
    with pytest.raises(ConfigurationError, match=words) as caught:
        PipelineSettings.load()
    said = str(caught.value)
    assert said.startswith("TUTORMAX_STORE_URL")
    assert not any(part in said for part in ("hun", "ter2", "127.0.0.1", "literal", "\n"))


def test_a_user_name_with_an_at_sign_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TUTORMAX_STORE_URL", "postgresql://user@server:p%40ss@127.0.0.1:5432/db")
    assert PipelineSettings.load().store_address.endswith("p%40ss@127.0.0.1:5432/db")


def test_the_store_is_a_file_in_the_home_unless_it_is_named(tmp_path: Path) -> None:
    assert PipelineSettings.load(home=tmp_path).store_address == f"sqlite:///{tmp_path}/tutormax.db"
    assert PipelineSettings.load(store_url="sqlite:///x.db").store_address == "sqlite:///x.db"


def test_a_named_redis_wins_over_the_embedded_one_of_the_home(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipeline = PipelineSettings.load(home=tmp_path / "home")
    assert redis_settings(pipeline).port == 6379
    with EmbeddedServer(pipeline.redis_folder) as server:
        found = redis_settings(pipeline)
        assert (found.host, found.port) == ("127.0.0.1", server.port)
        assert redis_settings(PipelineSettings.load(home=tmp_path / "other")).port == 6379
        monkeypatch.setenv("REDIS_HOST", "elsewhere")
        found = redis_settings(pipeline)
        assert brings_own_redis(found)
        assert (found.host, found.port) == ("elsewhere", 6379)
        monkeypatch.delenv("REDIS_HOST")
        monkeypatch.setenv("REDIS_URL", "redis://named:1234/5")
        found = redis_settings(pipeline)
        assert brings_own_redis(found)
        assert found.url is not None
        assert found.url.get_secret_value() == "redis://named:1234/5"
        monkeypatch.delenv("REDIS_URL")
    ended = redis_settings(pipeline)
    assert not brings_own_redis(ended)
    assert (ended.host, ended.port) == ("localhost", 6379)


def test_the_password_of_another_redis_is_not_sent_to_the_embedded_one(tmp_path: Path) -> None:
    pipeline = PipelineSettings.load(home=tmp_path / "home")
    (tmp_path / ".env").write_text("REDIS_PASSWORD=of-compose\nREDIS_USERNAME=pipeline\nREDIS_SSL=true\n")
    with EmbeddedServer(pipeline.redis_folder), RedisClient(redis_settings(pipeline)) as client:
        assert client.health_check().server


@pytest.mark.parametrize(
    ("variable", "value"),
    [("REDIS_SENTINELS", "sentinel:26379"), ("REDIS_CLUSTER", "true")],
)
def test_sentinels_and_a_cluster_are_a_redis_of_ones_own(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    monkeypatch.setenv("REDIS_CLUSTER", "false")
    assert not brings_own_redis(RedisSettings.load())
    monkeypatch.setenv(variable, value)
    assert brings_own_redis(RedisSettings.load())


def test_other_settings_of_redis_hold_for_the_embedded_one_too(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pipeline = PipelineSettings.load(home=tmp_path / "home")
    monkeypatch.setenv("REDIS_KEY_PREFIX", "mine")
    with EmbeddedServer(pipeline.redis_folder) as server:
        found = redis_settings(pipeline)
        assert (found.port, found.key_prefix) == (server.port, "mine")
    monkeypatch.setenv("REDIS_DB", "first")
    with pytest.raises(ConfigurationError, match=r"^REDIS_DB"):
        redis_settings(pipeline)
