"""Settings: names, defaults, and errors that name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from queue_core import QueueChannels, RedisSettings
from queue_core.channels import Keys
from queue_core.errors import ConfigurationError

DEFAULTS = """REDIS_HOST=localhost REDIS_PORT=6379 REDIS_DB=0 REDIS_MAX_CONNECTIONS=50 REDIS_SOCKET_TIMEOUT=5
REDIS_SOCKET_CONNECT_TIMEOUT=5 REDIS_RETRY_ON_TIMEOUT=true REDIS_MAX_RETRIES=3 REDIS_RETRY_BACKOFF_MS=100
REDIS_MESSAGE_TTL_SECONDS=86400 REDIS_MAX_MESSAGE_SIZE_BYTES=1048576 REDIS_WORKER_BATCH_SIZE=10
REDIS_WORKER_POLL_INTERVAL_MS=100 REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS=300 REDIS_QUEUE_MAXLEN=100000"""


def test_the_defaults_are_the_documented_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RedisSettings.load()
    assert plain.password is None
    for pair in DEFAULTS.split():
        monkeypatch.setenv(*pair.split("="))
    assert RedisSettings.load() == plain


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("REDIS_PORT", "abc", "valid integer"),
        ("REDIS_PORT", "70000", "less than or equal to 65535"),
        ("REDIS_MAX_RETRIES", "-1", "greater than or equal to 0"),
        ("REDIS_RETRY_ON_TIMEOUT", "perhaps", "valid boolean"),
        ("REDIS_URL", "http://x", "redis://"),
        ("REDIS_KEY_PREFIX", "a b", "pattern"),
        ("REDIS_QUEUE_MAXLEN", "0", "greater than or equal to 1"),
    ],
)
def test_a_bad_value_names_its_variable_and_what_it_may_be(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError, match=words) as caught:
        RedisSettings.load()
    assert str(caught.value).startswith(variable)
    assert "\n" not in str(caught.value)


def test_secrets_are_never_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    monkeypatch.setenv("REDIS_URL", "redis://u:hunter2@h/0")
    assert "hunter2" not in repr(RedisSettings.load())
    monkeypatch.setenv("REDIS_URL", "http://u:hunter2@h/0")
    with pytest.raises(ConfigurationError) as caught:
        RedisSettings.load()
    assert "hunter2" not in str(caught.value)


def test_dotenv_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_PORT=7000\nREDIS_DB=3\nREDIS_PASSWORD=\n")
    monkeypatch.setenv("REDIS_DB", "4")
    settings = RedisSettings.load()
    assert (settings.port, settings.db, settings.password) == (7000, 4, None)


def test_channels_are_found_by_name_and_by_key() -> None:
    assert QueueChannels.find("tutors") is QueueChannels.find("tutormax:tutors") is QueueChannels.TUTORS
    with pytest.raises(ConfigurationError, match="tutors, sessions, feedback"):
        QueueChannels.find("tutor")


def test_every_key_is_made_from_the_prefix() -> None:
    keys = Keys("{tutormax}")
    assert keys.stream(QueueChannels.TUTORS) == "{tutormax}:tutors"
    assert keys.retry(QueueChannels.TUTORS) == "{tutormax}:tutors:retry"
    assert keys.processing(QueueChannels.TUTORS) == "{tutormax}:tutors:processing"
    assert keys.dead_letter == "{tutormax}:dead_letter"
