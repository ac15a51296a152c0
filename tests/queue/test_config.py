"""Settings: names, defaults, and errors that name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from queue_core import RedisSettings, get_redis_client
from queue_core.errors import ConfigurationError

#: Variable, its default as the design writes it, another value, and what that becomes.
VARIABLES = [
    ("REDIS_HOST", "localhost", "queue.example", "queue.example"),
    ("REDIS_PORT", "6379", "7000", 7000),
    ("REDIS_DB", "0", "3", 3),
    ("REDIS_USERNAME", "", "worker", "worker"),
    ("REDIS_SSL", "false", "true", True),
    ("REDIS_SSL_CA_CERTS", "", "ca.pem", "ca.pem"),
    ("REDIS_SSL_CERTFILE", "", "cert.pem", "cert.pem"),
    ("REDIS_SSL_KEYFILE", "", "key.pem", "key.pem"),
    ("REDIS_SSL_CHECK_HOSTNAME", "true", "false", False),
    ("REDIS_SENTINELS", "", "a:1, [::1]:2,b", (("a", 1), ("::1", 2), ("b", 26379))),
    ("REDIS_SENTINEL_MASTER", "mymaster", "queue", "queue"),
    ("REDIS_SENTINEL_USERNAME", "", "watcher", "watcher"),
    ("REDIS_WAIT_REPLICAS", "0", "1", 1),
    ("REDIS_KEY_PREFIX", "tutormax", "{tutormax}", "{tutormax}"),
    ("REDIS_MAX_CONNECTIONS", "50", "8", 8),
    ("REDIS_SOCKET_TIMEOUT", "5", "1.5", 1.5),
    ("REDIS_SOCKET_CONNECT_TIMEOUT", "5", "0.5", 0.5),
    ("REDIS_RETRY_ON_TIMEOUT", "true", "false", False),
    ("REDIS_MAX_RETRIES", "3", "0", 0),
    ("REDIS_RETRY_BACKOFF_MS", "100", "0", 0),
    ("REDIS_MESSAGE_TTL_SECONDS", "86400", "0", 0),
    ("REDIS_MAX_MESSAGE_SIZE_BYTES", "1048576", "10", 10),
    ("REDIS_WORKER_BATCH_SIZE", "10", "500", 500),
    ("REDIS_WORKER_POLL_INTERVAL_MS", "100", "20", 20),
    ("REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS", "300", "0.5", 0.5),
    ("REDIS_WORKER_TIME_LIMIT_SECONDS", "600", "0", 0),
    ("REDIS_WORKER_GRACE_SECONDS", "25", "0.5", 0.5),
    ("REDIS_QUEUE_MAXLEN", "100000", "1", 1),
]


def field(variable: str) -> str:
    return variable.removeprefix("REDIS_").lower()


@pytest.mark.parametrize(("variable", "default", "value", "meaning"), VARIABLES)
def test_every_variable_has_its_default_and_is_read(
    monkeypatch: pytest.MonkeyPatch, variable: str, default: str, value: str, meaning: object
) -> None:
    plain = RedisSettings.load()
    monkeypatch.setenv(variable, default)
    assert RedisSettings.load() == plain
    monkeypatch.setenv(variable, value)
    assert RedisSettings.load() == plain.model_copy(update={field(variable): meaning})
    assert RedisSettings.load() != plain


def test_there_is_no_password_and_no_url_unless_one_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = RedisSettings.load()
    assert (plain.password, plain.url) == (None, None)
    monkeypatch.setenv("REDIS_PASSWORD", "")
    assert RedisSettings.load().password is None
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    monkeypatch.setenv("REDIS_URL", "rediss://h/1")
    given = RedisSettings.load()
    assert given.password is not None
    assert given.url is not None
    assert (given.password.get_secret_value(), given.url.get_secret_value()) == ("hunter2", "rediss://h/1")


def test_every_setting_is_tested_here() -> None:
    others = {"password", "url", "sentinel_password", "cluster", "cluster_nodes"}
    assert {field(row[0]) for row in VARIABLES} | others == set(RedisSettings.model_fields)


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("REDIS_PORT", "abc", "valid integer"),
        ("REDIS_PORT", "0", "greater than or equal to 1"),
        ("REDIS_PORT", "70000", "less than or equal to 65535"),
        ("REDIS_DB", "-1", "greater than or equal to 0"),
        ("REDIS_SENTINELS", "a:b", "host:port"),
        ("REDIS_SENTINELS", "a:1,,b:2", "host:port"),
        ("REDIS_SENTINELS", "a:70000", "ports from 1 to 65535"),
        ("REDIS_SENTINELS", ":1", "host:port"),
        ("REDIS_CLUSTER_NODES", "a:1", "without REDIS_CLUSTER=true"),
        ("REDIS_CLUSTER", "maybe", "valid boolean"),
        ("REDIS_WAIT_REPLICAS", "-1", "greater than or equal to 0"),
        ("REDIS_SSL", "perhaps", "valid boolean"),
        ("REDIS_MAX_CONNECTIONS", "0", "greater than or equal to 1"),
        ("REDIS_SOCKET_TIMEOUT", "0.1", "greater than or equal to 0.2"),
        ("REDIS_SOCKET_TIMEOUT", "inf", "less than or equal to 86400"),
        ("REDIS_SOCKET_CONNECT_TIMEOUT", "1e300", "less than or equal to 86400"),
        ("REDIS_RETRY_ON_TIMEOUT", "2", "valid boolean"),
        ("REDIS_MAX_RETRIES", "-1", "greater than or equal to 0"),
        ("REDIS_RETRY_BACKOFF_MS", "1.5", "valid integer"),
        ("REDIS_MESSAGE_TTL_SECONDS", "-1", "greater than or equal to 0"),
        ("REDIS_MAX_MESSAGE_SIZE_BYTES", "0", "greater than or equal to 1"),
        ("REDIS_WORKER_BATCH_SIZE", "10001", "less than or equal to 10000"),
        ("REDIS_WORKER_POLL_INTERVAL_MS", "0", "greater than or equal to 1"),
        ("REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS", "nan", "or equal to 86400"),
        ("REDIS_WORKER_TIME_LIMIT_SECONDS", "-1", "greater than or equal to 0"),
        ("REDIS_WORKER_GRACE_SECONDS", "inf", "less than or equal to 86400"),
        ("REDIS_QUEUE_MAXLEN", "1e5", "valid integer"),
        ("REDIS_KEY_PREFIX", "a b", "A-Za-z0-9_"),
        ("REDIS_URL", "http://h/0", "redis://, rediss:// or unix://"),
        ("REDIS_URL", "redis://h:port/0", "redis://user:password@host:6379/0"),
        ("REDIS_URL", "redis://h:70000/0", "redis://user:password@host:6379/0"),
        ("REDIS_URL", "redis://h/0?socket_timeout=soon", "options that redis-py knows"),
        ("REDIS_URL", "redis://h/0?colour=green", "options that redis-py knows"),
    ],
)
def test_a_bad_value_gives_one_line_that_names_the_variable_and_what_it_may_be(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str, words: str
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ConfigurationError) as caught:
        get_redis_client()
    assert str(caught.value).startswith(f"{variable} (")
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_every_bad_value_gets_its_own_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PORT", "abc")
    monkeypatch.setenv("REDIS_DB", "x")
    with pytest.raises(ConfigurationError) as caught:
        RedisSettings.load()
    assert [line.split()[0] for line in str(caught.value).splitlines()] == ["REDIS_PORT", "REDIS_DB"]


@pytest.mark.parametrize(
    "url",
    [
        "http://u:hunter2@h/0",
        "redis://:hunter2@h:port/0",
        "redis://u:hunter2/x@h/0",
        "redis://u:hunter2#x@h:1/0",
        "redis://[u:hunter2@h/0",
    ],
)
def test_no_error_shows_a_secret(monkeypatch: pytest.MonkeyPatch, url: str) -> None:
    monkeypatch.setenv("REDIS_URL", url)
    with pytest.raises(ConfigurationError, match=r"^REDIS_URL") as caught:
        RedisSettings.load()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("REDIS_HOST", "user:hunter2@127.0.0.1"),
        ("REDIS_SENTINELS", "hunter2@127.0.0.1:1"),
        ("REDIS_SENTINELS", "127.0.0.1:1,user:hunter2@[::1]:1"),
        ("REDIS_CLUSTER_NODES", "hunter2@127.0.0.1:1"),
        ("REDIS_PORT", "hunter2@127.0.0.1:1"),
    ],
)
def test_a_password_in_a_variable_for_a_host_is_refused_and_not_shown(
    monkeypatch: pytest.MonkeyPatch, variable: str, text: str
) -> None:
    monkeypatch.setenv(variable, text)
    with pytest.raises(ConfigurationError, match=rf"^{variable} ") as caught:
        RedisSettings.load()
    assert "hunter2" not in str(caught.value)


def test_the_settings_and_the_client_do_not_show_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    monkeypatch.setenv("REDIS_URL", "redis://u:hunter2@h:1/0")
    settings = RedisSettings.load()
    with get_redis_client() as client:
        shown = [repr(settings), str(settings), settings.model_dump_json()]
        shown += [repr(client), repr(client.redis), client.address]
    assert "hunter2" not in " ".join(shown)


def test_dotenv_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("# a comment\nREDIS_PORT=7000\nREDIS_DB=3\nREDIS_PASSWORD=\nOTHER=1\n")
    monkeypatch.setenv("REDIS_DB", "4")
    settings = RedisSettings.load()
    assert (settings.port, settings.db, settings.password) == (7000, 4, None)


def test_a_value_given_in_code_wins_over_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_DB=3\n")
    monkeypatch.setenv("REDIS_DB", "4")
    assert RedisSettings.load(db=5).db == 5


def test_a_bad_value_in_dotenv_names_its_variable_too(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("REDIS_PORT=abc\n")
    with pytest.raises(ConfigurationError, match=r"^REDIS_PORT "):
        RedisSettings.load()


def test_a_dotenv_that_is_no_text_is_named_and_not_shown(tmp_path: Path) -> None:
    (tmp_path / ".env").write_bytes(b"REDIS_PASSWORD=hunter2\xff\n")
    with pytest.raises(ConfigurationError, match=r"^\.env: is not UTF-8") as caught:
        RedisSettings.load()
    assert caught.value.__cause__ is None
    assert "hunter2" not in str(caught.value)


def test_settings_cannot_be_changed_afterwards() -> None:
    with pytest.raises(ValueError, match="frozen"):
        RedisSettings.load().port = 1  # type: ignore[misc]


def test_on_a_cluster_the_prefix_gets_a_hash_tag_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    assert RedisSettings.load().key_prefix == "tutormax"
    monkeypatch.setenv("REDIS_CLUSTER", "true")
    monkeypatch.setenv("REDIS_CLUSTER_NODES", "a:1,b")
    settings = RedisSettings.load()
    assert settings.cluster
    assert settings.cluster_nodes == (("a", 1), ("b", 6379))
    assert settings.key_prefix == "{tutormax}"
    assert RedisSettings.load(key_prefix="of-{one}.slot").key_prefix == "of-{one}.slot"


@pytest.mark.parametrize("prefix", ["tutormax", "{}tutormax", "tutor}max{", "{tutormax", "{}{tutormax}"])
def test_a_prefix_without_a_hash_tag_is_refused_on_a_cluster(prefix: str) -> None:
    with pytest.raises(ConfigurationError, match=r"REDIS_KEY_PREFIX.*hash tag.*\{tutormax\}"):
        RedisSettings.load(cluster=True, key_prefix=prefix)
    assert RedisSettings.load(key_prefix=prefix)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"sentinels": "a:1", "url": "redis://h"}, "REDIS_SENTINELS.*cannot be combined with REDIS_URL"),
        ({"sentinels": "a:1", "cluster": True}, "REDIS_CLUSTER.*no Sentinels"),
        ({"cluster": True, "db": 1}, "REDIS_CLUSTER.*other database"),
        ({"cluster": True, "url": "redis://:secret@h/1"}, "REDIS_CLUSTER.*REDIS_URL"),
        ({"cluster": True, "url": "redis://:secret@h?db=1"}, "REDIS_CLUSTER.*REDIS_URL"),
        ({"cluster": True, "url": "unix://:secret@/path"}, "REDIS_CLUSTER.*REDIS_URL"),
    ],
)
def test_settings_that_exclude_each_other_are_refused(values: dict[str, object], words: str) -> None:
    with pytest.raises(ConfigurationError, match=words) as caught:
        RedisSettings.load(**values)
    assert "secret" not in str(caught.value)


def test_a_cluster_may_be_given_by_its_url() -> None:
    for url in (
        "redis://user:secret@h:7000",
        "rediss://h/",
        "redis://h/0",
        "redis://h?socket_keepalive=true",
    ):
        assert RedisSettings.load(cluster=True, url=url).cluster
