"""Fixtures: real servers on free ports, a namespace of its own for each test, real databases."""

from __future__ import annotations

import os
import shutil
import signal
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import pytest

from queue_core import MessageConsumer, MessagePublisher, RedisClient, RedisSettings
from queue_core.embedded import EmbeddedServer, find_server_binary
from queue_core.monitor import ChannelSnapshot
from tutormax_pipeline.store import Store

pytest_plugins = ["tests.postgres_fixtures"]

#: Debian's server, the second on which the queue's suite runs.
REDIS_SERVER = Path("/usr/bin/redis-server")

#: The kinds of servers on which the queue's suite runs.
SERVER_KINDS = ["valkey", pytest.param("redis", marks=pytest.mark.needs_redis_server)]

#: What a look at a channel shows where nothing was ever published.
NOTHING = ChannelSnapshot(
    channel="tutors",
    length=0,
    entries_added=0,
    waiting=0,
    waiting_is_exact=True,
    pending=0,
    scheduled=0,
    dead=0,
    oldest_unprocessed_age_seconds=None,
    claimable=False,
    next_retry_in_seconds=None,
    group_exists=False,
)

#: Folders whose files take longest. They come first, so that at the end no worker waits for another.
LONGEST_FIRST = (
    "live",
    "ui",
    "cli",
    "split",
    "chaos",
    "crash",
    "deploy",
    "dagster_location",
    "pipeline",
)

T = TypeVar("T")


def pytest_configure() -> None:
    """Ctrl-C is what it usually is, also where a shell began the suite in the background and ignores it.

    What the tests start inherits that, and Dagster then ignores SIGTERM as well.
    """
    if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest first; the rest in the order of their folders."""
    places = {folder: place for place, folder in enumerate(LONGEST_FIRST)}
    items.sort(key=lambda item: places.get(item.path.parent.name, len(places)))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Iterator[None]:
    """Where skipping is forbidden (CI), a skipped test is a failed one."""
    report = yield
    if report.skipped and not hasattr(report, "wasxfail") and os.environ.get("TUTORMAX_FORBID_SKIPS"):
        report.outcome = "failed"
        report.longrepr = f"skipping is forbidden here: {report.longrepr}"
    return report


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """What is marked ``on_both_databases`` and uses a store runs on SQLite, then on PostgreSQL."""
    if "store_url" in metafunc.fixturenames and metafunc.definition.get_closest_marker("on_both_databases"):
        metafunc.parametrize("store_url", ["sqlite", "postgresql"], indirect=True)


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No setting of the person who runs the tests, and no .env, reaches them."""
    for name in list(os.environ):
        if name.startswith(
            (
                "REDIS_",
                "TUTORMAX_STORE",
                "TUTORMAX_HOME",
                "TUTORMAX_DRAIN",
                "TUTORMAX_LEDGER",
                "TUTORMAX_ALERT",
                "TUTORMAX_CELERY",
                "TUTORMAX_DAGSTER",
                "DAGSTER_",
            )
        ):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def wait_until(
    condition: Callable[[], T],
    timeout_seconds: float = 10,
    what: str = "the condition",
    every_seconds: float = 0.002,
) -> T:
    """Look again and again, for a bounded time, until the condition holds; returns what it gave."""
    deadline = time.monotonic() + timeout_seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not come within {timeout_seconds} s"
        time.sleep(every_seconds)
    return found


def patiently(condition: Callable[[], T], timeout_seconds: float = 120, what: str = "the condition") -> T:
    """The same for what each look costs another process some milliseconds: a page, a query, a health check.

    What takes seconds on an idle machine may take a minute where several Dagsters start at once.
    """
    return wait_until(condition, timeout_seconds, what, every_seconds=0.1)


def server_binary(kind: str) -> Path:
    """The binary of a kind of server; skips the test where it is not installed."""
    if kind == "valkey":
        return find_server_binary()
    if not REDIS_SERVER.exists():
        pytest.skip("redis-server is not installed (Debian package redis-server)")
    return REDIS_SERVER


@pytest.fixture(scope="session")
def valkey(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServer]:
    """One Valkey for the whole session of this worker."""
    with EmbeddedServer(tmp_path_factory.mktemp("valkey")) as server:
        yield server


@pytest.fixture(scope="session", params=SERVER_KINDS)
def any_server(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[EmbeddedServer]:
    """Each kind of server in turn: what uses it is the conformance suite."""
    binary = server_binary(request.param)
    with EmbeddedServer(tmp_path_factory.mktemp(request.param), binary=binary) as server:
        yield server


def settings_for(server: EmbeddedServer, **values: object) -> RedisSettings:
    """Settings for a server, with a key prefix that no other test has."""
    return RedisSettings.load(url=server.url, key_prefix=f"test-{uuid.uuid4().hex[:12]}", **values)


@pytest.fixture
def client(valkey: EmbeddedServer) -> Iterator[RedisClient]:
    """A client with a namespace of its own."""
    with RedisClient(settings_for(valkey)) as client:
        yield client


@pytest.fixture
def publisher(client: RedisClient) -> MessagePublisher:
    """A publisher in the test's namespace."""
    return MessagePublisher(client)


@pytest.fixture
def consumer(client: RedisClient) -> MessageConsumer:
    """A consumer in the test's namespace."""
    return MessageConsumer(client, "consumer-of-the-test")


@pytest.fixture
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty store: SQLite, unless the test is marked ``on_both_databases``."""
    if getattr(request, "param", "sqlite") == "postgresql":
        return str(request.getfixturevalue("postgres_url"))
    return f"sqlite:///{tmp_path}/store.db"


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SQLite file with empty tables, to be copied: making them takes fifteen times as long."""
    file = tmp_path_factory.mktemp("empty") / "store.db"
    Store.open(f"sqlite:///{file}").close()
    return file


@pytest.fixture
def store(store_url: str, empty_store: Path, tmp_path: Path) -> Iterator[Store]:
    """An empty store."""
    if store_url.startswith("sqlite"):
        shutil.copy(empty_store, tmp_path / "store.db")
    with Store.open(store_url) as store:
        yield store
