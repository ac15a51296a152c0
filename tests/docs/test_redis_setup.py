"""docs/redis-setup.md: its configuration, its figures and its error lines are those that there are."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import orjson
import pytest
import redis

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer
from queue_core.monitor import snapshot
from queue_core.server_facts import server_facts
from tests.conftest import SERVER_KINDS, server_binary, settings_for, wait_until
from tests.docs.guide import PROJECT, blocks
from tests.docs.servers import started
from tests.docs.shown import shows
from tests.docs.trouble import TROUBLES
from tutormax_pipeline.doctor import server
from tutormax_pipeline.sample import sample_lines

GUIDE = "docs/redis-setup.md"
TEXT = (PROJECT / GUIDE).read_text()
CONFIGURATION = PROJECT / "deploy" / "redis" / "redis.conf"
#: How far a figure of the guide may be off.
NEARLY = 0.1


def sections() -> dict[str, str]:
    """What the troubleshooting shows under each title; only of those that show something."""
    _, _, text = TEXT.partition("\n## Troubleshooting\n")
    found = re.findall(r"^### (.+)\n\n```text\n((?:.*\n)+?)```", text, re.MULTILINE)
    return dict(found)


def rows(first: str) -> list[list[str]]:
    """The cells of each row of the table whose first column is called so."""
    _, _, table = TEXT.partition(f"| {first} |")
    lines = table.partition("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_trouble_that_is_shown_is_made() -> None:
    shown = sum(block.language == "text" for block in blocks(GUIDE))
    assert set(sections()) == set(TROUBLES)
    assert len(sections()) == shown


@pytest.mark.needs_redis_server
@pytest.mark.parametrize("title", TROUBLES)
def test_a_command_says_what_the_guide_shows(title: str, tmp_path: Path) -> None:
    said = TROUBLES[title](tmp_path)
    assert shows(said, sections()[title]), said


def test_every_variable_is_there_with_its_default() -> None:
    shown = {name.strip("`"): default.strip("`") for name, default, *_ in rows("variable")}
    defaults = {}
    for name, value in RedisSettings.load():
        defaults[f"REDIS_{name}".upper()] = (
            "" if value in (None, ()) else str(value).lower().removesuffix(".0")
        )
    assert shown == defaults


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_the_doctor_finds_nothing_in_the_recommended_configuration(kind: str, tmp_path: Path) -> None:
    with started(kind, CONFIGURATION, tmp_path) as url:
        assert findings(url) == []


@pytest.mark.needs_redis_server
def test_the_doctor_finds_nothing_in_the_container(tmp_path: Path) -> None:
    (command,) = [one for block in blocks(GUIDE) if "docker run" in block.text for one in block.commands()]
    words = shlex.split(command)
    (tmp_path / "redis.conf").touch()
    options = words[words.index("redis-server") + 1 :]
    with started("redis", tmp_path / "redis.conf", tmp_path, *options, "--bind", "127.0.0.1") as url:
        assert findings(url) == []


def findings(url: str) -> list[str]:
    with RedisClient(RedisSettings.load(url=url)) as client:
        found = server.findings(server_facts(client), client.settings)
        # How much of the machine's memory and time is free says nothing of a configuration.
        return [one.summary for one in found if one.check not in {"latency", "memory"}]


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_a_message_takes_as_much_memory_as_the_guide_says(kind: str, tmp_path: Path) -> None:
    column = {"redis": 2, "valkey": 3}[kind]
    with (
        EmbeddedServer(tmp_path, binary=server_binary(kind)) as one,
        RedisClient(settings_for(one)) as client,
    ):
        for row in rows("channel"):
            channel = QueueChannels.find(row[0])
            records = [orjson.loads(line) for line in sample_lines(channel)] * 10
            MessagePublisher(client).publish_batch(channel, records)
            used = client.redis.memory_usage(client.keys.stream(channel), samples=0)
            assert int(row[column]) == pytest.approx(used / len(records), rel=NEARLY), row


def test_the_queue_moves_to_another_server_by_replication(valkey: EmbeddedServer, tmp_path: Path) -> None:
    with RedisClient(settings_for(valkey)) as old, started("valkey", CONFIGURATION, tmp_path) as url:
        MessagePublisher(old).publish_batch(QueueChannels.TUTORS, [{"tutor_id": "T1", "name": "x"}] * 3)
        old.redis.config_set("repl-diskless-sync-delay", 0)
        (taken,) = MessageConsumer(old, "one").read(QueueChannels.TUTORS, 1)
        with RedisClient(RedisSettings.load(url=url, key_prefix=old.settings.key_prefix)) as new:
            new.redis.replicaof("127.0.0.1", str(valkey.port))
            wait_until(lambda: new.redis.info("replication").get("master_link_status") == "up", 30)
            new.redis.replicaof("NO", "ONE")
            found = snapshot(new, QueueChannels.TUTORS)
            assert (found.waiting, found.pending) == (2, 1)
            assert MessageConsumer(new, "one").acknowledge(QueueChannels.TUTORS, taken.id)


@pytest.mark.parametrize("kind", SERVER_KINDS)
def test_a_snapshot_alone_is_not_read_where_there_is_to_be_an_append_only_file(
    kind: str, tmp_path: Path
) -> None:
    (tmp_path / "redis.conf").touch()
    with started(kind, tmp_path / "redis.conf", tmp_path) as url, redis.Redis.from_url(url) as client:
        client.set("key", 1)
        client.save()
    options = ("--appendonly", "yes")
    with (
        started(kind, tmp_path / "redis.conf", tmp_path, *options) as url,
        redis.Redis.from_url(url) as client,
    ):
        assert client.dbsize() == 0
