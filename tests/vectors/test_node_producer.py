"""A producer in another language, and the guide that explains how to write one."""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.embedded import EmbeddedServer
from queue_core.outcomes import Message
from queue_core.serializer import checksum, deserialize
from queue_core.testing import assert_published
from tests.chaos.tcp_proxy import TcpProxy
from tests.conftest import settings_for, wait_until

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "producing.md").read_text()
PROGRAM = ROOT / "examples" / "producer.mjs"
TUTORS = QueueChannels.TUTORS

pytestmark = pytest.mark.needs_node

#: What the guide says to run.
COMMANDS = """\
node tests/vectors/verify.mjs docs/vectors/envelopes.json
echo '{"tutor_id": "T001", "name": "John Smith", "rating": 4.50}' | node examples/producer.mjs tutors
"""
#: Records as lines; numbers and keys are written as nobody's canonical form has them.
RECORDS = [
    '{"tutor_id": "T1", "name": "Ann", "rating": 4.50, "metrics": {"b": 1e21, "a": -0, "10": 1, "9": 1e-7}}',
    '{"tutor_id": "T2", "name": "\u00fc\u2028\\ud83d\\ude00 \\u0001 \\"/\\\\", "\ufb33": 1, "\U0001f600": 2}',
    '{"tutor_id": "T3", "name": "", "metrics": {"a": [0.1, 9007199254740991, 5e-324, null, true]}}',
]


def environment(client: RedisClient, server: EmbeddedServer) -> dict[str, str]:
    return {
        **os.environ,
        "REDIS_HOST": "127.0.0.1",
        "REDIS_PORT": str(server.port),
        "REDIS_KEY_PREFIX": client.settings.key_prefix,
        "REDIS_QUEUE_MAXLEN": str(client.settings.queue_maxlen),
    }


def test_what_node_publishes_is_read_and_verified_here(
    node: str, client: RedisClient, valkey: EmbeddedServer
) -> None:
    lines = [RECORDS[0], "not JSON", '{"tutor_id": "T0", "sessions_count": 9007199254740993}', *RECORDS[1:]]
    done = subprocess.run(
        [node, PROGRAM, "tutors"],
        input="\n".join(lines).encode(),
        env=environment(client, valkey),
        capture_output=True,
        timeout=60,
        check=False,
    )
    ids = done.stdout.decode().split()
    messages = MessageConsumer(client).consume(TUTORS)
    assert [message["id"] for message in messages] == ids
    assert [message["data"] for message in messages] == [json.loads(record) for record in RECORDS]
    assert done.returncode == 1
    first, second = done.stderr.decode().splitlines()
    assert first.startswith("line 2: ")
    assert second == "line 3: an integer beyond 2^53 - 1; send it as text"


REFUSED = {
    '{"a": 1e400}': "a number beyond a double",
    '{"a": [-1e400]}': "a number beyond a double",
    '{"a": 123456789012345678901234}': "an integer beyond 2^53 - 1; send it as text",
    '{"a": 1, "a": 2}': "the same key twice",
    '{"a": {"b": 1, "\\u0062": 2}}': "the same key twice",
    '{"a": "\\u0000"}': "U+0000",
    '{"a": "\\ud800"}': "half of a surrogate pair",
    '{"a": NaN}': "no value at 6",
    "null": "a record is an object",
    "[1]": "a record is an object",
    '"x"': "a record is an object",
    "": "no value at 1",
    '{"a": 1} {}': "something follows at 9",
    '{"a": "\udcff"}': "not UTF-8",
    '{"a": ' + "[" * 62 + "]" * 62 + "}": None,
    '{"a": ' + "[" * 63 + "]" * 63 + "}": "nested too deep",
    '{"a": "' + "x" * 1_000 + '"}': "larger than 1000 bytes",
}


def test_node_refuses_what_would_be_changed_or_become_a_dead_letter(
    node: str, client: RedisClient, valkey: EmbeddedServer
) -> None:
    done = subprocess.run(
        [node, PROGRAM, "tutors"],
        input="\n".join(REFUSED).encode(errors="surrogateescape"),
        env={**environment(client, valkey), "REDIS_MAX_MESSAGE_SIZE_BYTES": "1000"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    words = [f"line {number}: {words}" for number, words in enumerate(REFUSED.values(), 1) if words]
    assert done.stderr.decode().splitlines() == words
    assert done.returncode == 1
    (message,) = MessageConsumer(client).consume(TUTORS, 10)
    assert message["id"] == done.stdout.decode().strip()


@pytest.mark.parametrize("arguments", [[], ["tutrs"], ["undefined"], ["tutors", "sessions"]])
def test_node_knows_the_channels_and_makes_no_stream_of_another_name(node: str, arguments: list[str]) -> None:
    done = subprocess.run([node, PROGRAM, *arguments], capture_output=True, timeout=60, check=False)
    assert (done.returncode, done.stdout) == (2, b"")
    names = "|".join(channel.name for channel in QueueChannels.all())
    assert done.stderr.decode() == f"Usage: node examples/producer.mjs {names} < records.jsonl\n"


@contextmanager
def started(node: str, env: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """The producer, once it is connected; it reads on."""
    pipe = subprocess.PIPE
    process = subprocess.Popen(
        [node, PROGRAM, "tutors"], stdin=pipe, stdout=pipe, stderr=pipe, env=env, text=True
    )
    try:
        assert process.stdin is not None
        assert process.stderr is not None
        print("no record", file=process.stdin, flush=True)
        assert process.stderr.readline().startswith("line 1: ")
        yield process
    finally:
        process.kill()
        process.wait()


def test_node_sends_the_same_message_again_when_the_answer_is_lost(
    node: str, client: RedisClient, valkey: EmbeddedServer
) -> None:
    with (
        TcpProxy(valkey.port) as proxy,
        started(node, {**environment(client, valkey), "REDIS_PORT": str(proxy.port)}) as process,
    ):
        proxy.cut(1, "answers")
        said, errors = process.communicate('{"tutor_id": "T1", "name": "x"}\n', timeout=60)
    assert errors == "Redis closed the connection; sending 1 again.\n"
    messages = MessageConsumer(client).consume(TUTORS, 10)
    assert [message["id"] for message in messages] == said.split() * 2


def test_node_gives_up_in_the_end_where_no_answer_comes(
    node: str, client: RedisClient, valkey: EmbeddedServer
) -> None:
    with TcpProxy(valkey.port) as proxy:
        env = {**environment(client, valkey), "REDIS_PORT": str(proxy.port), "REDIS_SOCKET_TIMEOUT": "0.3"}
        with started(node, env) as process:
            proxy.stall()
            said, errors = process.communicate('{"tutor_id": "T1", "name": "x"}\n', timeout=60)
    *again, last = errors.splitlines()
    assert again == ["no answer within 0.3 s; sending 1 again."] * 4
    assert last == "Error: no answer within 0.3 s; not known to be queued: 1"
    assert (process.returncode, said) == (1, "")


def test_node_waits_while_the_queue_is_full_and_then_goes_on(node: str, valkey: EmbeddedServer) -> None:
    with RedisClient(settings_for(valkey, queue_maxlen=5)) as client:
        MessagePublisher(client).publish_tutor_data({"tutor_id": "T0", "name": "x"})
        consumer = MessageConsumer(client)
        consumer.create_consumer_group(TUTORS)
        process = subprocess.Popen(
            [node, PROGRAM, "tutors"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(client, valkey),
        )
        assert process.stdin is not None
        process.stdin.write("\n".join(f'{{"tutor_id": "N{n}", "name": "x"}}' for n in range(8)).encode())
        process.stdin.close()
        stream = client.keys.stream(TUTORS)
        wait_until(lambda: client.redis.xlen(stream) == 5, 30)
        drained: list[str] = []

        def drain() -> bool:
            assert client.redis.xlen(stream) <= 10
            messages = consumer.consume(TUTORS, count=2)
            assert len(messages) <= 5
            consumer.acknowledge(TUTORS, *(message["_redis_id"] for message in messages))
            drained.extend(message["data"]["tutor_id"] for message in messages)
            return len(drained) == 9

        wait_until(drain, 30)
        assert process.wait(30) == 0
        assert drained == ["T0", *(f"N{n}" for n in range(8))]


def test_node_says_in_one_line_that_there_is_no_server(node: str) -> None:
    done = subprocess.run(
        [node, PROGRAM, "tutors"],
        input=b'{"tutor_id": "T1", "name": "x"}',
        env={**os.environ, "REDIS_HOST": "127.0.0.1", "REDIS_PORT": "1"},
        capture_output=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, b"")
    assert done.stderr == b"Error: connect ECONNREFUSED 127.0.0.1:1\n"


def test_the_guides_commands_do_what_it_says(node: str, client: RedisClient, valkey: EmbeddedServer) -> None:
    blocks = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)
    assert "".join(blocks) == COMMANDS
    for block in blocks:
        done = subprocess.run(
            ["/bin/sh", "-ec", block],
            cwd=ROOT,
            env=environment(client, valkey),
            capture_output=True,
            timeout=60,
            check=True,
        )
    # The last one publishes, and prints the message id.
    assert_published(client, TUTORS, {"rating": 4.5}, message_id=done.stdout.decode().strip(), count=1)


def test_the_guides_envelope_is_one(client: RedisClient) -> None:
    (text,) = re.findall(r"```json\n(.*?)```", GUIDE, re.DOTALL)
    message = deserialize(text.encode(), channel="tutormax:tutors")
    assert isinstance(message, Message)
    assert checksum(message.data) in text
