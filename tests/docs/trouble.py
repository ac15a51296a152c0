"""Each trouble that docs/redis-setup.md names, made on a real server: what our commands say then."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import redis
from click.testing import CliRunner

from queue_core import MessageConsumer, QueueChannels, RedisClient, RedisSettings
from tests.conftest import wait_until
from tests.docs.servers import started
from tests.queue.conftest import free_port
from tutormax_pipeline.cli import main
from tutormax_pipeline.drain import drain
from tutormax_pipeline.settings import PipelineSettings
from tutormax_pipeline.store import Store

Trouble = Callable[[Path], str]
TROUBLES: dict[str, Trouble] = {}

RECORD = b'{"tutor_id": "T1", "name": "A"}\n'


def says(url: str, *command: str, **variables: str) -> str:
    """Everything that ``tutormax`` prints, in lines as long as they want to be."""
    environment = {"REDIS_URL": url, "COLUMNS": "1000", **variables}
    result = CliRunner().invoke(main, command, RECORD, environment, catch_exceptions=False)
    return result.stdout + result.stderr


def trouble(title: str, configuration: str = "") -> Callable[[Callable[[str, Any], str]], Trouble]:
    """The trouble of a section: a function of a server's URL and of a client for it."""

    def with_server(make: Callable[[str, Any], str]) -> Trouble:
        def made(folder: Path) -> str:
            (folder / "redis.conf").write_text(configuration)
            with started("redis", folder / "redis.conf", folder) as url, redis.Redis.from_url(url) as client:
                return make(url, client)

        TROUBLES[title] = made
        return made

    return with_server


def _refused(_: Path) -> str:
    return says(f"redis://127.0.0.1:{free_port()}/0", "status")


TROUBLES["Connection refused"] = _refused


@trouble("A password is missing", "requirepass right\n")
def no_password(url: str, _: Any) -> str:
    return says(url, "status")


@trouble("A password is wrong", "requirepass right\n")
def wrong_password(url: str, _: Any) -> str:
    return says(url.replace("://", "://:wrong@"), "status")


@trouble("A command is not allowed")
def no_permission(url: str, client: Any) -> str:
    client.execute_command("ACL", "SETUSER", "limited", "on", ">pw", "~*", "+ping")
    return says(url.replace("://", "://limited:pw@"), "status")


@trouble("Out of memory")
def out_of_memory(url: str, client: Any) -> str:
    client.config_set("maxmemory", 1)
    return says(url, "publish", "tutors", "-")


@trouble("The queue is full")
def full(url: str, _: Any) -> str:
    says(url, "publish", "tutors", "-")
    return says(url, "publish", "tutors", "-", REDIS_QUEUE_MAXLEN="1")


@trouble("Stuck: messages wait and nothing drains")
def stuck(url: str, _: Any) -> str:
    says(url, "publish", "tutors", "-")
    return says(url, "doctor", REDIS_QUEUE_MAXLEN="1")


@trouble("The consumer group is gone")
def no_group(url: str, client: Any) -> str:
    says(url, "publish", "tutors", "-")
    with (
        RedisClient(RedisSettings.load(url=url)) as queue,
        Store.open(PipelineSettings.load().store_address) as store,
    ):
        drain(MessageConsumer(queue, "one"), store, QueueChannels.TUTORS, run_id="run")
    client.xgroup_destroy("tutormax:tutors", "tutormax-workers")
    return says(url, "doctor")


@trouble(
    "Loading", "enable-debug-command yes\nkey-load-delay 500\nloading-process-events-interval-bytes 1024\n"
)
def loading(url: str, client: Any) -> str:
    client.execute_command("DEBUG", "POPULATE", "20000", "key", "200")
    client.save()
    # Nobody waits for its answer: the server is killed before it comes.
    with redis.Redis.from_url(url) as other:
        other.connection_pool.get_connection().send_command("DEBUG", "RELOAD", "NOSAVE")
        return wait_until(lambda: _if_loading(url), 30, "a server that loads")


def _if_loading(url: str) -> str:
    said = says(url, "status")
    return said if "loading" in said else ""


@trouble("The disk", 'save "3600 1"\n')
def no_disk(url: str, client: Any) -> str:
    client.set("tutormax:other", 1)
    folder = Path(client.config_get("dir")["dir"])
    (folder / "dump.rdb" / "in the way").mkdir(parents=True)
    client.bgsave()
    wait_until(lambda: client.info()["rdb_last_bgsave_status"] == "err", 30, "a snapshot that fails")
    return says(url, "publish", "tutors", "-") + says(url, "doctor")


@trouble("A replica")
def replica(url: str, client: Any) -> str:
    client.replicaof("127.0.0.1", "1")
    return says(url, "publish", "tutors", "-")
