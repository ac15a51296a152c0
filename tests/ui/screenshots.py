"""Pictures of the real UI for the docs: ``python -m tests.ui.screenshots`` takes them anew."""

from __future__ import annotations

import tempfile
from pathlib import Path

from playwright.sync_api import Locator, Page

from queue_core import QueueChannels
from tests.conftest import patiently
from tests.instance import Instance, running_instance
from tests.ui.browser import browser_page, open_check, open_graph, open_plots, open_report
from tests.ui.scene import ROWS, VARIABLES, launch, observations, play, publish
from tutormax_pipeline.sample import sample_lines

IMAGES = Path(__file__).parents[2] / "docs" / "images"
#: Plots fade in, and the graph finds its place: there is nothing to wait for but time.
_SETTLED_MS = 2_000


def take(instance: Instance, page: Page) -> None:
    open_graph(page)
    _show_all(page)
    _take(page, "asset-graph")
    open_plots(page, "feedback")
    _to_top(page.get_by_role("button", name="Plots"))
    _take(page, "asset-plots")
    open_check(page, "feedback", "dead_letters_under_limit")
    _take(page, "failing-check")
    open_report(page)
    _to_top(page.get_by_text("Dead letters: ").first)
    _take(page, "dead-letter-report")
    open_plots(page, "queue/feedback")
    _to_top(page.get_by_role("button", name="Plots"))
    _take(page, "queue-plots")
    failed = launch(instance, "discard_dead_letters", {"ops": {"discard": {"config": {"dry_run": False}}}})
    patiently(lambda: failed in instance.runs("FAILURE"), what="the failed run")
    page.goto("/runs")
    page.get_by_text("Failure").first.wait_for()
    _take(page, "runs")


def _show_all(page: Page) -> None:
    """Until the whole graph is on the page: its zoom has no words to find it by, only a place."""
    size = page.viewport_size
    assert size is not None
    for _ in range(4):
        page.mouse.click(size["width"] - 28, size["height"] - 148)
        page.wait_for_timeout(_SETTLED_MS / 4)
    page.mouse.move(size["width"] * 0.6, size["height"] * 0.5)
    page.mouse.down()
    page.mouse.move(size["width"] * 0.55, size["height"] * 0.62, steps=5)
    page.mouse.up()


def _to_top(one: Locator) -> None:
    one.evaluate("one => one.scrollIntoView({block: 'start'})")


def _take(page: Page, name: str) -> None:
    page.wait_for_timeout(_SETTLED_MS)
    page.screenshot(path=IMAGES / f"{name}.png")


def main() -> None:
    IMAGES.mkdir(exist_ok=True)
    with (
        tempfile.TemporaryDirectory() as folder,
        running_instance(Path(folder), "--no-sample", **VARIABLES) as instance,
    ):
        publish(instance, "tutors", sample_lines(QueueChannels.TUTORS))
        play(instance)
        # Figures to compare: a queue is observed when it changed, at most once a minute.
        for seen in (1, 2):
            patiently(lambda seen=seen: observations(instance, "feedback") >= seen, what="an observation")
            publish(
                instance, "feedback", sample_lines(QueueChannels.FEEDBACK)[ROWS * seen : ROWS * (seen + 3)]
            )
        patiently(lambda: observations(instance, "feedback") >= 3, what="three observations")
        patiently(lambda: len(instance.runs("SUCCESS", "drain_feedback")) >= 2, what="the second drain")
        with browser_page(instance.url) as page:
            take(instance, page)


if __name__ == "__main__":
    main()
