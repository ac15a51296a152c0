"""The faults, each one function: what is done to the system, and what puts it right again.

A new one is a function here and a line in :data:`FAULTS`.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass

import psutil

from queue_core import QueueChannels
from queue_core.channels import CONSUMER_GROUP, Keys
from tests.chaos.system import RECLAIM_SECONDS, SOCKET_TIMEOUT_SECONDS, NotNowError, System


@dataclass(frozen=True, slots=True)
class Fault:
    """One kind of fault.

    Attributes:
        act: does it. Raises ``NotNowError`` or a ``RedisError`` where that is not possible at the moment.
        weight: how often it comes, compared to the others; 0 only when it is asked for by name.
        what: in words, for the table.
    """

    act: Callable[[System], None]
    weight: int
    what: str


def kill_drain(system: System) -> None:
    _hit(system, system.drains, signal.SIGKILL)


def stop_drain(system: System) -> None:
    _hit(system, system.drains, signal.SIGTERM)


def zombie(system: System) -> None:
    # It may hold the lock of the database as well: then the others wait for it.
    drain = _hit(system, system.drains, signal.SIGSTOP)

    def wake() -> None:
        with suppress(psutil.NoSuchProcess):
            drain.send_signal(signal.SIGCONT)

    system.later(RECLAIM_SECONDS * system.dice.uniform(1.2, 2), wake)


def kill_publisher(system: System) -> None:
    _hit(system, system.publishers, signal.SIGKILL)


def restart_server(system: System) -> None:
    _thaw(psutil.Process(system.server.pid))
    system.restart_server(system.server.stop)


def kill_server(system: System) -> None:
    system.restart_server(system.server.kill)


def freeze_server(system: System) -> None:
    server = psutil.Process(system.server.pid)
    server.send_signal(signal.SIGSTOP)
    system.later(SOCKET_TIMEOUT_SECONDS * system.dice.uniform(1.2, 2), lambda: _thaw(server))


def pause_clients(system: System) -> None:
    with system.admin() as admin:
        admin.client_pause(int(SOCKET_TIMEOUT_SECONDS * 1000 * system.dice.uniform(0.5, 2)))


def cut_answers(system: System) -> None:
    system.proxy.cut(system.dice.choice((1, 10, 100, 10_000)), "answers")


def cut_commands(system: System) -> None:
    system.proxy.cut(system.dice.choice((1, 10, 100, 10_000)), "commands")


def stall_network(system: System) -> None:
    system.proxy.stall()
    system.later(SOCKET_TIMEOUT_SECONDS * system.dice.uniform(0.5, 2), system.proxy.heal)


def refuse_connections(system: System) -> None:
    system.proxy.refuse()
    system.later(system.dice.uniform(0.2, 1), system.proxy.heal)


def lock_store(system: System) -> None:
    system.lock_store(system.dice.uniform(0.5, 2))


def hide_store(system: System) -> None:
    # Those that have it open go on; this one's successor cannot begin.
    system.hide_store(system.dice.uniform(0.5, 2))
    _hit(system, system.drains, signal.SIGKILL)


def destroy_group(system: System) -> None:
    channel = system.dice.choice(QueueChannels.all())
    with system.admin() as admin:
        admin.xgroup_destroy(Keys(system.plan.prefix).stream(channel), CONSUMER_GROUP)


def fill_memory(system: System) -> None:
    with system.admin() as admin:
        admin.config_set("maxmemory", 1)

    def empty() -> None:
        with system.admin() as admin:
            admin.config_set("maxmemory", 0)

    system.later(system.dice.uniform(0.5, 1.5), empty)


def flushall(system: System) -> None:
    with system.admin() as admin:
        admin.flushall()


FAULTS = {
    "kill_drain": Fault(kill_drain, 4, "a drain was killed (SIGKILL)"),
    "stop_drain": Fault(stop_drain, 2, "a drain was told to stop (SIGTERM)"),
    "zombie": Fault(zombie, 2, "a drain slept past its reclaim, and woke up"),
    "kill_publisher": Fault(kill_publisher, 2, "a publisher was killed (SIGKILL)"),
    "restart_server": Fault(restart_server, 1, "the server was restarted in order"),
    "kill_server": Fault(kill_server, 2, "the server was killed and restarted"),
    "freeze_server": Fault(freeze_server, 1, "the server froze for longer than the timeout"),
    "pause_clients": Fault(pause_clients, 1, "all clients were paused"),
    "cut_answers": Fault(cut_answers, 2, "connections were cut in the middle of an answer"),
    "cut_commands": Fault(cut_commands, 2, "connections were cut in the middle of a command"),
    "stall_network": Fault(stall_network, 1, "nothing came through for a while"),
    "refuse_connections": Fault(refuse_connections, 1, "connections were refused for a while"),
    "lock_store": Fault(lock_store, 2, "the database was locked for a while"),
    "hide_store": Fault(hide_store, 1, "the database could not be opened for a while"),
    "destroy_group": Fault(destroy_group, 2, "the consumer group was destroyed"),
    "fill_memory": Fault(fill_memory, 1, "the server had no memory left for a while"),
    "flushall": Fault(flushall, 0, "the server forgot everything (FLUSHALL)"),
}


def _hit(system: System, among: list[psutil.Process], number: signal.Signals) -> psutil.Process:
    awake = [one for one in among if one.is_running() and one.status() != psutil.STATUS_STOPPED]
    if not awake:
        raise NotNowError("there is nobody to hit")
    one = system.dice.choice(awake)
    one.send_signal(number)
    return one


def _thaw(server: psutil.Process) -> None:
    with suppress(psutil.NoSuchProcess):
        server.send_signal(signal.SIGCONT)
