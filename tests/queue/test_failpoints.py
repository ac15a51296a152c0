"""Failpoints: recorded in order, and ending the process where one is armed."""

from __future__ import annotations

import subprocess
import sys

import pytest

from queue_core.failpoints import EXIT_CODE, around, passing, recorded


def test_places_are_passed_in_order_and_the_last_only_after_success() -> None:
    with recorded() as places:
        with around("one"):
            passing("inside")
        with pytest.raises(ValueError, match="x"), around("two"):
            raise ValueError("x")
    with around("three"):
        pass
    assert places == ["one:before", "inside", "one:after", "two:before"]


@pytest.mark.parametrize(("place", "printed"), [("one:before", "0"), ("one:after", "0 1")])
def test_an_armed_place_ends_the_process_at_its_nth_pass(place: str, printed: str) -> None:
    program = f"""
from queue_core.failpoints import arm, around
arm({place!r}, passes=2)
arm("never:before")
for n in range(3):
    with around("one"):
        if n != 1 or {place!r} == "one:after":
            print(n, flush=True)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (EXIT_CODE, printed.split())
