"""``tutormax trace``: the story on a terminal and for programs; nothing personal unless asked for."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from tests.cli.conftest import Command
from tutormax_pipeline.drain import drain
from tutormax_pipeline.run_links import run_link, ui_address
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store

TUTORS = QueueChannels.TUTORS
RUN = "00000000-0000-4000-8000-000000000001"


@pytest.fixture
def store(environment: dict[str, str]) -> Iterator[Store]:
    """The command's own store."""
    with Store.open(f"sqlite:///{environment['TUTORMAX_HOME']}/tutormax.db") as store:
        yield store


def publish(client: RedisClient, message_id: str, **data: object) -> None:
    record = {"tutor_id": "T1", "name": "SECRET", **data}
    metadata = {"source": "SECRET"}
    MessagePublisher(client).publish(TUTORS, record, message_id=message_id, metadata=metadata)


def drain_tutors(client: RedisClient, store: Store) -> None:
    drain(MessageConsumer(client), store, TUTORS, run_id=RUN)


@pytest.fixture
def up(environment: dict[str, str], store: Store) -> Iterator[socket.socket]:
    """What a ``tutormax up`` of this home leaves to be found: file, process, and a port that answers."""
    with socket.create_server(("127.0.0.1", 0)) as ui:
        state = {"ui": f"http://127.0.0.1:{ui.getsockname()[1]}", "dagster_pid": os.getpid()}
        Path(environment["TUTORMAX_HOME"], "up.json").write_bytes(orjson.dumps(state))
        yield ui


def test_a_stored_message_is_told_in_order_on_80_columns(
    process: Command, client: RedisClient, store: Store
) -> None:
    publish(client, "m-1")
    drain_tutors(client, store)
    done = process("trace", "m-1")
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert lines[0] == "Message m-1: stored"
    assert max(map(len, lines)) <= 80
    parts = ("Published", "metadata: source", "Entered tutors", "Stored", f"run {RUN}", "Is a row of tutors")
    places = [done.stdout.index(part) for part in parts]
    assert places == sorted(places)
    assert "tutor_id T1" in done.stdout
    assert "SECRET" not in done.stdout


def test_the_run_is_linked_while_its_ui_runs(
    tutormax: Command, client: RedisClient, store: Store, up: socket.socket
) -> None:
    publish(client, "m-1")
    drain_tutors(client, store)
    (message,) = json.loads(tutormax("trace", "m-1", "--json").stdout)["messages"]
    link = f"http://127.0.0.1:{up.getsockname()[1]}/runs/{RUN}"
    assert [one["run"] for one in message["story"] if one["run"]] == [link]
    shown = "".join(line.strip() for line in tutormax("trace", "m-1").stdout.splitlines())
    assert link in shown


def test_without_a_ui_that_answers_a_run_is_its_id(
    environment: dict[str, str], up: socket.socket, tmp_path: Path
) -> None:
    settings = PipelineSettings.load(home=environment["TUTORMAX_HOME"])
    address = ui_address(settings)
    assert address is not None
    assert run_link(address, "by-hand") == "by-hand"
    assert run_link(None, RUN) == RUN
    up.close()
    assert ui_address(settings) is None
    assert ui_address(PipelineSettings.load(home=tmp_path / "nothing")) is None
    for nonsense in (b"", b"{}", b"[]", b'{"ui": 1, "dagster_pid": "x"}'):
        (settings.home / "up.json").write_bytes(nonsense)
        assert ui_address(settings) is None


def test_the_record_is_shown_only_when_asked_for_and_said_to_be_personal(
    tutormax: Command, client: RedisClient
) -> None:
    publish(client, "m-1")
    done = tutormax("trace", "m-1", "--data")
    assert "may hold personal data" in done.stdout
    assert '"name": "SECRET"' in done.stdout
    assert "SECRET" not in tutormax("trace", "m-1", "--json").stdout
    (message,) = json.loads(tutormax("trace", "m-1", "--json", "--data").stdout)["messages"]
    assert message["data"]["name"] == "SECRET"


def test_a_record_that_is_nowhere_any_more_is_said_to_be_so(
    tutormax: Command, client: RedisClient, store: Store
) -> None:
    publish(client, "m-1")
    drain_tutors(client, store)
    client.redis.xtrim(client.keys.stream(TUTORS), maxlen=0, approximate=False)
    assert "Its record is nowhere any more" in tutormax("trace", "m-1", "--data").stdout


def test_programs_get_entries_ledger_letters_and_rows(
    tutormax: Command, client: RedisClient, store: Store
) -> None:
    publish(client, "m-1", rating=9)
    drain_tutors(client, store)
    publish(client, "m-1")
    drain_tutors(client, store)
    found = json.loads(tutormax("trace", "m-1", "--json").stdout)
    assert (found["asked"], found["found"]) == ("m-1", True)
    assert [one["complete"] for one in found["searched"]] == [True] * 3
    (message,) = found["messages"]
    first, second = message["entries"]
    assert (first["ledger"]["outcome"], first["ledger"]["reason"]) == ("dead_lettered", "invalid")
    assert (second["ledger"]["outcome"], second["in_stream"], second["pending"]) == ("stored", True, None)
    assert len(message["dead_letters"]) == 1
    assert message["rows"][0]["current"] is True
    assert message["standing"] == "dead letter"


def test_what_nobody_knows_is_said_with_where_it_was_looked(tutormax: Command, client: RedisClient) -> None:
    for number in range(3):
        publish(client, f"m-{number}")
    done = tutormax("trace", "m-0", "--limit", "2")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: Nobody knows m-0. Looked in the ledger, the dead letters,")
    assert "Of tutors only the newest 2 entries" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert "The id of a dead letter is gone once it is redriven" in tutormax("trace", "5-5").stderr
    done = tutormax("trace", "nobody", "--json")
    assert (done.returncode, json.loads(done.stdout)["found"]) == (1, False)


def test_a_search_that_did_not_go_to_the_end_is_said_to_be_so(
    tutormax: Command, client: RedisClient, store: Store
) -> None:
    publish(client, "m-1")
    drain_tutors(client, store)
    publish(client, "m-2")
    done = tutormax("trace", "m-1", "--limit", "1")
    assert done.returncode == 0
    assert "Of tutors the newest 1 entries were searched" in done.stdout


def test_a_terminal_obeys_nothing_of_what_is_told(tutormax: Command, client: RedisClient) -> None:
    publish(client, "\x1b[31m[red]")
    done = tutormax("trace", "\x1b[31m[red]")
    assert "Message \\x1b[31m[red]: waiting" in done.stdout
    assert "\x1b" not in done.stdout + tutormax("trace", "\x1b[2J").stderr


def test_redis_away_is_one_clear_line(tutormax: Command) -> None:
    done = tutormax("trace", "m-1", REDIS_URL="redis://127.0.0.1:1/0")
    assert (done.returncode, done.stdout) == (1, "")
    assert "Redis at 127.0.0.1:1/0 is not available" in done.stderr
