"""A worker that is told to end while its handler does what it should not: it ends all the same."""

from __future__ import annotations

import signal
from collections.abc import Callable

import pytest

from queue_core import MessageConsumer, MessagePublisher, QueueChannels
from queue_core.client import RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.interruption import HandlerInterruption, Interruption, Why
from tests.conftest import wait_until
from tests.queue.conftest import tutor
from tests.queue.worker_scripts import WorkerScript, client, script

__all__ = ["client", "script"]

TUTORS = QueueChannels.TUTORS
Start = Callable[..., WorkerScript]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_also_those_who_call_run_once_again_and_again(
    publisher: MessagePublisher, consumer: MessageConsumer, script: Start, number: signal.Signals
) -> None:
    for one in range(3):
        publisher.publish(TUTORS, tutor(one))
    worker = script("""
@worker.register_handler("tutors")
def handle(data):
    say(data["tutor_id"])
    while not worker._stop():
        time.sleep(0.01)
    return True
while True:
    worker.run_once()
""")
    wait_until(lambda: worker.said, 30)
    worker.process.send_signal(number)
    assert worker.ended() == -number
    assert worker.said == ["T000"]
    assert [one.consumer for one in consumer.get_pending_messages(TUTORS)] == ["released"] * 2


@pytest.mark.parametrize(
    "stuck",
    [
        "try: time.sleep(60)\n        except BaseException: say('swallowed')",
        "try: threading.Event().wait(60)\n        finally: say('cleaning'); time.sleep(60)",
    ],
)
def test_a_stop_ends_a_handler_that_did_not_end_at_its_time_limit(
    publisher: MessagePublisher, consumer: MessageConsumer, script: Start, stuck: str
) -> None:
    publisher.publish(TUTORS, tutor(1))
    worker = script(
        f"""
@worker.register_handler("tutors")
def handle(data):
    for _ in range(20):
        {stuck}
    return True
worker.run()
""",
        REDIS_WORKER_TIME_LIMIT_SECONDS="0.1",
        REDIS_WORKER_GRACE_SECONDS="0.1",
        REDIS_RETRY_BACKOFF_MS="60000",
    )
    wait_until(lambda: worker.said, 30)
    wait_until(lambda: [one.consumer for one in consumer.get_pending_messages(TUTORS)] == ["released"], 30)
    worker.process.terminate()
    assert worker.ended() in (0, -signal.SIGTERM)


@pytest.mark.parametrize("how", ["raise RuntimeError from None", "return False"])
def test_an_interruption_that_a_handler_converts_is_no_failed_attempt_on_a_stop(
    client: RedisClient, publisher: MessagePublisher, consumer: MessageConsumer, script: Start, how: str
) -> None:
    publisher.publish(TUTORS, tutor(1))
    worker = script(
        f"""
@worker.register_handler("tutors")
def handle(data):
    say("began")
    try:
        time.sleep(60)
    except BaseException:
        {how}
    return True
worker.run()
""",
        REDIS_WORKER_GRACE_SECONDS="0.1",
    )
    wait_until(lambda: worker.said, 30)
    worker.process.terminate()
    assert worker.ended() == 0
    assert [one.deliveries for one in consumer.get_pending_messages(TUTORS)] == [0]
    assert not client.redis.exists(client.keys.processing(TUTORS))


def test_a_time_limit_is_named_whatever_the_handler_makes_of_it(
    client: RedisClient, publisher: MessagePublisher, script: Start
) -> None:
    publisher.publish(TUTORS, tutor(1))
    worker = script(
        """
@worker.register_handler("tutors")
def handle(data):
    try:
        time.sleep(60)
    except BaseException:
        raise RuntimeError from None
worker.run_once()
""",
        REDIS_WORKER_TIME_LIMIT_SECONDS="0.1",
        REDIS_MAX_RETRIES="0",
    )
    assert worker.ended() == 0
    (letter,) = DeadLetters(client).iterate()
    assert letter.errors == ("last attempt: the handler took longer than 0.1 s",)


def test_a_stop_interrupts_the_clean_up_after_a_time_limit_and_each_comes_once() -> None:
    interruption, came = Interruption(), list[object]()

    def handle() -> None:
        for why in (Why.TIME_LIMIT, Why.TIME_LIMIT, Why.STOP, Why.TIME_LIMIT, Why.STOP):
            try:
                came.append(interruption.now(why))
            except HandlerInterruption as ending:
                came.append(ending.why)

    interruption.run(handle, call=1)
    assert came == [Why.TIME_LIMIT, False, Why.STOP, False, False]


def test_without_the_signals_of_unix_a_call_past_its_time_limit_is_given_up_as_in_a_thread(
    client: RedisClient, publisher: MessagePublisher, script: Start
) -> None:
    publisher.publish(TUTORS, tutor(1))
    worker = script(
        """
@worker.register_handler("tutors")
def handle(data):
    while not worker.statistics().total.dead:
        time.sleep(0.01)
    return True
worker.run_once()
""",
        before="import signal\ndel signal.SIGALRM, signal.SIGURG, signal.pthread_kill",
        REDIS_WORKER_TIME_LIMIT_SECONDS="0.1",
        REDIS_MAX_RETRIES="0",
    )
    assert worker.ended() == 0
    (letter,) = DeadLetters(client).iterate()
    assert letter.errors == ("last attempt: the handler took longer than 0.1 s",)


def test_a_handler_has_the_alarm_to_itself(publisher: MessagePublisher, script: Start) -> None:
    publisher.publish(TUTORS, tutor(1))
    worker = script(
        """
@worker.register_handler("tutors")
def handle(data):
    signal.signal(signal.SIGALRM, lambda *_: say("its own alarm"))
    signal.alarm(30)
    try:
        time.sleep(60)
    finally:
        signal.alarm(0)
worker.run_once()
""",
        REDIS_WORKER_TIME_LIMIT_SECONDS="0.1",
    )
    assert worker.ended() == 0
    assert worker.said == []
    assert worker.console.count("took longer than 0.1 s") == 1
