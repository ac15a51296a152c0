"""The arithmetic of docs/scaling.md: what follows from its figures is what it says."""

from __future__ import annotations

import re

import pytest

from tests.deploy.compose_file import ROOT

TEXT = (ROOT / "docs" / "scaling.md").read_text()
DAY_SECONDS = 86_400


def microseconds(row: str) -> list[int]:
    (line,) = [line for line in TEXT.splitlines() if line.startswith(f"| processor time of a message: {row}")]
    return [int(number) for number in re.findall(r"(\d+) us", line)]


def said(pattern: str) -> list[float]:
    found = re.search(pattern, " ".join(TEXT.split()))
    assert found is not None, pattern
    return [float(number.replace(",", "")) for number in found.groups()]


def test_the_processor_time_of_a_message_is_the_sum_of_its_parts() -> None:
    total = sum(microseconds("publishing") + microseconds("draining"))
    each, mean, peak, thousand = said(
        r"(\d+) us a message over all parts is ([\d.]+) cores at the mean and ([\d.]+) at the peak, "
        r"over all the pipelines: ([\d.]+) for each thousand"
    )
    assert each == total
    a_second = 1e9 / DAY_SECONDS
    assert mean == pytest.approx(a_second * total / 1e6, abs=0.05)
    assert peak == pytest.approx(5 * a_second * total / 1e6, abs=0.1)
    assert thousand == pytest.approx(total / 1e3, abs=0.001)


def test_what_a_core_of_each_server_does_follows_from_its_share() -> None:
    cost, rate = said(
        r"\*\*One PostgreSQL\*\*: (\d+) us of its processor time a message is ([\d,]+) a second"
    )
    assert microseconds("draining")[2] == cost
    assert rate == 1e6 / cost
    cost, rate = said(
        r"commands run on one core. (\d+) us a message, published in batches and drained, is ([\d,]+)"
    )
    assert microseconds("publishing")[1] + microseconds("draining")[1] == cost
    assert rate == pytest.approx(1e6 / cost, rel=0.05)
