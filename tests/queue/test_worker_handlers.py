"""What may be a handler, and for which channel; refused loudly before any message is touched."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator

import pytest

from queue_core import QueueChannels, QueueWorker
from queue_core.client import RedisClient
from queue_core.config import RedisSettings
from queue_core.errors import ConfigurationError
from queue_core.handlers import HandlerAnswerError, RegisteredHandler

TUTORS = QueueChannels.TUTORS


@pytest.fixture
def client() -> Iterator[RedisClient]:
    """Never connected: nothing here asks a server."""
    with RedisClient(RedisSettings.load(port=1)) as client:
        yield client


@pytest.fixture
def worker(client: RedisClient) -> QueueWorker:
    return QueueWorker([TUTORS, "sessions"], client=client)


class Callable2:
    def __call__(self, data: object, message: object) -> bool:
        return True

    async def later(self, data: object) -> bool:
        return True


async def later(data: object) -> bool:
    return True


class CallableLater:
    async def __call__(self, data: object) -> bool:
        return True


def generator(data: object) -> Iterator[bool]:
    yield True


def keyword(data: object, *, database: object) -> bool:
    return True


@pytest.mark.parametrize(
    "handler",
    [
        lambda data: True,
        lambda data, message: True,
        lambda data, message=None: True,
        lambda data, retries=3: True,
        lambda *parts: True,
        Callable2(),
        Callable2().__call__,
        functools.partial(keyword, database=1),
        bool,
    ],
)
def test_whatever_takes_one_or_two_positional_arguments_is_a_handler(
    worker: QueueWorker, handler: Callable[..., bool]
) -> None:
    assert worker.register_handler(TUTORS, handler) is handler


@pytest.mark.parametrize(
    ("handler", "words"),
    [
        (lambda: True, "cannot be called with"),
        (lambda a, b, c: True, "cannot be called with"),
        (keyword, "cannot be called with"),
        (later, "async"),
        (CallableLater(), "async"),
        (Callable2().later, "async"),
        (functools.partial(later), "async"),
        (generator, "generator"),
        ("tutors", "not str"),
    ],
)
def test_whatever_cannot_be_called_so_or_would_not_run_is_refused(
    worker: QueueWorker, handler: Callable[..., bool], words: str
) -> None:
    for register in (worker.register_handler, worker.register_batch_handler):
        with pytest.raises(ConfigurationError, match=words):
            register(TUTORS, handler)


def test_a_second_parameter_is_the_message_unless_it_has_another_meaning() -> None:
    def wants(handler: Callable[..., bool]) -> bool:
        return RegisteredHandler(handler, batch=False)._takes_message

    assert wants(lambda data, message: True)
    assert wants(lambda data, whatever: True)
    assert wants(lambda data, message=None: True)
    assert not wants(lambda data, retries=3: True)
    assert not wants(lambda *parts: True)


def test_a_channel_has_one_handler(worker: QueueWorker) -> None:
    worker.register_handler("tutormax:tutors", lambda data: True)
    for register in (worker.register_handler, worker.register_batch_handler):
        with pytest.raises(ConfigurationError, match="tutors has a handler already"):
            register("tutors", lambda data: True)


@pytest.mark.parametrize(
    ("channel", "words"), [("feedback", "not a channel of this worker"), ("tutor", "no channel 'tutor'")]
)
def test_a_handler_is_for_a_channel_of_the_worker(worker: QueueWorker, channel: str, words: str) -> None:
    with pytest.raises(ConfigurationError, match=words):
        worker.register_handler(channel, lambda data: True)


def test_registering_is_a_decorator_too(worker: QueueWorker) -> None:
    @worker.register_handler("tutors")
    def handle(data: object) -> bool:
        return True

    @worker.register_batch_handler("sessions")
    def handle_many(data: object) -> bool:
        return True

    assert (handle({}), handle_many([])) == (True, True)


def test_a_channel_without_a_handler_does_not_run(worker: QueueWorker) -> None:
    worker.register_handler(TUTORS, lambda data: True)
    for start in (worker.run, worker.run_once):
        with pytest.raises(ConfigurationError, match="Register a handler for sessions"):
            start()


@pytest.mark.parametrize(
    "given",
    [
        {"channels": []},
        {"channels": ["tutor"]},
        {"channels": None},
        {"channels": [None]},
        {"channels": 5},
        {"batch_size": "10"},
        {"batch_size": 2.7},
        {"poll_interval_ms": 0.5},
        {"time_limit_seconds": "1"},
        {"batch_size": 0},
        {"poll_interval_ms": 0},
        {"time_limit_seconds": -1},
        {"grace_seconds": float("nan")},
    ],
)
def test_a_bad_option_is_refused_by_name(client: RedisClient, given: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError) as caught:
        QueueWorker(**{"channels": TUTORS, "client": client, **given})
    assert str(caught.value).startswith(next(iter(given))[:5]) or "channel" in str(caught.value)


def test_a_worker_has_the_default_group_as_retries_and_dead_letters_do(client: RedisClient) -> None:
    with pytest.raises(TypeError, match="group"):
        QueueWorker(TUTORS, client=client, group="audit")


@pytest.mark.parametrize("answer", [[True], [True, 1], [True, True, True], "yes", 1, {}])
def test_a_batch_handlers_answer_is_one_bool_or_one_for_each(answer: object) -> None:
    handler = RegisteredHandler(lambda data: answer, batch=True)
    with pytest.raises(HandlerAnswerError, match="must return True"):
        handler._read(answer, 2)
    assert handler._read([True, False], 2) == [True, False]
    assert handler._read((False, True), 2) == [False, True]
    assert handler._read(False, 2) == [False, False]
