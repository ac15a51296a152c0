"""The asset check of the books: with every drain, by hand, and what it says when it fails."""

from __future__ import annotations

import dagster as dg
import pytest

from queue_core import Channel, MessagePublisher, QueueChannels, RedisClient
from tests.dagster_location.test_assets import MARK, Resources, failure, publish_all
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.assets import drain_assets
from tutormax_pipeline.defs.checks import book_checks
from tutormax_pipeline.defs.resources import QueueResource

TUTORS = QueueChannels.TUTORS


def run_drain(instance: dg.DagsterInstance, resources: Resources) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("drain_tutors")
    return job.execute_in_process(instance=instance, resources=resources, raise_on_error=False)


def check_by_hand(
    instance: dg.DagsterInstance, resources: Resources, *, raise_on_error: bool = True
) -> dg.ExecuteInProcessResult:
    return dg.materialize(
        [*drain_assets, *book_checks],
        selection=dg.AssetSelection.checks(dg.AssetCheckKey(dg.AssetKey("tutors"), "books_balance")),
        instance=instance,
        resources=resources,
        raise_on_error=raise_on_error,
    )


def evaluation(result: dg.ExecuteInProcessResult) -> dg.AssetCheckEvaluation:
    (found,) = [one for one in result.get_asset_check_evaluations() if one.check_name == "books_balance"]
    return found


@pytest.mark.parametrize("channel", QueueChannels.all(), ids=str)
def test_each_table_has_the_check_and_says_what_to_do_when_it_fails(channel: Channel) -> None:
    key = dg.AssetCheckKey(dg.AssetKey(channel.name), "books_balance")
    spec = defs.resolve_asset_graph().get_check_spec(key)
    assert f"tutormax doctor --write-off {channel.name}" in (spec.description or "")
    assert not spec.blocking


def test_every_drain_runs_it_and_shows_the_figures(
    publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish_all(publisher)
    result = run_drain(instance, resources)
    found = evaluation(result)
    assert (result.success, found.passed, found.asset_key) == (True, True, dg.AssetKey("tutors"))
    figures = {name: value.value for name, value in found.metadata.items()}
    assert (figures["added"], figures["stored"], figures["waiting"], figures["difference"]) == (3, 3, 0, 0)


def test_a_loss_fails_the_check_and_not_the_run(
    client: RedisClient, publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish_all(publisher)
    stream = client.keys.stream(TUTORS)
    client.redis.xdel(stream, client.redis.xrange(stream)[1][0])
    result = run_drain(instance, resources)
    found = evaluation(result)
    assert (result.success, found.passed, found.severity) == (True, False, dg.AssetCheckSeverity.ERROR)
    assert (found.description or "").startswith("1 entry missing")
    assert "--write-off tutors" in (found.description or "")
    assert found.metadata["difference"].value == 1
    assert MARK not in "".join(entry.to_json() for entry in instance.all_logs(result.run_id))


def test_dead_letters_that_are_gone_fail_the_check(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    for _ in range(2):
        client.redis.xadd(client.keys.stream(TUTORS), {"message": MARK})
    assert evaluation(run_drain(instance, resources)).passed
    client.redis.xtrim(client.keys.dead_letter, maxlen=0, approximate=False)
    found = evaluation(check_by_hand(instance, resources))
    assert (found.passed, found.severity) == (False, dg.AssetCheckSeverity.ERROR)
    assert (found.description or "").startswith("2 dead letters gone since ")
    assert found.metadata["dead_letters_gone"].value == 2


def test_it_runs_by_hand_without_draining(
    client: RedisClient, publisher: MessagePublisher, resources: Resources, instance: dg.DagsterInstance
) -> None:
    publish_all(publisher)
    result = check_by_hand(instance, resources)
    found = evaluation(result)
    assert (found.passed, found.metadata["waiting"].value) == (True, 3)


def test_redis_away_fails_the_check_with_one_clear_line(
    resources: Resources, instance: dg.DagsterInstance
) -> None:
    away = {**resources, "queue": QueueResource(url="redis://127.0.0.1:1/0")}
    result = check_by_hand(instance, away, raise_on_error=False)
    assert "Redis at 127.0.0.1:1/0 is not available" in failure(result)
