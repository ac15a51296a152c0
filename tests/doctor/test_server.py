"""What is wrong with a server: made wrong where a server can be, else told from what it would say."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from queue_core import RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.server_facts import COMMANDS, ServerFacts, server_facts
from tests.conftest import settings_for, wait_until
from tutormax_pipeline.doctor import server
from tutormax_pipeline.findings import Finding, Severity

SCRIPTS = Path(__file__).parents[2] / "queue_core" / "scripts"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("doctored")


@pytest.fixture(scope="module")
def doctored(folder: Path) -> Iterator[EmbeddedServer]:
    """A server that these tests make wrong."""
    with EmbeddedServer(folder) as one:
        yield one


@pytest.fixture
def wrong(doctored: EmbeddedServer) -> Iterator[RedisClient]:
    with RedisClient(settings_for(doctored)) as client:
        before = client.redis.config_get("*")
        yield client
        client.redis.replicaof("NO", "ONE")
        for name in ("appendonly", "appendfsync", "timeout", "maxmemory", "maxmemory-policy", "save"):
            client.redis.config_set(name, before[name])


def found(client: RedisClient) -> dict[str, Finding]:
    return {one.check: one for one in server.findings(server_facts(client), client.settings)}


def told(facts: ServerFacts, client: RedisClient) -> list[str]:
    return [one.check for one in server.findings(facts, client.settings)]


def test_a_server_as_we_start_it_has_nothing_wrong(wrong: RedisClient) -> None:
    assert found(wrong) == {}


@pytest.mark.parametrize(
    ("name", "value", "check"),
    [
        ("maxmemory-policy", "allkeys-lru", "eviction"),
        ("maxmemory", "1", "memory"),
        ("appendonly", "no", "append_only"),
        ("appendfsync", "no", "appendfsync"),
        ("timeout", "10", "client_timeout"),
    ],
)
def test_a_wrong_setting_is_found_and_names_its_remedy(
    wrong: RedisClient, name: str, value: str, check: str
) -> None:
    wrong.redis.config_set(name, value)
    (finding,) = found(wrong).values()
    assert finding.check == check
    assert name in finding.remedy or check == "memory"


@pytest.mark.parametrize(
    ("name", "value"), [("timeout", "300"), ("maxmemory", "1gb"), ("appendfsync", "always")]
)
def test_a_setting_that_does_no_harm_is_let_be(wrong: RedisClient, name: str, value: str) -> None:
    wrong.redis.config_set(name, value)
    assert found(wrong) == {}


def test_a_replica_is_found(wrong: RedisClient) -> None:
    wrong.redis.replicaof("127.0.0.1", "1")
    assert found(wrong)["replica"].severity is Severity.ERROR


def test_a_snapshot_that_failed_is_an_error_only_where_writes_are_refused(
    wrong: RedisClient, folder: Path
) -> None:
    (folder / "dump.rdb" / "in the way").mkdir(parents=True)
    wrong.redis.bgsave()
    wait_until(lambda: wrong.redis.info()["rdb_last_bgsave_status"] == "err")
    assert found(wrong)["snapshot"].severity is Severity.WARNING
    wrong.redis.config_set("save", "3600 1")
    assert found(wrong)["snapshot"].severity is Severity.ERROR
    (folder / "dump.rdb" / "in the way").rmdir()
    (folder / "dump.rdb").rmdir()
    wrong.redis.bgsave()
    wait_until(lambda: wrong.redis.info()["rdb_last_bgsave_status"] == "ok")


def test_where_commands_are_refused_it_is_said_what_was_not_checked(wrong: RedisClient) -> None:
    wrong.redis.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+info", "+time", "+ping")
    url = str(wrong.settings.url.get_secret_value()).replace("://", "://limited:pw@")
    with RedisClient(wrong.settings.model_copy(update={"url": type(wrong.settings.url)(url)})) as limited:
        checks = found(limited)
    assert set(checks) == {"config_not_checked", "commands_not_checked"}
    assert {one.severity for one in checks.values()} == {Severity.NOTE}


@pytest.mark.parametrize(
    ("said", "check"),
    [
        ({"aof_last_write_status": "err"}, "aof_write"),
        ({"aof_last_bgrewrite_status": "err"}, "aof_rewrite"),
        ({"redis_version": "6.2.14"}, "version"),
        ({"total_system_memory": 1}, "memory"),
    ],
    ids=str,
)
def test_what_a_server_says_of_itself_is_understood(
    wrong: RedisClient, said: dict[str, object], check: str
) -> None:
    facts = server_facts(wrong)
    assert told(replace(facts, info={**facts.info, **said}), wrong) == [check]


@pytest.mark.parametrize("ahead", [-2.0, 2.0])
def test_a_clock_that_differs_is_found_and_which_way(wrong: RedisClient, ahead: float) -> None:
    facts = replace(server_facts(wrong), clock_ahead_seconds=ahead)
    (finding,) = server.findings(facts, wrong.settings)
    assert finding.check == "clock"
    assert ("ahead of" in finding.summary, "behind" in finding.summary) == (ahead > 0, ahead < 0)


def test_a_slow_answer_is_no_proof_of_a_wrong_clock(wrong: RedisClient) -> None:
    facts = replace(server_facts(wrong), clock_ahead_seconds=2.0, latency_seconds=3.0)
    assert told(facts, wrong) == ["latency"]


def test_missing_commands_are_named(wrong: RedisClient) -> None:
    facts = replace(server_facts(wrong), missing_commands=("XCLAIM",))
    (finding,) = server.findings(facts, wrong.settings)
    assert (finding.check, finding.severity) == ("commands", Severity.ERROR)
    assert "XCLAIM" in finding.summary


def test_the_probe_knows_every_command_of_the_scripts() -> None:
    called = {
        part.partition("'")[0]
        for path in SCRIPTS.glob("*.lua")
        for part in path.read_text().replace("redis.pcall('", "redis.call('").split("redis.call('")[1:]
    }
    assert called - set(COMMANDS) == set()


def test_a_command_that_is_not_there_is_noticed(wrong: RedisClient, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("queue_core.server_facts.COMMANDS", ("XADD", "XFLY", "PING"))
    assert server_facts(wrong).missing_commands == ("XFLY",)
