"""Handlers that start processes: a forked child is nobody's worker."""

from __future__ import annotations

from collections.abc import Callable

from queue_core import MessageConsumer, MessagePublisher, QueueChannels
from tests.queue.conftest import tutor
from tests.queue.worker_scripts import WorkerScript, client, script

__all__ = ["client", "script"]

TUTORS = QueueChannels.TUTORS
Start = Callable[..., WorkerScript]


def test_what_a_handler_forks_ends_when_it_is_told_to(publisher: MessagePublisher, script: Start) -> None:
    publisher.publish(TUTORS, tutor(1))
    worker = script("""
fork = multiprocessing.get_context("fork")
@worker.register_handler("tutors")
def handle(data):
    with fork.Pool(2) as pool:
        say(pool.map(abs, [-1, -2]))
        pool.apply_async(time.sleep, (60,))
    child = fork.Process(target=time.sleep, args=(60,))
    child.start()
    child.terminate()
    child.join(30)
    say(child.exitcode)
    return True
say(worker.run_once())
""")
    assert worker.ended() == 0
    assert worker.said == ["[1, 2]", "-15", "1"]


def test_a_forked_child_that_leaves_the_handler_gives_nothing_of_its_parents_away(
    publisher: MessagePublisher, consumer: MessageConsumer, script: Start
) -> None:
    for number in range(2):
        publisher.publish(TUTORS, tutor(number))
    worker = script("""
from queue_core import MessageConsumer
@worker.register_handler("tutors")
def handle(data):
    child = os.fork()
    if child == 0:
        sys.exit(3)
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    pending = MessageConsumer(worker.client).get_pending_messages("tutors")
    say(code, {one.consumer == worker.name for one in pending})
    return True
say(worker.run_once())
""")
    assert worker.ended() == 0
    assert worker.said == ["3 {True}", "3 {True}", "2"]
    assert consumer.get_pending_messages(TUTORS) == []
