"""Short runs of the chaos driver: nothing is lost, nothing twice, nothing unexplained."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from random import Random

import pytest

from queue_core.outcomes import Outcome
from tests.chaos.driver import Deck, Options, Result, run
from tests.chaos.faults import FAULTS

PROJECT = Path(__file__).parents[2]

USUAL = tuple(name for name, fault in FAULTS.items() if fault.weight)


def assert_passed(result: Result) -> None:
    assert result.crashes == []
    assert result.verdict.violations == []


@pytest.mark.timeout(240)
def test_every_message_survives_every_fault_exactly_once(tmp_path: Path) -> None:
    everyone = len(Deck(USUAL, Random(0)))
    options = Options(seed=20261107, faults=USUAL, tick_seconds=0.15, turns=everyone, per_second=500)
    result = run(options, tmp_path)
    assert_passed(result)
    assert result.messages > 1_000
    assert set(USUAL) == set(result.survived) | set(result.missed)
    assert result.survived.total() >= 20


@pytest.mark.timeout(240)
def test_a_group_that_is_destroyed_again_and_again_costs_nothing(tmp_path: Path) -> None:
    options = Options(faults=("destroy_group",), tick_seconds=0.2, turns=10, per_second=1_500)
    result = run(options, tmp_path)
    assert_passed(result)
    assert result.survived["destroy_group"] >= 3


@pytest.mark.long
@pytest.mark.timeout(240)
def test_after_a_flushall_what_is_stored_is_right_and_the_books_raise_an_alarm(tmp_path: Path) -> None:
    options = Options(
        faults=("flushall", "kill_drain", "kill_server"), tick_seconds=0.3, turns=14, per_second=1_500
    )
    result = run(options, tmp_path)
    assert_passed(result)
    assert result.survived["flushall"] >= 1
    assert result.verdict.alarm


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_database_that_is_down_under_load_costs_nothing_and_is_recovered_from(tmp_path: Path) -> None:
    """``make chaos ARGS="--store-down 60"`` is the same for a minute."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.chaos", "--store-down", "2", "--publishers", "2", "--json"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(done.stdout)
    assert result["passed"]
    assert result["messages"] > 5_000
    assert result["store_down_seconds"] >= 1.9
    outcomes = result["verdict"]["outcomes"]
    assert outcomes[Outcome.LOST] == 0
    # Nobody but the poison is dead: that is a rule of the verdict; and there was some.
    assert 0 < outcomes[Outcome.DEAD_LETTERED] < 0.02 * result["messages"]


def test_the_same_seed_throws_the_same_dice_and_every_fault_as_often_as_it_weighs() -> None:
    def draws(seed: int) -> list[str]:
        deck = Deck(USUAL, Random(seed))
        return [deck.draw() for _ in range(weight)]

    weight = sum(FAULTS[name].weight for name in USUAL)
    assert draws(1) == draws(1)
    assert draws(1) != draws(2)
    assert Counter(draws(1)) == {name: FAULTS[name].weight for name in USUAL}
