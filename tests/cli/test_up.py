"""``tutormax up``, once, for real: sample data to rows, a lingering run, a second up, a browser, Ctrl-C.

In the order of the file. The browser does more in tests/ui, and operators in tests/live.
"""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen

import dagster as dg
import psutil
import pytest

from queue_core import MessagePublisher, RedisClient
from tests.conftest import patiently, wait_until
from tests.instance import Instance, running_instance
from tests.ui.browser import CHROMIUM, assert_every_asset_is_shown, browser_page

SAMPLE = Path(__file__).parents[2] / "tutormax_pipeline" / "sample"
TERMINATE = "mutation ($ids: [String!]!) { terminateRuns(runIds: $ids) { __typename } }"
#: What is published while a run lingers is stored "well under a second" later.
LINGERING_SECONDS = 0.8

pytestmark = pytest.mark.timeout(240)


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    with running_instance(tmp_path_factory.mktemp("up")) as one:
        yield one


def publish_and_wait(client: RedisClient, instance: Instance, rows: int) -> float:
    """Publish a tutor while a run lingers; gives the seconds until there are so many rows."""
    began = time.monotonic()
    MessagePublisher(client).publish_tutor_data({"tutor_id": f"T-new-{rows}", "name": "x"})
    wait_until(lambda: instance.counts()[0] == rows, 30, "what is published while a run lingers")
    return time.monotonic() - began


def test_from_nothing_to_rows(instance: Instance) -> None:
    with urlopen(f"{instance.url}/server_info") as answer:
        assert answer.status == 200
    patiently(lambda: instance.counts() == [94, 463, 463, 1_020], what="the sample as rows")
    assert instance.outcomes() == {"stored": 1_020}

    for channel in ("tutors", "sessions", "feedback"):
        instance.run("publish", channel, str(SAMPLE / f"{channel}.jsonl"))
    patiently(lambda: instance.counts()[3] == 2_040, what="the ledger of the sample's second time")
    assert instance.counts() == [94, 463, 463, 2_040]
    assert instance.outcomes() == {"stored": 2_040}

    (lingering,) = patiently(lambda: instance.runs("STARTED", "drain_tutors"), what="the lingering run")
    with instance.client() as client:
        # Of three, the quickest: the machine may have other things to do.
        took = [publish_and_wait(client, instance, rows) for rows in (95, 96, 97)]
    assert min(took) < LINGERING_SECONDS
    assert instance.runs("STARTED", "drain_tutors") == [lingering]

    second = instance.run("up", "--port", str(instance.port))
    assert "It is up already" in second
    assert instance.url in second

    instance.ask(TERMINATE, ids=[lingering])
    patiently(lambda: lingering in instance.runs("CANCELED"), what="the cancelled run")


@pytest.mark.needs_chromium
@pytest.mark.skipif(not CHROMIUM.exists(), reason="chromium is not installed (Debian package chromium)")
def test_a_browser_shows_every_asset(instance: Instance) -> None:
    with browser_page(instance.url) as page:
        assert_every_asset_is_shown(page)


def test_ctrl_c_ends_everything_and_leaves_it_in_order(instance: Instance) -> None:
    family = instance.processes()
    instance.process.send_signal(signal.SIGINT)
    assert instance.process.wait(timeout=90) == 0
    _, alive = psutil.wait_procs(family, timeout=30)
    assert alive == []
    assert instance.processes() == []
    assert_left_in_order(instance)


def assert_left_in_order(instance: Instance) -> None:
    text = instance.output.read_text()
    assert re.search(r"1,020 sample messages were published", text)
    assert text.splitlines()[-1].startswith("Stopped. The data is kept")
    assert "Traceback" not in text
    with dg.DagsterInstance.from_config(str(instance.home / "dagster")) as dagster:
        statuses = {run.status for run in dagster.get_runs()}
    assert statuses <= {dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.CANCELED}
    readable = [one for one in instance.home.rglob("*") if one.is_file() and one.stat().st_mode & 0o077]
    assert readable == []
