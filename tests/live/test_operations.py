"""What operators do to runs, and what befalls them, on a live instance: nothing is lost, all goes on."""

from __future__ import annotations

import re

import dagster as dg
import psutil
import pytest

from tests.conftest import patiently
from tests.live.conftest import SOON_SECONDS, LiveInstance

MANY = 30_000
#: So small that a drain of MANY is still at it when something happens to it.
SMALL_BATCH = 10
#: The job behind the Materialize button.
BUTTON_JOB = "__ASSET_JOB"
#: What tells the daemon, the two processes of the code server, and a run.
EVERYTHING = ("dagster._daemon", "dagster code-server", "dagster api grpc", "multiprocessing.spawn")

pytestmark = [pytest.mark.long, pytest.mark.timeout(240)]


def drain_in_the_middle(live: LiveInstance, count: int = MANY) -> tuple[str, int]:
    """A run that has stored some messages of many; with how many were stored before it."""
    # It lingers before anything waits, so that the sensor starts none first.
    run = live.launch("drain_sessions", batch_size=SMALL_BATCH, linger_seconds=60)
    live.wait_for(run, "STARTED")
    before = live.stored()
    live.publish(count)
    patiently(lambda: live.stored() > before, SOON_SECONDS, "the first batch")
    return run, before


def test_a_drain_terminated_in_the_middle_is_canceled_and_the_next_takes_up_the_rest_at_once(
    live: LiveInstance,
) -> None:
    run, _ = drain_in_the_middle(live)
    live.terminate(run)
    ended = live.wait_for(run, "CANCELED", "FAILURE", "SUCCESS")
    assert ended.status == "CANCELED"
    assert live.stored_by(run) < MANY
    redelivered = live.redelivered()
    live.assert_all_stored_once()
    # What it had read ahead was given back as if it had not been delivered.
    assert live.redelivered() == redelivered


def test_a_second_drain_of_a_lane_waits_for_the_first_and_the_button_runs_beside_it_harmlessly(
    live: LiveInstance,
) -> None:
    first = live.launch("drain_sessions", linger_seconds=60, batch_size=SMALL_BATCH)
    live.wait_for(first, "STARTED")
    second = live.launch("drain_sessions")
    button = live.launch(BUTTON_JOB, ["sessions"], linger_seconds=60, batch_size=SMALL_BATCH)
    # It carries no lane, so nothing holds it back; and it is taken from the queue after the second was.
    assert "lane" not in live.wait_for(button, "STARTED").tags
    assert live.look(second).status == "QUEUED"

    live.publish(5_000)
    patiently(lambda: live.stored() == live.published, SOON_SECONDS, "what the two share")
    assert live.stored_by(first) + live.stored_by(button) == 5_000
    assert live.stored_by(button) > 0
    assert live.stored_by(first) > 0
    assert live.look(second).status == "QUEUED"

    for run in (first, button):
        live.terminate(run)
        live.wait_for(run, "CANCELED")
    done, waited = live.look(first), live.wait_for(second, "SUCCESS")
    assert done.end is not None
    assert waited.start is not None
    assert waited.start >= done.end
    live.assert_all_stored_once()


def test_a_run_that_is_marked_failed_while_it_works_does_no_harm(live: LiveInstance) -> None:
    zombie, _ = drain_in_the_middle(live)
    with dg.DagsterInstance.from_config(str(live.home / "dagster")) as dagster:
        run = dagster.get_run_by_id(zombie)
        assert run is not None
        dagster.report_run_failed(run, "Marked as failed by the test.")
        text = "\n".join(event.message for event in dagster.all_logs(zombie))
    found = re.search(r"Executing steps in process \(pid: (\d+)\)", text)
    assert found is not None
    process = psutil.Process(int(found[1]))
    marked_at = live.stored_by(zombie)

    successor = live.launch("drain_sessions", linger_seconds=60, batch_size=SMALL_BATCH)
    live.wait_for(successor, "STARTED")
    assert process.is_running()
    live.publish(5_000)
    patiently(lambda: live.stored() == live.published, SOON_SECONDS, "what the two share")
    assert live.stored_by(zombie) > marked_at
    assert live.stored_by(successor) > 0

    process.terminate()
    process.wait(30)
    live.terminate(successor)
    live.wait_for(successor, "CANCELED")
    live.assert_all_stored_once()


def test_after_a_kill_of_daemon_code_server_and_drain_at_once_a_new_start_resumes_by_itself(
    live: LiveInstance,
) -> None:
    run, before = drain_in_the_middle(live)
    redelivered = live.redelivered()
    live.kill(*EVERYTHING)
    assert live.process.wait(timeout=90) == 1
    assert "Dagster ended by itself" in live.output.read_text()
    assert before < live.stored() < live.published

    live.start()
    assert live.look(run).status == "FAILURE"
    live.assert_all_stored_once()
    # The batch that the dead run had in hand, and the one it had read ahead.
    assert 0 < live.redelivered() - redelivered <= 2 * SMALL_BATCH
    live.publish(100)
    live.assert_all_stored_once()
