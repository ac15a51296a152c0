"""``tutormax up``: everything on this machine, until Ctrl-C."""

from __future__ import annotations

import fcntl
import os
import shlex
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

import click
import orjson
from rich.console import Console
from rich.panel import Panel

from queue_core import MessagePublisher, QueueChannels, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer, running
from queue_core.monitor import snapshot
from queue_core.stopping import Stop, stop_on_signals
from tutormax_pipeline.configured_store import configured_store
from tutormax_pipeline.home import prepare_home
from tutormax_pipeline.local_dagster import LocalDagster, check_port_is_free
from tutormax_pipeline.sample import sample_lines
from tutormax_pipeline.settings import PipelineSettings, brings_own_redis, redis_settings
from tutormax_pipeline.store import Store

_LOOK_SECONDS = 0.5
_EXAMPLE = '{"tutor_id": "T001", "name": "Ann"}'


@click.command()
@click.option("--port", type=click.IntRange(1, 65535), default=3000, show_default=True, help="Of the UI.")
@click.option("--redis-port", type=click.IntRange(1, 65535), help="Of the embedded server; else a free one.")
@click.option("--no-sample", is_flag=True, help="Do not publish the sample data on the first start.")
def up(port: int, redis_port: int | None, no_sample: bool) -> None:
    """Start the queue, Dagster and its UI on this machine; Ctrl-C stops them."""
    settings = PipelineSettings.load()
    os.umask(0o077)  # data of people: whatever this and Dagster write is for its owner alone
    home = prepare_home(settings)
    with ExitStack() as stack:
        lock = stack.enter_context((home / "up.json").open("a+b"))
        if not _take(lock.fileno()):
            lock.seek(0)
            Console().print(_found(orjson.loads(lock.read() or b"{}")))
            return
        lock.truncate(0)
        stop = stack.enter_context(stop_on_signals())
        check_port_is_free(port)
        click.echo("Starting the queue ...")
        stack.enter_context(_queue(settings, redis_port))
        client = stack.enter_context(RedisClient(redis_settings(settings)))
        client.health_check()
        configured_store(settings).close()
        embedded = not brings_own_redis(RedisSettings.load())
        fed = _feed_sample(client) if embedded and not no_sample else 0
        click.echo("Starting Dagster (10 to 60 s) ...")
        dagster = stack.enter_context(LocalDagster(settings, port, lock.fileno(), stop))
        state = {"pid": os.getpid(), "dagster_pid": dagster.pid, "ui": dagster.url, "redis": client.address}
        lock.write(orjson.dumps(state))
        lock.flush()
        if not stop():
            Console(soft_wrap=True, highlight=False).print(_screen(settings, dagster, client, fed))
        _wait(stop, dagster)
        click.echo("Stopping: drains finish the batch in hand ...")
    click.echo("Stopped. The data is kept; 'tutormax up' goes on where this ended.")


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


@contextmanager
def _queue(settings: PipelineSettings, port: int | None) -> Iterator[None]:
    """The embedded server, unless a Redis is named; one that an ended ``up`` left behind is taken over."""
    if brings_own_redis(RedisSettings.load()):
        yield
        return
    left_behind = running(settings.redis_folder)
    if left_behind is None:
        with EmbeddedServer(settings.redis_folder, port=port):
            yield
        return
    try:
        yield
    finally:
        os.kill(left_behind.pid, signal.SIGTERM)


def _feed_sample(client: RedisClient) -> int:
    """Publish the sample, if nothing was ever published; returns how many messages."""
    if any(snapshot(client, channel).entries_added for channel in QueueChannels.all()):
        return 0
    publisher = MessagePublisher(client)
    return sum(
        publisher.publish_batch(
            channel, map(orjson.loads, sample_lines(channel)), metadata={"source": "sample"}
        ).published
        for channel in QueueChannels.all()
    )


def _wait(stop: Stop, dagster: LocalDagster) -> None:
    while not stop():
        dagster.check()
        time.sleep(_LOOK_SECONDS)


def _screen(settings: PipelineSettings, dagster: LocalDagster, client: RedisClient, fed: int) -> str:
    # No box around it: these lines are made to be copied.
    command = shlex.quote(os.path.relpath(sys.argv[0]))
    lines = [
        "",
        "[bold green]TutorMax pipeline is up[/]",
        f"  Dagster UI  {dagster.url}",
        f"  Redis       {client.address}",
        f"  Tables      {Store(settings.store_address).address}",
        f"  Logs        {dagster.log.parent}",
        "",
    ]
    if fed:
        lines += [f"{fed:,} sample messages were published; within seconds they are rows.", ""]
    lines += [
        "In another terminal, try:",
        f"  {command} status",
        f"  echo '{_EXAMPLE}' | {command} publish tutors -",
        f"and in the browser: {dagster.url}/runs and {dagster.url}/asset-groups",
        "",
        "Ctrl-C stops all of it; the data is kept.",
    ]
    return "\n".join(lines)


def _found(state: dict[str, Any]) -> Panel:
    lines = [f"UI {state.get('ui', 'still starting')}, Redis {state.get('redis', 'still starting')}"]
    if "pid" in state and not _is_alive(state["pid"]):
        lines.append(f"Its 'tutormax up' was killed. To end the rest: kill -INT {state['dagster_pid']}")
    elif "pid" in state:
        lines.append(f"To stop it: Ctrl-C where it was started, or kill -INT {state['pid']}")
    return Panel("\n".join(lines), title="It is up already", title_align="left")


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
