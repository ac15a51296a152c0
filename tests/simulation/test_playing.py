"""Publishing a simulation: at its pace, waiting where there is no room, to the end or until it is stopped."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import islice
from pathlib import Path

import pytest

from queue_core import MessageConsumer, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.embedded import EmbeddedServer
from queue_core.simulation import Fault, Plan, Tally, Upstream, business, play, with_faults
from queue_core.testing import assert_published
from tests.conftest import settings_for, wait_until
from tests.instance import COMMAND
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store

MONDAY = datetime(2026, 11, 2, tzinfo=UTC)
#: Messages of the first moment.
FOUNDERS = 20
EXAMPLE = Path(__file__).parents[2] / "examples" / "upstream_generator.py"


def messages(plan: Plan, bad_share: float = 0, duplicate_share: float = 0) -> list[Upstream]:
    events = business(plan, MONDAY)
    return list(with_faults(events, bad_share=bad_share, duplicate_share=duplicate_share, seed=plan.seed))


def publish(client: RedisClient, wanted: list[Upstream], **options: object) -> Tally:
    tally = Tally()
    given = {"speed": 0, "start": MONDAY, "wait": lambda _: False, "say": print} | options
    play(client, wanted, tally, **given)
    return tally


def test_each_bad_message_becomes_the_dead_letter_that_it_should_and_the_others_rows(
    valkey: EmbeddedServer, store: Store
) -> None:
    with RedisClient(settings_for(valkey, max_message_size_bytes=5_000)) as client:
        wanted = messages(Plan(0.4, 100, 500, 200), bad_share=0.2, duplicate_share=0.1)
        tally = publish(client, wanted)
        faults = Counter(one.fault for one in wanted)
        assert tally.faults == Counter({fault.value: faults[fault] for fault in Fault})
        assert tally.published.total() == len(wanted)
        outcomes: Counter[str] = Counter()
        for channel in QueueChannels.all():
            outcomes += drain(MessageConsumer(client), store, channel, run_id="r").outcomes
        assert outcomes == {
            "stored": faults[None],
            "duplicate": faults[Fault.DUPLICATE],
            "dead_lettered": len(wanted) - faults[None] - faults[Fault.DUPLICATE],
        }
        reasons = Counter(letter.reason for letter in DeadLetters(client).iterate())
        assert reasons == {
            "malformed": faults[Fault.NOT_JSON],
            "checksum_mismatch": faults[Fault.WRONG_CHECKSUM],
            "invalid": faults[Fault.SCHEMA_VIOLATION],
            "too_large": faults[Fault.TOO_LARGE],
        }


def test_a_full_queue_is_waited_for_told_once_and_order_is_kept(valkey: EmbeddedServer) -> None:
    with RedisClient(settings_for(valkey, queue_maxlen=7)) as client:
        wanted, said, drained = messages(Plan(0.02, tutors=1_000, sessions=0)), [], []
        consumer = MessageConsumer(client)
        consumer.create_consumer_group("tutors")

        def wait(seconds: float) -> bool:
            if seconds:
                for message in consumer.consume("tutors", count=3):
                    drained.append(message["id"])
                    consumer.acknowledge("tutors", message["_redis_id"])
            return False

        tally = publish(client, wanted, wait=wait, say=said.append)
        drained += [message["id"] for message in consumer.consume("tutors", count=100)]
        assert drained == [one.event.message_id for one in wanted]
        assert tally.published == {"tutors": len(wanted)}
        assert said == ["Queue tutors is full (REDIS_QUEUE_MAXLEN): waiting until it is drained."]


@pytest.mark.parametrize("after", [1, 3])
def test_a_stop_ends_it_and_what_was_published_is_known(client: RedisClient, after: int) -> None:
    asked = iter([False] * after + [True] * 9)
    tally = publish(client, messages(Plan(1)), speed=1, wait=lambda _: next(asked))
    assert tally.stopped
    assert tally.published == {"tutors": after}
    assert_published(client, "tutors", count=after)


def test_messages_come_when_it_is_their_time(client: RedisClient) -> None:
    now = 100.0

    def wait(seconds: float) -> bool:
        nonlocal now
        now += seconds
        times.append(now - 100)
        return False

    times: list[float] = []
    wanted = list(islice(messages(Plan(1)), 60))
    publish(client, wanted, speed=60, wait=wait, clock=lambda: now)
    assert times == pytest.approx([(one.event.at - MONDAY) / timedelta(minutes=1) for one in wanted])


@pytest.mark.parametrize("speed", [-1, math.nan, math.inf])
def test_a_speed_without_sense_is_refused_before_anything_is_published(
    client: RedisClient, speed: float
) -> None:
    with pytest.raises(ValueError, match="speed must be a number, 0 or more"):
        publish(client, messages(Plan(0.1)), speed=speed)
    assert client.redis.xlen(client.keys.stream(QueueChannels.TUTORS)) == 0


def test_however_slow_it_is_a_thread_can_wait_for_it(client: RedisClient) -> None:
    waits: list[float] = []

    def wait(seconds: float) -> bool:
        waits.append(seconds)
        return len(waits) > FOUNDERS

    assert publish(client, messages(Plan(1)), speed=1e-300, wait=wait).stopped
    assert max(waits) <= threading.TIMEOUT_MAX


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--speed", "-1"], "Error: speed must be"),
        (["--days", "1e9"], "Error: the end must be before the year 9999"),
        (["--start", "0001-01-01T00:00+05:00"], "error: argument --start"),
    ],
)
def test_the_example_refuses_what_makes_no_sense_without_a_traceback(
    options: list[str], words: str, valkey: EmbeddedServer
) -> None:
    done = run_example(valkey.url, "none", *options)
    assert done.returncode != 0
    assert words in done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_heeds_the_offset_of_its_start(client: RedisClient, valkey: EmbeddedServer) -> None:
    options = ["--speed", "0", "--days", "0.01", "--sessions", "0", "--tutors", "1"]
    prefix = client.settings.key_prefix
    for start in ("2026-11-02T05:00+05:00", "2026-11-02"):
        assert run_example(valkey.url, prefix, *options, "--start", start).returncode == 0
    found = Counter(message["id"] for message in MessageConsumer(client).consume("tutors", 100))
    assert set(found.values()) == {2}


def run_example(url: str, prefix: str, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, EXAMPLE, *options],
        env={
            **os.environ,
            "REDIS_URL": url,
            "REDIS_KEY_PREFIX": prefix,
            "PYTHONPATH": str(EXAMPLE.parents[1]),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(
    "program", [[*COMMAND, "simulate"], [sys.executable, EXAMPLE]], ids=["command", "example"]
)
def test_ctrl_c_ends_it_at_once_with_a_summary(
    program: list[str], client: RedisClient, valkey: EmbeddedServer, tmp_path: Path
) -> None:
    place = {"REDIS_URL": valkey.url, "REDIS_KEY_PREFIX": client.settings.key_prefix}
    # So slow that after the first ones it waits for an hour.
    process = subprocess.Popen(
        [*program, "--speed", "0.01", "--start", "2026-11-02"],
        cwd=tmp_path,
        env={**os.environ, **place, "PYTHONPATH": str(EXAMPLE.parents[1])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    stream = client.keys.stream(QueueChannels.TUTORS)
    wait_until(lambda: client.redis.xlen(stream) == FOUNDERS, 30)
    process.send_signal(signal.SIGINT)
    said, errors = process.communicate(timeout=30)
    assert process.returncode == 0
    assert said.startswith("Stopped")
    assert str(FOUNDERS) in said
    assert "Traceback" not in errors
    assert client.redis.xlen(stream) == FOUNDERS


def test_the_example_publishes_with_nothing_but_the_queue(
    client: RedisClient, valkey: EmbeddedServer, tmp_path: Path
) -> None:
    place = {"REDIS_URL": valkey.url, "REDIS_KEY_PREFIX": client.settings.key_prefix}
    options = ["--speed", "0", "--days", "0.3", "--bad-share", "0.1", "--start", "2026-11-02T12:00"]
    check = (
        "import runpy, sys; sys.argv[0] = sys.argv.pop(1)\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "finally: assert not {'dagster', 'sqlalchemy', 'click', 'tutormax_pipeline'} & set(sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", check, EXAMPLE, *options],
        cwd=tmp_path,
        env={**os.environ, **place, "PYTHONPATH": str(EXAMPLE.parents[1])},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Ended. Published: ")
    lengths = [client.redis.xlen(client.keys.stream(channel)) for channel in QueueChannels.all()]
    assert all(str(length) in done.stdout for length in lengths)
    assert min(lengths) > 10
