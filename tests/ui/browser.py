"""Chromium without a window, and where things are in Dagster's UI."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Locator, Page, expect, sync_playwright

CHROMIUM = Path("/usr/bin/chromium")
SIZE = {"width": 1280, "height": 800}
_GRAPH = "/asset-groups?expanded=global%40global%3Aqueue%2Cglobal%40global%3Atutoring"


@contextmanager
def browser_page(url: str, timeout_seconds: float = 60) -> Iterator[Page]:
    """A page of the UI at this address, in which each step has so long."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(base_url=url, viewport=SIZE)  # type: ignore[arg-type]
        page.set_default_timeout(timeout_seconds * 1000)
        yield page
        browser.close()


def open_graph(page: Page) -> None:
    """The graph of all assets, with both groups unfolded."""
    page.goto(_GRAPH)
    page.get_by_text("tutor_performance", exact=True).first.wait_for()


def open_plots(page: Page, asset: str) -> Locator:
    """The plots of an asset's figures; returns what they are drawn on."""
    page.goto(f"/assets/{asset}?view=overview")
    page.get_by_role("button", name="Plots").click()
    page.locator("canvas").first.wait_for()
    return page.locator("canvas")


def assert_every_asset_is_shown(page: Page) -> None:
    """In the graph."""
    open_graph(page)
    for name in ("tutors", "sessions", "feedback", "dead_letters", "tutor_performance"):
        expect(page.locator("svg").get_by_text(name, exact=True).first).to_be_visible()


def open_check(page: Page, asset: str, check: str) -> None:
    """The latest result of a check."""
    page.goto(f"/assets/{asset}?view=checks&checkDetail={check}")
    page.get_by_text("Evaluation result").wait_for()


def open_report(page: Page) -> Locator:
    """The report on the dead letters; returns its blocks of code."""
    page.goto("/assets/dead_letters?view=overview")
    page.get_by_text("[Show Markdown]").first.click()
    page.locator("pre").first.wait_for()
    return page.locator("pre")


def launch_from_launchpad(page: Page, job: str, config: str) -> None:
    """Paste a config into a job's launchpad, and launch it; ends on the page of its run."""
    page.goto(f"/locations/tutormax/jobs/{job}/playground")
    page.locator(".CodeMirror").click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(config)
    page.get_by_role("button", name="Launch Run").click()
    page.wait_for_url("**/runs/*")
