"""The benchmark itself works: what it says of speed is for ``make bench``, on a machine that is idle."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from benchmarks.figures import Figure, table_of

PROJECT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def result(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.drain", "--quick", "--json", "--folder", folder],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert list(folder.iterdir()) == []
    found: dict[str, Any] = json.loads(done.stdout)
    return found


def value_of(result: dict[str, Any], name: str) -> float:
    (found,) = [figure["value"] for figure in result["figures"] if figure["name"] == name]
    assert isinstance(found, int | float)
    return float(found)


def test_every_figure_is_there_with_the_machine_it_was_measured_on(result: dict[str, Any]) -> None:
    assert result["machine"].keys() == {"cores", "load_average", "python", "sqlite", "sync_ms"}
    assert [figure["name"] for figure in result["figures"]] == [
        "drain of 20,000",
        "drain of 20,000: processor",
        "by hand, 20,000",
        "by hand, 20,000: processor",
        "drain to by hand",
        "drain to by hand: processor",
        "peak memory, drain of 20,000",
        "peak memory, drain of 5,000",
        "memory, 20,000 to 5,000",
        "messages drained and not stored",
        "publish to stored at 100/s, p50",
        "publish to stored at 100/s, p95",
        "publish to stored at 100/s, p99",
        "publish to stored at 100/s, longest",
        "messages published and not stored",
        "as the drain reports it, p50",
        "as the drain reports it, p99",
        "snapshot with 10 waiting",
        "snapshot with 100,000 waiting",
        "snapshot, 100,000 to 10 waiting",
    ]
    assert all(figure["value"] > 0 for figure in result["figures"] if "not stored" not in figure["name"])


def test_every_message_was_stored(result: dict[str, Any]) -> None:
    assert value_of(result, "messages drained and not stored") == 0
    assert value_of(result, "messages published and not stored") == 0


def test_the_drain_is_not_out_of_all_proportion_to_a_loop_by_hand(result: dict[str, Any]) -> None:
    # Of processor time: the two loops run one after the other, and what else the machine does meanwhile
    # slows one of them more than the other.
    assert value_of(result, "drain to by hand: processor") > 0.4


def test_a_figure_says_whether_its_target_is_met() -> None:
    assert Figure("rate", 20_000, least=20_000).met is True
    assert Figure("rate", 19_999, least=20_000).met is False
    assert Figure("latency", 51, most=50).met is False
    assert Figure("growth", 0.8, least=0.9, most=1.1).met is False
    assert Figure("memory", 90).met is None


def test_the_table_shows_each_figure_with_its_target_and_rounds() -> None:
    figures = [
        Figure("rate", 25_000, "messages/s", least=20_000, rounds=(24_000, 26_000)),
        Figure("latency", 51.5, "ms", most=50),
        Figure("lost", 0, least=0, most=0),
    ]
    console = Console(width=120)
    with console.capture() as capture:
        console.print(table_of(figures, "this machine"))
    lines = [[cell.strip() for cell in line.split("│")[1:-1]] for line in capture.get().splitlines()]
    assert ["rate", "25,000 messages/s", "at least 20,000", "met", "24,000 26,000"] in lines
    assert ["latency", "51.5 ms", "at most 50", "missed", ""] in lines
    assert ["lost", "0", "0", "met", ""] in lines
    assert "this machine" in capture.get()
