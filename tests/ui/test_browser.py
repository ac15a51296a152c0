"""What an operator sees and does in Dagster's UI, in a real browser against one running instance.

In the order of the file: the last test puts right what the ones before it look at.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from queue_core import MessagePublisher
from tests.conftest import patiently
from tests.instance import Instance, running_instance
from tests.ui.browser import (
    CHROMIUM,
    assert_every_asset_is_shown,
    browser_page,
    launch_from_launchpad,
    open_check,
    open_plots,
    open_report,
)
from tests.ui.scene import BAD, ROWS, VARIABLES, play, stop_sensor

playwright = pytest.importorskip("playwright.sync_api")

pytestmark = [
    pytest.mark.long,
    pytest.mark.needs_chromium,
    pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed (Debian package chromium)"),
    pytest.mark.timeout(300),
]


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(tmp_path_factory.mktemp("ui"), "--no-sample", **VARIABLES) as one:
        play(one)
        yield one


@pytest.fixture
def page(instance: Instance) -> Iterator[playwright.Page]:
    with browser_page(instance.url) as page:
        yield page


def test_the_graph_shows_every_asset(page: playwright.Page) -> None:
    assert_every_asset_is_shown(page)


def test_a_drain_leaves_figures_that_are_plotted(page: playwright.Page) -> None:
    plots = open_plots(page, "feedback")
    playwright.expect(page.get_by_text("publish_to_stored_p95_ms").first).to_be_visible()
    assert plots.count() >= 10


def test_materialize_drains_a_queue_whose_sensor_is_off(instance: Instance, page: playwright.Page) -> None:
    stop_sensor(instance, "tutors_queue_sensor")
    with instance.client() as client:
        MessagePublisher(client).publish_tutor_data({"tutor_id": "T-by-hand", "name": "x"})
    page.goto("/assets/tutors")
    page.get_by_role("button", name="Materialize").first.click()
    patiently(lambda: instance.counts()[0] == 1, what="the row of the message that waited")


def test_a_failing_check_says_what_to_do(page: playwright.Page) -> None:
    open_check(page, "feedback", "dead_letters_under_limit")
    playwright.expect(page.get_by_text("Have the publisher mended, then redrive them")).to_be_visible()
    playwright.expect(page.get_by_text(f"{BAD} dead letters of feedback, more than")).to_be_visible()


def test_dead_letters_mended_in_the_launchpad_with_the_reports_config_end_as_rows(
    instance: Instance, page: playwright.Page
) -> None:
    (config,) = [text for text in open_report(page).all_inner_texts() if "redrive:" in text]
    playwright.expect(page.get_by_text("Mend it on the way with").first).to_be_visible()
    mended = 'dry_run: false\n      merge_patch: {"rating": 5}\n      who: "on call"\n      why: "typed 55"'
    launch_from_launchpad(page, "redrive_dead_letters", config.replace("dry_run: true", mended))
    patiently(lambda: instance.counts()[2] == ROWS + BAD, what="the rows of the mended messages")
    assert instance.run("dlq", "list", "--json") == ""
