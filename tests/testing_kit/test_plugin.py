"""The pytest plugin, as a project that uses nothing but the queue has it."""

from __future__ import annotations

import psutil
import pytest

from queue_core import RedisClient
from queue_core.embedded import EmbeddedServer
from tests.conftest import wait_until
from tests.testing_kit.conftest import Project

pytest_plugins = ["pytester"]

ROUND_TRIP = """
from queue_core import QueueChannels, get_redis_client
from queue_core.testing import assert_idle, assert_published

def test_a_message_goes_round(queue_publisher, queue_consumer, queue_client):
    message_id = queue_publisher.publish_tutor_data({"tutor_id": "T1", "name": "Ann"})
    (message,) = queue_consumer.consume(QueueChannels.TUTORS)
    queue_consumer.acknowledge(QueueChannels.TUTORS, message["_redis_id"])
    assert_published(queue_client, "tutors", {"name": "Ann"}, message_id=message_id)
    assert_idle(queue_client)

def test_the_next_test_finds_nothing_of_it(queue_client):
    assert_published(queue_client, "tutors", count=0)

def test_code_that_reads_the_environment_is_in_the_same_namespace(queue_environment, queue_publisher):
    queue_publisher.publish_feedback({"feedback_id": "F1", "tutor_id": "T1", "rating": 5})
    with get_redis_client() as client:
        assert_published(client, "feedback", count=1)
"""


def test_a_project_has_its_fixtures_and_a_clean_namespace_each_test(project: Project) -> None:
    project(ROUND_TRIP).assert_outcomes(passed=3)


def test_each_worker_of_xdist_has_a_server_of_its_own(project: Project) -> None:
    tests = """
def test_server(queue_client, worker_id, tmp_path_factory):
    folder = tmp_path_factory.getbasetemp().parent / "ports"
    folder.mkdir(exist_ok=True)
    port = queue_client.redis.connection_pool.connection_kwargs["port"]
    (folder / f"{worker_id}-{port}").touch()
    ports = [one.name.partition("-")[2] for one in folder.iterdir()]
    assert len(set(ports)) == len(ports)
"""
    project(tests, "-p", "xdist", "-n", "2", "--dist", "each", apart=True).assert_outcomes(passed=2)


def test_the_server_ends_with_the_tests_even_when_these_are_killed(
    project: Project, pytester: pytest.Pytester
) -> None:
    tests = """
import os, signal
from pathlib import Path

def test_that_dies(queue_client):
    Path("server.pid").write_text(str(queue_client.redis.info("server")["process_id"]))
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert project(tests, apart=True).ret == -9
    server = int(pytester.path.joinpath("server.pid").read_text())
    wait_until(lambda: has_ended(server), 30, "the server's end")


def has_ended(pid: int) -> bool:
    """Whether nothing but, at most, its exit code is left."""
    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def test_a_marker_changes_settings_and_the_nearest_one_wins(project: Project) -> None:
    tests = """
import pytest
pytestmark = pytest.mark.queue_settings(max_retries=7, queue_maxlen=5)

@pytest.mark.queue_settings(queue_maxlen=2)
def test_settings(queue_client):
    assert (queue_client.settings.max_retries, queue_client.settings.queue_maxlen) == (7, 2)
"""
    project(tests, "--strict-markers").assert_outcomes(passed=1)


def test_the_environment_of_the_person_who_tests_has_no_say(
    project: Project, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_QUEUE_MAXLEN", "1")
    monkeypatch.setenv("REDIS_HOST", "redis.invalid")
    pytester.path.joinpath(".env").write_text("REDIS_MAX_RETRIES=99\n")
    tests = """
def test_settings(queue_client, queue_publisher):
    assert (queue_client.settings.max_retries, queue_client.settings.queue_maxlen) == (3, 100_000)
    queue_publisher.publish_tutor_data({"tutor_id": "T1", "name": "x"})
"""
    project(tests).assert_outcomes(passed=1)


def test_a_wrong_setting_is_said_in_one_line(project: Project) -> None:
    tests = """
import pytest
@pytest.mark.queue_settings(max_retries=-1)
def test_settings(queue_client):
    pass
"""
    result = project(tests)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["@pytest.mark.queue_settings: REDIS_MAX_RETRIES*greater than or equal to 0*"]
    )


@pytest.mark.parametrize("how", ["option", "ini"])
def test_a_server_of_ones_own_keeps_everything_but_the_tests_keys(
    project: Project, pytester: pytest.Pytester, client: RedisClient, valkey: EmbeddedServer, how: str
) -> None:
    before = sorted(client.redis.keys("*"))
    client.redis.set("somebody-elses", "1")
    tests = """
def test_publish(queue_server, queue_publisher):
    assert not queue_server.embedded
    queue_publisher.publish_tutor_data({"tutor_id": "T1", "name": "x"})
"""
    if how == "ini":
        pytester.makeini(f"[pytest]\nqueue_redis_url = {valkey.url}\n")
    project(tests, *([f"--queue-redis-url={valkey.url}"] if how == "option" else [])).assert_outcomes(
        passed=1
    )
    assert sorted(client.redis.keys("*")) == sorted([*before, b"somebody-elses"])
    client.redis.delete("somebody-elses")


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("redis://:s3cret@127.0.0.1:1/0", "*--queue-redis-url: Redis at 127.0.0.1:1/0 is not available*"),
        ("http://:s3cret@x", "*--queue-redis-url: REDIS_URL*must start with redis://*"),
    ],
)
def test_a_server_that_cannot_be_used_is_said_in_one_line_without_its_password(
    project: Project, url: str, words: str
) -> None:
    result = project("def test_it(queue_client):\n    pass\n", "--queue-redis-url", url)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([words])
    assert "s3cret" not in result.stdout.str()


def test_a_failing_test_does_not_show_the_servers_password(project: Project) -> None:
    tests = """
from pydantic import SecretStr
from queue_core.testing.plugin import QueueServer

def test_it(queue_server):
    server = QueueServer(SecretStr("redis://:s3cret@x"), embedded=False)
    assert server == queue_server
"""
    result = project(tests, "--showlocals", "-vv")
    result.assert_outcomes(failed=1)
    assert "s3cret" not in result.stdout.str().replace('SecretStr("redis://:s3cret@x")', "")
