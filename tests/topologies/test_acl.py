"""``deploy/redis/users.acl`` on real servers: each role can do its work, and nothing else."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import redis
from click.testing import CliRunner
from dotenv import dotenv_values

from queue_core import (
    Channel,
    MessageConsumer,
    MessagePublisher,
    QueueChannels,
    QueueWorker,
    RedisClient,
    RedisSettings,
)
from queue_core.dead_letter import DeadLetters, LetterFilter
from queue_core.errors import AccessDeniedError
from queue_core.lease import Lease
from queue_core.letter_counts import letter_traffic, recount_letters
from queue_core.look import Away, Look, look
from queue_core.maintenance import maintain
from queue_core.memory import memory_in_use
from queue_core.monitor import snapshot
from queue_core.reclaim import reclaim
from queue_core.server_facts import server_facts
from queue_core.stale import stale_holders
from queue_core.testing import run_until_idle
from tests.conftest import SERVER_KINDS, server_binary, wait_until
from tests.topologies.processes import SECONDS, Processes
from tutormax_pipeline import books
from tutormax_pipeline.cli import main
from tutormax_pipeline.drain import drain
from tutormax_pipeline.letters import dead_letters
from tutormax_pipeline.metrics.collector import QueueCollector
from tutormax_pipeline.store import Store
from tutormax_pipeline.trace import trace

TUTORS, FEEDBACK = QueueChannels.TUTORS, QueueChannels.FEEDBACK
ROOT = Path(__file__).parents[2]
USERS, GUIDE = ROOT / "deploy" / "redis" / "users.acl", ROOT / "docs" / "redis-topologies.md"
ROLES = ("publisher", "pipeline", "operator", "monitor")
TUTOR = {"tutor_id": "T1", "name": "x"}

Operation = Callable[[RedisClient, Store], object]


class Guarded:
    """A server with the file as it is delivered, filled as the guide says, and an administrator."""

    def __init__(self, processes: Processes, folder: Path) -> None:
        (folder / "deploy" / "redis").mkdir(parents=True)
        shutil.copy(USERS, folder / "deploy" / "redis")
        subprocess.run(["bash", "-euc", _block("cp deploy/redis")], cwd=folder, check=True)
        self.passwords = {role: dotenv_values(folder / f"{role}.env")["REDIS_PASSWORD"] for role in ROLES}
        self.passwords["admin"] = "password-of-admin"
        with (folder / "users.acl").open("a") as users:
            users.write(_block("user replica") + "user admin on >password-of-admin ~* &* +@all\n")
        self.process = processes.start(
            folder / "server", [f"aclfile {folder}/users.acl", 'save ""', "repl-diskless-sync-delay 0"]
        )
        self.port = self.process.port

    def settings(self, role: str) -> RedisSettings:
        return RedisSettings.load(
            host="127.0.0.1", port=self.port, username=role, password=self.passwords[role]
        )


def _block(start: str) -> str:
    """The commands, or lines of configuration, of the guide that begin so."""
    blocks = re.split(r"^```\w*\n", GUIDE.read_text(), flags=re.MULTILINE)
    return next(block for block in blocks if block.startswith(start))


@pytest.fixture(scope="module", params=SERVER_KINDS)
def processes(request: pytest.FixtureRequest) -> Iterator[Processes]:
    with Processes(server_binary(request.param)) as processes:
        yield processes


@pytest.fixture(scope="module")
def server(processes: Processes, tmp_path_factory: pytest.TempPathFactory) -> Guarded:
    return Guarded(processes, tmp_path_factory.mktemp("acl"))


@contextmanager
def client_of(server: Guarded, role: str) -> Iterator[RedisClient]:
    with RedisClient(server.settings(role)) as client:
        yield client


@pytest.fixture
def admin(server: Guarded) -> Iterator[RedisClient]:
    """Everything is there to work on: something waits, something is pending, something is dead."""
    with client_of(server, "admin") as client:
        client.redis.flushall()
        publisher, consumer = MessagePublisher(client), MessageConsumer(client, "gone")
        publisher.publish(TUTORS, TUTOR, message_id="m1")
        consumer.read(TUTORS, 1)
        for word in (b"one", b"two"):
            client.redis.xadd(client.keys.stream(TUTORS), {"message": word})
        consumer.consume(TUTORS)
        publisher.publish(TUTORS, TUTOR, message_id="m2")
        client.redis.set("other", "x")
        client.redis.xadd("other:stream", {"a": "b"})
        yield client


def _consume(client: RedisClient, _: Store) -> None:
    consumer = MessageConsumer(client, "one")
    for message in consumer.consume(TUTORS):
        consumer.retry(TUTORS, message["_redis_id"], "once more")
    consumer.claim_pending_messages(TUTORS, min_idle_time_ms=0)
    consumer.acknowledge(TUTORS, "1-1")
    consumer.release(TUTORS, ["1-1"])
    consumer.leave(TUTORS)


def _redrive(client: RedisClient, store: Store) -> None:
    assert dead_letters(client, store).redrive(LetterFilter(text=b"one"), dry_run=False).redriven == 1


def _discard(client: RedisClient, store: Store) -> None:
    letters = dead_letters(client, store)
    assert letters.discard(LetterFilter(text=b"two"), who="me", why="junk", dry_run=False).discarded == 1


def _look(client: RedisClient, _: Store) -> None:
    found = look(client)
    if isinstance(found, Away) and found.denied:
        raise AccessDeniedError(found.error)
    assert isinstance(found, Look)


def _scrape(client: RedisClient, store: Store) -> None:
    collector = QueueCollector(lambda: RedisClient(client.settings), lambda: store, seconds=SECONDS)
    values = {one.name: one.samples[0].value for one in collector.collect() if one.name.endswith("_up")}
    assert values["tutormax_store_up"] == 1
    if not values["tutormax_redis_up"]:
        raise AccessDeniedError("The scrape found no Redis.")


def _work(client: RedisClient, _: Store) -> None:
    """A message that is handled and renewed meanwhile, and one that fails to its end."""
    settings = client.settings.model_copy(update={"retry_backoff_ms": 1, "max_retries": 1})
    with RedisClient(settings) as own:
        MessagePublisher(own).publish_batch(FEEDBACK, [{"feedback_id": n} for n in ("good", "bad")])
        worker = QueueWorker(FEEDBACK, client=own)
        worker.register_handler(FEEDBACK, lambda data: data["feedback_id"] == "good")
        run_until_idle(worker, own, FEEDBACK, timeout_seconds=SECONDS)
        assert (worker.statistics().total.processed, worker.statistics().total.dead) == (1, 1)


def _renew(client: RedisClient, _: Store) -> None:
    consumer = MessageConsumer(client, "renewing")
    MessagePublisher(client).publish(FEEDBACK, {"feedback_id": "held"})
    lease = Lease(consumer)
    lease.take(FEEDBACK, [entry.id for entry in consumer.read(FEEDBACK, 10)])
    assert lease.held()
    assert lease.renew() == {}
    consumer.acknowledge(FEEDBACK, *lease.held()[FEEDBACK])


def _command(*words: str) -> Operation:
    """``tutormax`` as the user of a role."""

    def run(client: RedisClient, _: Store) -> None:
        settings = client.settings
        assert settings.password is not None
        variables = {
            "REDIS_HOST": settings.host,
            "REDIS_PORT": str(settings.port),
            "REDIS_USERNAME": settings.username,
            "REDIS_PASSWORD": settings.password.get_secret_value(),
        }
        done = CliRunner().invoke(main, words, b'{"tutor_id": "T9", "name": "x"}', variables)
        if "refused access" in done.stderr or "REDIS_USERNAME" in done.stderr:
            raise AccessDeniedError(done.stderr)
        assert (done.exit_code, done.stderr) == (0, "")

    return run


#: Everything that the library does, by a name for it.
OPERATIONS: dict[str, Operation] = {
    "publish": lambda client, _: MessagePublisher(client).publish(TUTORS, TUTOR),
    "publish a batch": lambda client, _: MessagePublisher(client).publish_batch(TUTORS, [TUTOR] * 3),
    "publish into a full queue": lambda client, _: MessagePublisher(
        RedisClient(client.settings.model_copy(update={"queue_maxlen": 6}))
    ).publish_batch(TUTORS, [TUTOR] * 5, raise_if_refused=False),
    "publish and wait": lambda client, _: client.redis.wait(0, 10),
    "length": lambda client, _: MessagePublisher(client).get_stream_length(TUTORS),
    "health": lambda client, _: client.health_check(),
    "snapshot": lambda client, _: snapshot(client, TUTORS),
    "memory": lambda client, _: memory_in_use(client, TUTORS),
    "stale": lambda client, _: stale_holders(client, TUTORS, 0),
    "letter traffic": lambda client, _: letter_traffic(client),
    "list letters": lambda client, _: list(DeadLetters(client).iterate()),
    "letter groups": lambda client, _: DeadLetters(client).groups(),
    "books": lambda client, store: books.look(client, store, TUTORS, datetime.now(UTC)),
    "trace": lambda client, store: trace(client, store, "m2"),
    "facts": lambda client, _: server_facts(client),
    "look": _look,
    "scrape": _scrape,
    "monitor command": _command("monitor", "--snapshot", "--json", "--interval", "0.1"),
    "publish command": _command("publish", "tutors", "-", "--json"),
    "redrive": _redrive,
    "discard": _discard,
    "recount": lambda client, _: recount_letters(client),
    "consume": _consume,
    "drain": lambda client, store: drain(MessageConsumer(client, "run:1"), store, TUTORS, run_id="1"),
    "work": _work,
    "renew": _renew,
    "reclaim": lambda client, _: reclaim(client, TUTORS, min_idle_ms=0),
    "maintain": lambda client, _: maintain(client, TUTORS, datetime.now(UTC) + timedelta(days=2)),
}
_LOOKS = {
    "length", "health", "snapshot", "memory", "stale", "letter traffic", "list letters", "letter groups",
    "books", "trace", "facts", "look", "scrape", "monitor command",
}  # fmt: skip
_PUBLISHING = {"publish", "publish a batch", "publish into a full queue", "publish command"}
ALLOWED = {
    "publisher": _PUBLISHING | {"publish and wait", "length", "health"},
    "pipeline": set(OPERATIONS) - {"publish and wait"},
    "operator": _LOOKS | _PUBLISHING | {"redrive", "discard", "recount", "reclaim"},
    "monitor": _LOOKS,
}

#: What nobody may do, on keys of ours and of others.
FORBIDDEN = [
    "FLUSHALL", "FLUSHDB", "KEYS *", "SCAN 0", "CONFIG GET requirepass", "CONFIG SET maxmemory 1", "ACL LIST",
    "ACL SETUSER x on", "SCRIPT FLUSH", "SCRIPT KILL", "SHUTDOWN NOSAVE", "REPLICAOF NO ONE",
    "MONITOR", "CLIENT LIST", "CLIENT KILL TYPE normal", "SUBSCRIBE x", "PUBLISH x y", "SAVE", "BGREWRITEAOF",
    "DEL tutormax:tutors", "UNLINK tutormax:tutors", "RENAME tutormax:tutors x", "EXPIRE tutormax:tutors 1",
    "XDEL tutormax:tutors 1-1", "XGROUP DESTROY tutormax:tutors tutormax-workers",
    "XGROUP SETID tutormax:tutors tutormax-workers $", "XSETID tutormax:tutors 9999999999999-1",
    "GET other", "SET other y", "XADD other:stream * a b", "XLEN other:stream", "XTRIM other:stream MAXLEN 0",
    "GET tutormax:tutors", "SET tutormax:x y", "DUMP tutormax:tutors", "COPY other x",
]  # fmt: skip
#: What only some may do, tried by the others.
_READING = [
    "XRANGE tutormax:tutors - +",
    "XINFO STREAM tutormax:tutors",
    "XREVRANGE tutormax:dead_letter + -",
]
_TAKING = [
    "XREADGROUP GROUP tutormax-workers x STREAMS tutormax:tutors >",
    "XACK tutormax:tutors tutormax-workers 1-1",
]
_WRITING = ["XADD tutormax:tutors * message x", "XTRIM tutormax:tutors MAXLEN 0"]
_LETTERS = ["XADD tutormax:dead_letter * message x", "XDEL tutormax:dead_letter 1-1"]
REFUSED = {
    "publisher": [*_READING, *_TAKING, *_LETTERS, "XTRIM tutormax:dead_letter MAXLEN 0", "TIME"],
    "pipeline": [],
    "operator": _TAKING,
    "monitor": [*_TAKING, *_WRITING, *_LETTERS, "HSET tutormax:dead_letter:counts tutors 0"],
}


@pytest.mark.parametrize("role", ROLES)
def test_each_role_can_do_its_work_and_nothing_else(
    server: Guarded, admin: RedisClient, store: Store, role: str
) -> None:
    done = set()
    with client_of(server, role) as client:
        for name, operation in OPERATIONS.items():
            try:
                with client.errors():
                    operation(client, store)
            except AccessDeniedError:
                continue
            done.add(name)
        assert done == ALLOWED[role]
        before = admin.redis.dbsize()
        for command in [*FORBIDDEN, *REFUSED[role]]:
            with pytest.raises((redis.exceptions.NoPermissionError, redis.ResponseError)) as caught:
                client.redis.execute_command(*command.split())
            assert "permission" in str(caught.value), command
            words = "', '".join(command.split())
            with pytest.raises(redis.RedisError) as caught:
                client.redis.eval(f"return redis.call('{words}')", 0)
            assert any(
                part in str(caught.value)
                for part in ("ACL", "permission", "not allowed", "user executing the script can")
            ), command
        assert admin.redis.dbsize() == before


@pytest.mark.parametrize("role", ["publisher", "pipeline", "operator"])
@pytest.mark.parametrize("channel", [TUTORS, QueueChannels.SESSIONS], ids=str)
def test_who_publishes_may_make_room_where_the_memory_is_full(
    server: Guarded, admin: RedisClient, role: str, channel: Channel
) -> None:
    large = ({"session_id": f"S{n}", "tutor_id": "T", "notes": "x" * 2_000} for n in range(400))
    MessagePublisher(admin).publish_batch(QueueChannels.SESSIONS, large)
    drained = MessageConsumer(admin, "drained")
    drained.acknowledge(QueueChannels.SESSIONS, *(e.id for e in drained.read(QueueChannels.SESSIONS, 400)))
    admin.redis.config_set("maxmemory", admin.redis.info("memory")["used_memory"] - 100_000)
    try:
        with client_of(server, role) as client:
            publisher = MessagePublisher(client)
            publisher.publish(channel, {"session_id": "S", "tutor_id": "T", "name": "x"})
    finally:
        admin.redis.config_set("maxmemory", 0)


def test_the_user_of_nobody_is_off(server: Guarded) -> None:
    with pytest.raises(redis.AuthenticationError), server.process.client() as client:
        client.ping()


def test_a_replica_follows_with_the_user_of_the_guide(
    server: Guarded, admin: RedisClient, processes: Processes, tmp_path: Path
) -> None:
    lines = [f"replicaof 127.0.0.1 {server.port}", "masteruser replica", "masterauth a-password-for-replicas"]
    processes.start(tmp_path / "replica", lines)
    wait_until(lambda: admin.redis.wait(1, 100) == 1, SECONDS, "the replica to follow")


def test_every_channel_is_in_the_file() -> None:
    line = next(line for line in USERS.read_text().splitlines() if line.startswith("user publisher "))
    granted = {word for word in line.split() if word.startswith("~")}
    assert granted == {f"~tutormax:{channel.name}" for channel in QueueChannels.all()}


def test_a_wrong_and_a_revoked_password_are_told_in_one_line(
    server: Guarded, admin: RedisClient, tmp_path: Path
) -> None:
    def status(word: str) -> str:
        variables = {
            "REDIS_HOST": "127.0.0.1",
            "REDIS_PORT": str(server.port),
            "REDIS_USERNAME": "temporary",
            "REDIS_PASSWORD": word,
            "TUTORMAX_HOME": str(tmp_path / "home"),
        }
        result = CliRunner().invoke(main, ["status"], env=variables, catch_exceptions=False)
        return result.stderr if result.exit_code else ""

    admin.redis.execute_command("ACL", "SETUSER", "temporary", "on", ">hunter2", "~*", "+@all")
    assert status("hunter2") == ""
    admin.redis.execute_command("ACL", "SETUSER", "temporary", "<hunter2", ">hunter3")
    for word in ("hunter2", "hunter1", ""):
        (line,) = status(word).splitlines()
        assert line.startswith("Error: Redis at 127.0.0.1:")
        assert "Check REDIS_USERNAME and REDIS_PASSWORD" in line
        assert "hunter" not in line
    admin.redis.execute_command("ACL", "DELUSER", "temporary")
