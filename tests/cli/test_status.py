"""Looking: one table for people, one object for programs."""

from __future__ import annotations

import json
from pathlib import Path

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from tests.cli.conftest import Command
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS


def test_every_channel_is_a_line_of_eighty_columns_at_most(
    process: Command, publisher: MessagePublisher, environment: dict[str, str]
) -> None:
    Store.open(f"sqlite:///{environment['TUTORMAX_HOME']}/tutormax.db").close()
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    done = process("status")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (header,) = [line for line in lines if "waiting" in line]
    assert all(word in header for word in ("channel", "pending", "retry", "dead", "oldest", "rows"))
    assert all(sum(channel.name in line for line in lines) == 1 for channel in QueueChannels.all())


def test_numbers_of_millions_still_fit(tutormax: Command, client: RedisClient) -> None:
    client.redis.xadd(client.keys.stream(TUTORS), {"message": b"{}"}, id="1-1")
    client.redis.xadd(client.keys.dead_letter, {"message": b"{}"})
    client.redis.hset(client.keys.dead_letter_counts, "tutors", 1_234_567)
    done = tutormax("status")
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "1,234,567" in done.stdout


def test_a_program_reads_the_same_figures_as_json(
    tutormax: Command,
    publisher: MessagePublisher,
    consumer: MessageConsumer,
    client: RedisClient,
    environment: dict[str, str],
) -> None:
    Store.open(f"sqlite:///{environment['TUTORMAX_HOME']}/tutormax.db").close()
    publisher.publish_batch(TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(3)])
    consumer.create_consumer_group(TUTORS)
    assert len(consumer.read(TUTORS, 2)) == 2
    done = tutormax("status", "--json")
    assert (done.returncode, done.stderr) == (0, "")
    found = json.loads(done.stdout)
    assert found["redis"] == client.address
    assert list(found["channels"]) == [channel.name for channel in QueueChannels.all()]
    tutors = found["channels"]["tutors"]
    assert (tutors["waiting"], tutors["pending"], tutors["dead"], tutors["rows"]) == (1, 2, 0, 0)
    assert tutors["oldest_unprocessed_age_seconds"] >= 0
    assert found["channels"]["sessions"]["oldest_unprocessed_age_seconds"] is None


def test_where_there_are_no_tables_it_says_so_and_makes_none(
    tutormax: Command, environment: dict[str, str]
) -> None:
    done = tutormax("status")
    assert (done.returncode, done.stderr.count("\n")) == (0, 1)
    assert done.stderr.startswith("Rows are not known: The store ")
    assert [line.split()[-2] for line in done.stdout.splitlines() if "tutors" in line] == ["-"]
    found = json.loads(tutormax("status", "--json").stdout)
    assert [one["rows"] for one in found["channels"].values()] == [None] * 3
    assert not Path(environment["TUTORMAX_HOME"]).exists()


def test_looking_changes_nothing(tutormax: Command, publisher: MessagePublisher, client: RedisClient) -> None:
    publisher.publish(TUTORS, {"tutor_id": "T", "name": "x"})
    before = sorted(client.redis.scan_iter(f"{client.settings.key_prefix}:*"))
    tutormax("status")
    assert sorted(client.redis.scan_iter(f"{client.settings.key_prefix}:*")) == before
    assert client.redis.xinfo_groups(client.keys.stream(TUTORS)) == []
