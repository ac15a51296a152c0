"""The run: load, dice, healing, draining to the end, verdict."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import psutil
import redis

from queue_core.errors import QueueUnavailableError
from tests.chaos.audit import Auditor
from tests.chaos.faults import FAULTS
from tests.chaos.plan import BATCH, Plan
from tests.chaos.system import NotNowError, System
from tests.chaos.verdict import Verdict, judge
from tests.conftest import wait_until

#: How often what is due is looked for.
_LOOK_SECONDS = 0.05
#: How often the books are looked at while everything runs.
_AUDIT_SECONDS = 0.5
#: Longest time for what is left when everything is healed.
_DRAIN_SECONDS = 600.0
_PREFIX = "chaos"
#: Load before and after the long outage of ``store_down_seconds``.
_CALM_SECONDS = 1.0
_WARM_UP_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Options:
    """What a run is to be.

    Attributes:
        messages: of all publishers together, rounded up to whole batches; None goes on for ``seconds``.
        seconds: over which the messages are spread; None publishes as fast as it goes.
        seed: of plan and dice.
        drains: processes that drain.
        publishers: processes that publish.
        faults: names of the faults; none is a calm run.
        tick_seconds: mean time between two faults.
        turns: go on until so many faults had their turn, instead of for messages or seconds.
        per_second: messages of each publisher where their number is not given; 0 is as fast as it goes.
        store_down_seconds: lock and hide the database once for so long, beside the faults.
    """

    messages: int | None = None
    seconds: float | None = None
    seed: int = 1
    drains: int = 3
    publishers: int = 3
    faults: tuple[str, ...] = ()
    tick_seconds: float = 0.5
    turns: int | None = None
    per_second: float = 0.0
    store_down_seconds: float = 0.0


@dataclass(slots=True)
class Result:
    """What a run was.

    Attributes:
        verdict: what is right and wrong at its end.
        survived: how often each fault was made.
        missed: how often one could not be made, because another one was in its way.
        thrown: the dice: seconds since the start and fault, in order.
        messages: acknowledged to the publishers.
        publishing_seconds: how long they published.
        seconds: until everything was drained.
        store_down_seconds: longest time for which the database was away.
        looks: how often the books were looked at.
        crashes: tracebacks of processes that failed by themselves.
    """

    verdict: Verdict
    survived: Counter[str]
    missed: Counter[str]
    thrown: list[tuple[float, str]]
    messages: int
    publishing_seconds: float
    seconds: float
    store_down_seconds: float = 0.0
    looks: int = 0
    crashes: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether nothing is wrong."""
        return not self.verdict.violations and not self.crashes


class Deck:
    """Faults in an order of chance, each as often as its weight says before any comes again."""

    def __init__(self, names: tuple[str, ...], dice: Random) -> None:
        self._dice = dice
        self._all = [name for name in names for _ in range(max(1, FAULTS[name].weight))]
        self._left: list[str] = []

    def __len__(self) -> int:
        return len(self._all)

    def draw(self) -> str:
        """The next one."""
        if not self._left:
            self._left = self._dice.sample(self._all, len(self._all))
        return self._left.pop()


def run(options: Options, folder: Path) -> Result:
    """Run it in an empty folder."""
    share = None if options.messages is None else options.messages / options.publishers
    batches = 10**9 if share is None else -(-int(share) // BATCH)
    pace = share / options.seconds if share is not None and options.seconds else options.per_second
    with System(
        folder,
        Plan(options.seed, _PREFIX),
        Random(options.seed),
        drains=options.drains,
        publishers=options.publishers,
        batches=batches,
        per_second=pace,
    ) as system:
        started = time.monotonic()
        with Auditor(system) as auditor:
            _warm_up(system)
            survived, missed, thrown = _break_things(system, options, auditor)
            system.heal()
            system.stop_publishers(timeout_seconds=60)
            publishing_seconds = time.monotonic() - started
            drained = _drain_to_the_end(system)
            seconds = time.monotonic() - started
            system.stop_drains()
            auditor.look_at_all()
        forgotten = "flushall" in options.faults
        verdict = judge(system, drained=drained, alarms=auditor.alarms, forgotten=forgotten)
        return Result(
            verdict,
            survived,
            missed,
            thrown,
            system.messages_published,
            publishing_seconds,
            seconds,
            system.longest_lock_seconds,
            auditor.looks,
            system.nursery.crashes(),
        )


def _warm_up(system: System) -> None:
    # Programs take seconds to start on a slow machine, and what has not begun cannot be broken.
    # What a server forgets before it was drained or looked at, nobody can miss.
    def done() -> bool:
        system.tend()
        return system.has_stored_each_channel

    wait_until(done, _WARM_UP_SECONDS, "a row of each channel", _LOOK_SECONDS)


def _break_things(
    system: System, options: Options, auditor: Auditor
) -> tuple[Counter[str], Counter[str], list[tuple[float, str]]]:
    # Dice of its own: whom a fault hits and how long it takes depends on the moment, the sequence must not.
    deck, pace = Deck(options.faults, Random(f"{options.seed} faults")), Random(f"{options.seed} pace")
    survived, missed, thrown = Counter[str](), Counter[str](), []
    started = time.monotonic()
    seconds = options.seconds if options.messages is None else None
    next_fault, next_audit = started + options.tick_seconds, started + _AUDIT_SECONDS
    if options.store_down_seconds:
        system.later(_CALM_SECONDS, lambda: system.lock_store(options.store_down_seconds))
        system.later(_CALM_SECONDS, lambda: system.hide_store(options.store_down_seconds))
        seconds = _CALM_SECONDS + options.store_down_seconds + _CALM_SECONDS
    while not (
        system.has_published
        or (
            seconds is not None
            and time.monotonic() >= started + seconds
            # The outage begins late where a drain holds the lock for long.
            and system.longest_lock_seconds >= options.store_down_seconds
        )
        or (options.turns is not None and len(thrown) >= options.turns)
    ):
        system.tend()
        if options.faults and time.monotonic() >= next_fault:
            name = deck.draw()
            next_fault = time.monotonic() + options.tick_seconds * pace.uniform(0.5, 1.5)
            thrown.append((round(time.monotonic() - started, 2), name))
            try:
                FAULTS[name].act(system)
                survived[name] += 1
            except (NotNowError, redis.RedisError, psutil.NoSuchProcess):
                missed[name] += 1
        if time.monotonic() >= next_audit:
            auditor.look()
            next_audit = time.monotonic() + _AUDIT_SECONDS
        time.sleep(_LOOK_SECONDS)
    return survived, missed, thrown


def _drain_to_the_end(system: System) -> bool:
    deadline = time.monotonic() + _DRAIN_SECONDS
    while time.monotonic() < deadline:
        system.tend()
        try:
            if all(one.waiting == one.pending == one.scheduled == 0 for one in system.look()):
                return True
        except QueueUnavailableError:
            pass
        time.sleep(_LOOK_SECONDS)
    return False
