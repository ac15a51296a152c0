"""The asset `tutor_performance`: what it shows, and when it is refreshed by itself."""

from __future__ import annotations

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import dagster as dg
import pytest

from queue_core import Channel, MessageConsumer, MessagePublisher, QueueChannels, RedisClient
from tests.dagster_location.test_assets import MARK, Resources, failure, publish_all
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import StoreResource
from tutormax_pipeline.defs.tutor_performance import tutor_performance
from tutormax_pipeline.drain import drain as drain_alone
from tutormax_pipeline.store import Store

TUTORS, SESSIONS, FEEDBACK = QueueChannels.TUTORS, QueueChannels.SESSIONS, QueueChannels.FEEDBACK
KEY = tutor_performance.key
NINE = datetime(2026, 11, 7, 9).astimezone()

Drain = Callable[..., None]


def refresh(instance: dg.DagsterInstance, resources: Resources) -> dg.ExecuteInProcessResult:
    return dg.materialize([tutor_performance], instance=instance, resources=resources, raise_on_error=False)


def metadata(result: dg.ExecuteInProcessResult) -> Mapping[str, Any]:
    (event,) = result.asset_materializations_for_node("tutor_performance")
    return {name: value.value for name, value in event.metadata.items()}


@pytest.fixture
def drain(instance: dg.DagsterInstance, resources: Resources) -> Drain:
    """Drain channels as their jobs do; all of them unless some are named."""

    def run(*channels: Channel) -> None:
        for name in [f"drain_{channel.name}" for channel in channels] or ["drain_all"]:
            job = defs.resolve_job_def(name)
            assert job.execute_in_process(instance=instance, resources=resources).success

    return run


class Daemon:
    """Evaluates the condition as the daemon does, at times of one's choice."""

    def __init__(self, instance: dg.DagsterInstance, resources: Resources) -> None:
        self._instance, self._resources = instance, resources
        self._cursor: Any = None
        self._now = NINE

    def look(self, minutes: float = 0.5) -> bool:
        """Whether a refresh is asked for, so many minutes later."""
        self._now += timedelta(minutes=minutes)
        found = dg.evaluate_automation_conditions(
            defs,
            self._instance,
            asset_selection=dg.AssetSelection.assets(KEY),
            evaluation_time=self._now,
            cursor=self._cursor,
        )
        self._cursor = found.cursor
        return found.get_num_requested(KEY) > 0

    def look_and_refresh(self, minutes: float = 0.5) -> bool:
        """The same, and the refresh that is asked for is made."""
        asked = self.look(minutes)
        if asked:
            assert refresh(self._instance, self._resources).success
        return asked


@pytest.fixture
def daemon(instance: dg.DagsterInstance, resources: Resources) -> Daemon:
    return Daemon(instance, resources)


def test_a_refresh_shows_the_figures_and_a_chart(
    publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance, drain: Drain
) -> None:
    publish_all(publisher)
    publisher.publish_session_data(
        {"session_id": "S9", "tutor_id": "T", "status": "completed", "duration_minutes": 90}
    )
    drain()
    result = refresh(instance, resources)
    values = metadata(result)
    assert values["dagster/row_count"] == 4
    assert (values["rated_tutors"], values["rating_count"], values["rating_mean"]) == (1, 3, 4)
    assert (values["sessions_held"], values["hours"], values["no_show_rate"]) == (1, 1.5, 0)
    picture = re.fullmatch(r"!\[(.+)\]\(data:image/svg\+xml;base64,(.+)\)", values["distribution"])
    assert picture is not None
    svg = b64decode(picture[2])
    assert len(svg) < 6_000
    words = [one.text for one in ElementTree.fromstring(svg).iter("{http://www.w3.org/2000/svg}text")]
    assert {"Tutors by rating (shrunken mean)", "Tutors by hours held"} <= set(words)
    assert MARK not in "".join(entry.to_json() for entry in instance.all_logs(result.run_id))


def test_a_refresh_of_nothing_shows_that_there_is_nothing(
    resources: Resources, instance: dg.DagsterInstance
) -> None:
    values = metadata(refresh(instance, resources))
    assert (values["dagster/row_count"], values["distribution"]) == (0, "Nothing to show yet.")
    assert "rating_mean" not in values


def test_a_store_that_cannot_be_had_fails_the_refresh_with_one_clear_line(
    resources: Resources, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    nowhere = {**resources, "store": StoreResource(url=f"sqlite:///{tmp_path}/file/store.db")}
    assert "TUTORMAX_STORE_URL" in failure(refresh(instance, nowhere))


def test_its_sensor_runs_by_default_and_looks_at_nothing_else() -> None:
    (sensor,) = [
        one
        for one in defs.get_repository_def().sensor_defs
        if isinstance(one, dg.AutomationConditionSensorDefinition)
    ]
    assert sensor.default_status is dg.DefaultSensorStatus.RUNNING
    assert sensor.asset_selection.resolve(defs.resolve_asset_graph()) == {KEY}
    assert int(sensor.run_tags["dagster/max_runtime"]) > 0


def test_nothing_is_refreshed_before_anything_was_drained(daemon: Daemon) -> None:
    assert [daemon.look(11) for _ in range(3)] == [False] * 3


def test_the_first_refresh_comes_as_soon_as_every_channel_was_drained(
    publisher: MessagePublisher, daemon: Daemon, drain: Drain
) -> None:
    publish_all(publisher)
    drain(TUTORS, SESSIONS)
    assert not daemon.look()
    drain(FEEDBACK)
    assert daemon.look_and_refresh()
    assert not daemon.look()


def test_a_channel_that_was_never_drained_holds_nothing_up_for_long(
    publisher: MessagePublisher, daemon: Daemon, drain: Drain
) -> None:
    publish_all(publisher)
    drain(TUTORS)
    assert not daemon.look()
    assert daemon.look_and_refresh(10)


def test_what_was_drained_before_anybody_looked_is_refreshed_once(
    publisher: MessagePublisher, daemon: Daemon, drain: Drain
) -> None:
    publish_all(publisher)
    drain()
    assert daemon.look_and_refresh()
    assert [daemon.look(11) for _ in range(3)] == [False] * 3


@pytest.fixture
def settled(publisher: MessagePublisher, daemon: Daemon, drain: Drain) -> None:
    """All was drained and refreshed, and ten quiet minutes passed."""
    publish_all(publisher)
    drain()
    assert daemon.look_and_refresh()
    assert not daemon.look(10)


@pytest.mark.usefixtures("settled")
def test_a_drain_that_stored_something_is_followed_by_a_refresh_at_once(
    publisher: MessagePublisher, daemon: Daemon, drain: Drain
) -> None:
    publisher.publish_feedback({"feedback_id": "F99", "tutor_id": "T", "rating": 5})
    drain(FEEDBACK)
    assert daemon.look_and_refresh()


@pytest.mark.usefixtures("settled")
def test_drains_that_stored_nothing_start_no_refresh(
    client: RedisClient, daemon: Daemon, drain: Drain
) -> None:
    stream = client.keys.stream(TUTORS)
    ((_, again),) = client.redis.xrange(stream, count=1)
    client.redis.xadd(stream, again)
    client.redis.xadd(stream, {"message": b"junk"})
    drain()
    assert [daemon.look(11) for _ in range(3)] == [False] * 3


@pytest.mark.usefixtures("settled")
def test_many_drains_in_ten_minutes_are_two_refreshes(
    publisher: MessagePublisher, daemon: Daemon, drain: Drain
) -> None:
    asked = []
    for n in range(4):
        publisher.publish_tutor_data({"tutor_id": f"T{n}", "name": MARK})
        drain(TUTORS)
        asked.append(daemon.look_and_refresh())
    assert asked == [True, False, False, False]
    assert daemon.look_and_refresh(10)
    assert [daemon.look(11) for _ in range(3)] == [False] * 3


@pytest.mark.usefixtures("settled")
def test_what_is_stored_while_a_refresh_runs_is_refreshed_after_it(
    publisher: MessagePublisher,
    daemon: Daemon,
    drain: Drain,
    instance: dg.DagsterInstance,
    resources: Resources,
) -> None:
    publisher.publish_tutor_data({"tutor_id": "T8", "name": MARK})
    drain(TUTORS)
    assert daemon.look()
    running = instance.create_run_for_job(
        defs.resolve_implicit_global_asset_job_def(),
        status=dg.DagsterRunStatus.STARTED,
        asset_selection=frozenset({KEY}),
    )
    publisher.publish_tutor_data({"tutor_id": "T9", "name": MARK})
    drain(TUTORS)
    assert [daemon.look(11) for _ in range(2)] == [False] * 2
    instance.report_run_canceled(running)
    assert refresh(instance, resources).success
    assert daemon.look_and_refresh()
    assert not daemon.look(11)


@pytest.mark.usefixtures("settled")
def test_what_is_stored_just_after_a_refresh_was_asked_for_is_not_forgotten(
    publisher: MessagePublisher, daemon: Daemon, drain: Drain
) -> None:
    publisher.publish_tutor_data({"tutor_id": "T8", "name": MARK})
    drain(TUTORS)
    assert daemon.look_and_refresh()
    publisher.publish_tutor_data({"tutor_id": "T9", "name": MARK})
    drain(TUTORS)
    assert daemon.look_and_refresh(11) or daemon.look_and_refresh(11)
    assert [daemon.look(11) for _ in range(3)] == [False] * 3


@pytest.mark.usefixtures("settled")
def test_what_was_stored_by_a_drain_that_died_is_refreshed_after_the_next(
    client: RedisClient, publisher: MessagePublisher, daemon: Daemon, drain: Drain, tmp_path: Path
) -> None:
    publisher.publish_tutor_data({"tutor_id": "T8", "name": MARK})
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        drain_alone(MessageConsumer(client), store, TUTORS, run_id="died")
    drain(TUTORS)
    assert daemon.look_and_refresh()


@pytest.mark.usefixtures("settled")
def test_a_refresh_that_failed_is_made_again_in_the_next_ten_minutes(
    publisher: MessagePublisher,
    daemon: Daemon,
    drain: Drain,
    instance: dg.DagsterInstance,
    resources: Resources,
    tmp_path: Path,
) -> None:
    publisher.publish_tutor_data({"tutor_id": "T8", "name": MARK})
    drain(TUTORS)
    assert daemon.look()
    (tmp_path / "file").touch()
    nowhere = {**resources, "store": StoreResource(url=f"sqlite:///{tmp_path}/file/store.db")}
    assert not refresh(instance, nowhere).success
    assert not daemon.look()
    assert daemon.look_and_refresh(10)
    assert [daemon.look(11) for _ in range(3)] == [False] * 3
