"""Histograms: what falls into which bar, and that the picture is small and well-formed."""

from __future__ import annotations

from base64 import b64decode
from xml.etree import ElementTree

import pytest

from tutormax_pipeline.defs.histogram import Histogram, as_markdown, by_doubling, by_steps


def picture(*histograms: Histogram) -> bytes:
    return b64decode(as_markdown(histograms).partition("base64,")[2].removesuffix(")"))


def test_steps_of_equal_width_count_what_is_outside_for_the_nearest() -> None:
    one = by_steps("t", [0.5, 1, 1.49, 1.5, 2.99, 3, 7], low=1, high=3, step=0.5)
    assert list(one.labels) == ["1", "1.5", "2", "2.5"]
    assert list(one.counts) == [3, 1, 0, 3]


def test_doubling_ranges_go_as_far_as_there_are_figures() -> None:
    one = by_doubling("t", [0, 0.9, 1, 2, 3.5, 4, 7.99, 8])
    assert list(one.labels) == ["0", "1", "2", "4", "8"]
    assert list(one.counts) == [2, 1, 2, 2, 1]
    assert by_doubling("t", [0.2]) == Histogram("t", ["0"], [1])


def test_absurd_figures_are_in_the_last_range() -> None:
    one = by_doubling("t", [1, 2.0**21, 1e300, float("inf")])
    assert (len(one.counts), one.counts[1], one.counts[-1]) == (22, 1, 3)


@pytest.mark.parametrize("histograms", [[], [by_doubling("t", [])], [Histogram("t", ["0"], [0])]], ids=len)
def test_nothing_is_said_in_words(histograms: list[Histogram]) -> None:
    assert as_markdown(histograms) == "Nothing to show yet."


def test_only_histograms_with_something_in_them_are_drawn() -> None:
    drawn = ElementTree.fromstring(picture(by_doubling("empty", []), by_doubling("a < b", [1, 5])))
    assert drawn.get("width") == "300"
    words = [one.text for one in drawn.iter("{http://www.w3.org/2000/svg}text")]
    assert "a < b" in words
    assert "empty" not in words


def test_a_picture_of_many_tutors_is_a_few_kilobytes() -> None:
    ratings = by_steps("ratings", (1 + n % 400 / 100 for n in range(100_000)), low=1, high=5, step=0.25)
    hours = by_doubling("hours", (float(n) for n in range(100_000)))
    assert len(as_markdown([ratings, hours, hours])) < 8_000
