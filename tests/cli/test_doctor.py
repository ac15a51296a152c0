"""The diagnosis: the books as a table, each finding with its remedy, and what mends them."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from queue_core.channels import CONSUMER_GROUP
from queue_core.embedded import EmbeddedServer
from queue_core.letter_counts import letter_counts
from tests.cli.conftest import Command
from tests.pipeline.conftest import publish
from tutormax_pipeline.drain import drain
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS


@pytest.fixture
def store(environment: dict[str, str]) -> Iterator[Store]:
    """The command's own store."""
    with Store.open(f"sqlite:///{environment['TUTORMAX_HOME']}/tutormax.db") as store:
        yield store


@pytest.fixture(autouse=True)
def _append_only(client: RedisClient) -> Iterator[None]:
    yield
    client.redis.config_set("appendonly", "yes")
    client.redis.config_set("maxmemory-policy", "noeviction")


def drain_tutors(client: RedisClient, store: Store) -> None:
    drain(MessageConsumer(client), store, TUTORS, run_id="r")


def checks(tutormax: Command, *options: str) -> list[str]:
    done = tutormax("doctor", "--json", *options)
    found = [finding["check"] for finding in json.loads(done.stdout)["findings"]]
    assert done.returncode == bool(found)
    return found


def delete_waiting(client: RedisClient, count: int) -> None:
    stream = client.keys.stream(TUTORS)
    client.redis.xdel(stream, *(entry_id for entry_id, _ in client.redis.xrange(stream)[-count:]))


def test_where_nothing_is_wrong_it_shows_the_books_and_ends_well(
    process: Command, publisher: MessagePublisher, client: RedisClient, store: Store
) -> None:
    publish(publisher, 5)
    drain_tutors(client, store)
    publish(publisher, 2)
    done = process("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    (header,) = [line for line in lines if "feedback" in line]
    assert all(channel.name in header for channel in QueueChannels.all())
    (added,) = [line for line in lines if "added to the stream" in line]
    assert "7" in added
    assert any("unaccounted for" in line for line in lines)
    assert "Every message is accounted for" in lines[-1]


def test_a_loss_is_told_with_its_remedy_and_the_exit_code(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient
) -> None:
    publish(publisher, 5)
    delete_waiting(client, 2)
    done = tutormax("doctor")
    words = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert "error tutors: 2 entries missing from both the stream and the ledger" in words
    assert 'tutormax doctor --write-off tutors --why "..."' in words


def test_programs_read_the_same(tutormax: Command, publisher: MessagePublisher, client: RedisClient) -> None:
    publish(publisher, 5)
    delete_waiting(client, 2)
    found = json.loads(tutormax("doctor", "--json").stdout)
    assert found["balanced"] is False
    assert found["redis"] == client.address
    assert found["books"]["tutors"]["difference"] == 2
    assert found["books"]["tutors"]["waiting"] == 3
    (finding,) = found["findings"]
    assert (finding["check"], finding["severity"], finding["channel"]) == (
        "deleted_unread",
        "error",
        "tutors",
    )
    assert finding["remedy"]


def test_a_difference_is_written_off_for_ever_with_who_and_why(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient, store: Store
) -> None:
    publish(publisher, 5)
    delete_waiting(client, 2)
    done = tutormax("doctor", "--write-off", "tutors", "--why", "test data", "--who", "Ann")
    assert done.returncode == 0
    assert "Wrote off for tutors: a difference of 2;" in done.stdout
    with store.engine.connect() as connection:
        rows = connection.execute(text("SELECT channel, entries, who, why FROM book_adjustments"))
        assert [tuple(row) for row in rows] == [("tutors", -2, "Ann", "test data")]
    again = tutormax("doctor", "--write-off", "tutors", "--why", "test data")
    assert "nothing to write off" in again.stdout
    assert checks(tutormax) == []


@pytest.mark.parametrize(
    "options",
    [("--write-off", "tutors"), ("--write-off", "tutors", "--why", " "), ("--why", "x"), ("--who", "x")],
    ids=str,
)
def test_nothing_is_written_off_without_a_reason_or_by_accident(
    tutormax: Command, options: tuple[str, ...]
) -> None:
    done = tutormax("doctor", *options)
    assert done.returncode == 2
    assert "--why" in done.stderr


@pytest.mark.parametrize("option", ["--why", "--who"])
def test_what_is_no_text_is_refused_before_anything_is_written_off(tutormax: Command, option: str) -> None:
    done = tutormax("doctor", "--write-off", "tutors", "--why", "w", option, "caf\udce9")
    assert (done.returncode, done.stdout) == (2, "")
    assert f"Invalid value for '{option}': must be UTF-8 text" in done.stderr


def test_a_user_whose_name_is_no_text_is_named_as_well_as_can_be(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient, store: Store
) -> None:
    publish(publisher, 2)
    delete_waiting(client, 1)
    assert tutormax("doctor", "--write-off", "tutors", "--why", "w", LOGNAME="zo\udceb").returncode == 0
    with store.engine.connect() as connection:
        assert connection.scalar(text("SELECT who FROM book_adjustments")) == "zo\\xeb"


def test_lost_ledger_rows_are_repaired_and_settled_by_the_next_drain(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient, store: Store
) -> None:
    publish(publisher, 5)
    drain_tutors(client, store)
    with store.engine.begin() as connection:
        connection.execute(
            text("DELETE FROM message_ledger WHERE entry_id IN (SELECT min(entry_id) FROM message_ledger)")
        )
    assert checks(tutormax) == ["not_in_ledger"]
    done = tutormax("doctor", "--repair")
    assert "Put back of tutors, for the next drain to settle: 1." in done.stdout
    drain_tutors(client, store)
    assert checks(tutormax) == []


def test_wrong_counts_of_dead_letters_are_noticed_and_counted_anew(
    tutormax: Command, client: RedisClient, store: Store
) -> None:
    for _ in range(450):
        client.redis.xadd(client.keys.stream(TUTORS), {"message": "junk"})
    drain_tutors(client, store)
    client.redis.xtrim(client.keys.dead_letter, maxlen=420, approximate=False)
    assert checks(tutormax) == ["dead_letters_gone", "letter_counts"]
    done = tutormax("doctor", "--repair")
    assert "Counted the dead letters anew: 420" in done.stdout
    assert client.redis.hgetall(client.keys.dead_letter_counts) == {b"tutors": b"420"}
    found = letter_counts(client)
    assert (found.letters, found.counted) == (420, 420)
    client.redis.delete(client.keys.dead_letter)
    assert checks(tutormax) == ["dead_letters_gone", "letter_counts"]
    assert checks(tutormax, "--repair") == ["dead_letters_gone"]
    done = tutormax("doctor")
    words = " ".join(done.stdout.split())
    assert done.returncode == 1
    assert any("dead letters gone" in line and "450" in line for line in done.stdout.splitlines())
    assert "error tutors: 450 dead letters gone" in words
    done = tutormax("doctor", "--write-off", "tutors", "--why", "test data")
    assert done.returncode == 0
    assert "dead letters that are gone, and now acknowledged: 450." in " ".join(done.stdout.split())
    assert checks(tutormax) == []


def test_groups_and_consumers_that_are_in_the_way_are_named(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient, consumer: MessageConsumer
) -> None:
    publish(publisher, 3)
    assert len(consumer.read(TUTORS, 1)) == 1
    MessageConsumer(client, "auditor", group="audit").read(TUTORS, 2)
    found = json.loads(
        tutormax("doctor", "--json", REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS="0.0001").stdout
    )["findings"]
    assert [one["check"] for one in found] == ["stray_group", "dead_consumer"]
    assert "'audit'" in found[0]["summary"]
    assert client.keys.stream(TUTORS) in found[0]["remedy"]
    assert consumer.name in found[1]["summary"]


def test_names_that_are_no_text_are_shown_as_well_as_can_be(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient, consumer: MessageConsumer
) -> None:
    publish(publisher, 3)
    consumer.read(TUTORS, 1)
    stream = client.keys.stream(TUTORS)
    client.redis.xreadgroup(CONSUMER_GROUP, b"caf\xe9", {stream: ">"}, count=1)
    client.redis.xgroup_create(stream, b"gro\xdfe\x1b[2J")
    short = {"REDIS_WORKER_MAX_PROCESSING_TIME_SECONDS": "0.0001"}
    done = tutormax("doctor", **short)
    words = " ".join(done.stdout.split())
    assert (done.returncode, "\x1b" in words) == (1, False)
    assert "caf\\\\xe9" in words
    found = json.loads(tutormax("doctor", "--json", **short).stdout)["findings"]
    (stray,) = [one for one in found if one["check"] == "stray_group"]
    _, _, command = stray["remedy"].partition(": ")
    assert shlex.split(command) == [
        *("redis-cli", "--quoted-input", "XGROUP", "DESTROY", stream),
        '"gro\\xdfe\\x1b[2J"',
    ]


def test_a_name_that_a_shell_would_obey_is_quoted(
    tutormax: Command, publisher: MessagePublisher, client: RedisClient
) -> None:
    publish(publisher, 1)
    stream, name = client.keys.stream(TUTORS), "x'; echo \"oh\" '"
    client.redis.xgroup_create(stream, name)
    (stray,) = json.loads(tutormax("doctor", "--json").stdout)["findings"]
    _, _, command = stray["remedy"].partition(": ")
    assert shlex.split(command) == ["redis-cli", "XGROUP", "DESTROY", stream, name]


def test_a_server_that_may_lose_messages_is_noticed(tutormax: Command, client: RedisClient) -> None:
    client.redis.config_set("appendonly", "no")
    client.redis.config_set("maxmemory-policy", "allkeys-lru")
    assert checks(tutormax) == ["eviction", "append_only"]


def test_redis_away_is_a_finding_and_the_rest_is_examined(
    tutormax: Command, environment: dict[str, str]
) -> None:
    home = Path(environment["TUTORMAX_HOME"])
    home.mkdir(mode=0o755)
    done = tutormax("doctor", "--json", REDIS_URL="redis://127.0.0.1:1/0")
    found = json.loads(done.stdout)
    assert (done.returncode, done.stderr) == (2, "")
    assert (found["away"], found["server"], found["balanced"]) == (["redis"], None, None)
    away, home_open = found["findings"]
    assert (away["check"], home_open["check"]) == ("redis_away", "home_permissions")
    assert away["summary"].startswith("Redis at 127.0.0.1:1/0 is not available")
    assert away["remedy"].startswith("Check that it runs")
    shown = tutormax("doctor", REDIS_URL="redis://127.0.0.1:1/0")
    assert "Redis: away at 127.0.0.1:1/0" in shown.stdout
    assert max(map(len, shown.stdout.splitlines())) <= 80


@pytest.mark.parametrize(
    ("variable", "value", "summary", "remedy"),
    [
        ("REDIS_CLUSTER", "true", "REDIS_CLUSTER: {} is no member of a Cluster.", "Set it to false"),
        ("REDIS_SENTINELS", "{}", "REDIS_SENTINELS: {} is no Sentinel.", "Name the Sentinels"),
    ],
)
def test_an_error_that_brings_its_own_remedy_gets_no_other(
    tutormax: Command, valkey: EmbeddedServer, variable: str, value: str, summary: str, remedy: str
) -> None:
    place = f"127.0.0.1:{valkey.port}"
    address = {"REDIS_HOST": "127.0.0.1", "REDIS_PORT": str(valkey.port), variable: value.format(place)}
    done = tutormax("doctor", "--json", **{"REDIS_URL": "", "REDIS_KEY_PREFIX": "", **address})
    (away, *_) = json.loads(done.stdout)["findings"]
    assert (away["check"], away["summary"]) == ("redis_away", summary.format(place))
    assert away["remedy"].startswith(remedy)
    assert "log" not in away["remedy"]


def test_the_store_away_is_a_finding_and_the_server_is_examined(
    tutormax: Command, client: RedisClient, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    client.redis.config_set("appendonly", "no")
    done = tutormax("doctor", "--json", TUTORMAX_STORE_URL=f"sqlite:///{tmp_path}/file/store.db")
    found = json.loads(done.stdout)
    assert (done.returncode, found["away"]) == (2, ["store"])
    assert [one["check"] for one in found["findings"]] == ["append_only", "store_away"]
    assert found["server"]["append_only"] is False


def test_where_something_is_away_nothing_is_repaired(tutormax: Command) -> None:
    done = tutormax("doctor", "--repair", REDIS_URL="redis://127.0.0.1:1/0")
    assert done.returncode == 2
    assert "Nothing was changed: redis could not be looked at." in done.stdout


def test_a_note_alone_is_no_reason_to_fail(tutormax: Command, client: RedisClient) -> None:
    user = f"limited-{client.settings.key_prefix}"
    client.redis.execute_command("ACL", "SETUSER", user, "on", ">pw", "~*", "+@all", "-config")
    try:
        url = str(client.settings.url.get_secret_value()).replace("://", f"://{user}:pw@")
        done = tutormax("doctor", "--json", REDIS_URL=url)
    finally:
        client.redis.execute_command("ACL", "DELUSER", user)
    (finding,) = json.loads(done.stdout)["findings"]
    assert (done.returncode, finding["check"], finding["severity"]) == (0, "config_not_checked", "note")
