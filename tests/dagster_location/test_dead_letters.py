"""Taking stock of the dead letters: the table, the numbers and the report, from which one launches."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
import yaml
from sqlalchemy import select

from queue_core import MessagePublisher, QueueChannels, RedisClient
from queue_core.dead_letter import DeadLetters
from queue_core.outcomes import Reason
from tests.dagster_location.test_assets import MARK, Resources, assert_no_personal_data, drain_tutors, failure
from tests.queue.letters import bury, waiting
from tutormax_pipeline.definitions import defs
from tutormax_pipeline.defs.resources import QueueResource, StoreResource
from tutormax_pipeline.store import Store
from tutormax_pipeline.store.tables import dead_letters as table
from tutormax_pipeline.store.tables import record_table

TUTORS, FEEDBACK = QueueChannels.TUTORS, QueueChannels.FEEDBACK


def review(instance: dg.DagsterInstance, resources: Resources) -> dg.ExecuteInProcessResult:
    job = defs.resolve_job_def("review_dead_letters")
    return job.execute_in_process(instance=instance, resources=resources, raise_on_error=False)


def metadata(instance: dg.DagsterInstance, resources: Resources) -> Mapping[str, Any]:
    result = review(instance, resources)
    assert result.success
    (event,) = result.asset_materializations_for_node("dead_letters")
    return {name: value.value for name, value in event.metadata.items() if name != "groups"} | {
        "groups": [record.data for record in event.metadata["groups"].records]
    }


def rows(tmp_path: Path) -> list[dict[str, Any]]:
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        return [dict(row._mapping) for row in store.read(select(table).order_by(table.c.letter_id))]


def launchpads(report: str) -> list[dict[str, Any]]:
    """Every YAML in a report, read as a launchpad reads it."""
    return [
        yaml.safe_load(text) for text in re.findall(r"^```yaml\n(.*?)^```$", report, re.MULTILINE | re.DOTALL)
    ]


def launch(
    instance: dg.DagsterInstance, resources: Resources, config: Mapping[str, Any]
) -> dg.ExecuteInProcessResult:
    """The job that has the op which the config is for."""
    (op,) = config["ops"]
    return defs.resolve_job_def(f"{op}_dead_letters").execute_in_process(
        instance=instance, resources=resources, run_config=config, raise_on_error=False
    )


def test_the_table_says_of_each_letter_why_it_is_one(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    before = datetime.now(UTC)
    first, second = bury(client, 2, reason=Reason.INVALID, errors=("ids.3: at most 5", "name: no"))
    bury(client, channel=FEEDBACK, reason=Reason.EXPIRED, errors=(), fields={b"message": b"junk"})
    review(instance, resources)
    one, other, third = rows(tmp_path)
    assert (one["letter_id"], other["letter_id"]) == (first, second)
    assert (one["channel"], one["reason"], one["field"]) == ("tutors", "invalid", "ids.*")
    assert (one["error"], one["deliveries"], one["redrives"]) == ("at most 5", 1, 0)
    letter = DeadLetters(client).get(first)
    assert (one["entry_id"], one["message_id"]) == (letter.entry_id, letter.message_id)
    assert before <= one["failed_at"] <= one["taken_at"] == third["taken_at"]
    assert (third["channel"], third["field"], third["error"], third["message_id"]) == (
        "feedback",
        "",
        "",
        None,
    )


def test_the_next_stock_replaces_the_table_as_a_whole(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    first, _ = bury(client, 2)
    review(instance, resources)
    DeadLetters(client).redrive([first], dry_run=False)
    (third,) = bury(client, channel=FEEDBACK, errors=("feedback_id: no",))
    review(instance, resources)
    assert first not in {row["letter_id"] for row in rows(tmp_path)}
    assert third in {row["letter_id"] for row in rows(tmp_path)}
    assert len(rows(tmp_path)) == 2


def test_the_numbers_are_by_channel_and_with_the_age_of_the_oldest(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    empty = metadata(instance, resources)
    assert (empty["letters"], empty["dagster/row_count"], empty["groups"]) == (0, 0, [])
    assert "No dead letters" in empty["report"]
    assert "oldest_age_hours" not in empty
    bury(client, 3)
    old = {"channel": "feedback", "reason": "invalid", "failed_at": "2020-01-01T00:00:00+00:00"}
    client.redis.xadd(client.keys.dead_letter, old)
    client.redis.xadd(client.keys.dead_letter, {"channel": "elsewhere"})
    found = metadata(instance, resources)
    assert [found[name] for name in ("letters", "tutors", "sessions", "feedback")] == [5, 3, 0, 1]
    assert found["of_no_channel_of_ours"] == 1
    assert found["oldest_age_hours"] > 24 * 365 * 5


def test_the_groups_are_told_as_a_table_and_in_the_report_the_biggest_first(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    bury(client, 1, reason=Reason.EXPIRED, errors=("message: outlived",))
    ids = bury(client, 3, reason=Reason.INVALID, errors=("rating: at most 5",))
    found = metadata(instance, resources)
    first, second = found["groups"]
    assert (first["letters"], first["channel"], first["reason"]) == (3, "tutors", "invalid")
    assert (first["error"], first["example"], first["most_redrives"]) == ("rating: at most 5", ids[-1], 0)
    assert second["letters"] == 1
    report = found["report"]
    assert "**Dead letters: 4** in 2 groups" in report
    assert report.index("## 1. 3 x tutors, invalid") < report.index("## 2. 1 x tutors, expired")
    assert f"| example | `{ids[-1]}` |" in report
    assert '"name": "•••"' in report
    assert "| redriven before | never |" in report


def test_neither_report_nor_events_hold_anything_of_a_message(
    client: RedisClient,
    resources: Resources,
    instance: dg.DagsterInstance,
    capfd: pytest.CaptureFixture[str],
) -> None:
    bury(client, 2, name=MARK)
    for body in (MARK.encode(), b'{"data": {"%b": {"%b": ["%b"]}}, "%b": 1}' % ((MARK.encode(),) * 4)):
        bury(client, fields={b"message": body, MARK.encode(): MARK.encode()})
    strange = {"channel": MARK, "reason": MARK, "errors": MARK, "message": MARK, MARK: MARK}
    client.redis.xadd(client.keys.dead_letter, strange)
    found = metadata(instance, resources)
    assert MARK not in str(found)
    (run,) = instance.get_runs()
    assert_no_personal_data(instance, run.run_id, capfd)
    for config in launchpads(found["report"]):
        assert_no_personal_data(instance, launch(instance, resources, config).run_id, capfd)


def test_the_report_s_yaml_redrives_its_group_and_no_other(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    bury(client, 3, reason=Reason.REJECTED, errors=("database: no: `x` | 7",))
    bury(client, 2, reason=Reason.REJECTED, errors=("database: no: `x` | 7 more",))
    redrive, discard, *_ = launchpads(metadata(instance, resources)["report"])
    assert [*redrive["ops"], *discard["ops"]] == ["redrive", "discard"]
    told = launch(instance, resources, redrive)
    assert told.output_for_node("redrive")[0]["letters"] == 3
    assert DeadLetters(client).count() == 5
    redrive["ops"]["redrive"]["config"]["dry_run"] = False
    assert launch(instance, resources, redrive).success
    assert len(waiting(client)) == 3
    assert [one.count for one in DeadLetters(client).groups()] == [2]


def test_a_message_mended_by_the_report_s_yaml_ends_as_a_row(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    publisher = MessagePublisher(client)
    message_id = publisher.publish(TUTORS, {"tutor_id": "T1", "name": "x", "rating": 55})
    assert drain_tutors(instance, resources).success
    redrive, _ = launchpads(metadata(instance, resources)["report"])
    mending = {"merge_patch": {"rating": 5}, "who": "eve", "why": "a slip", "dry_run": False}
    redrive["ops"]["redrive"]["config"] |= mending
    assert launch(instance, resources, redrive).success
    assert drain_tutors(instance, resources).success
    with Store.open(f"sqlite:///{tmp_path}/store.db") as store:
        (row,) = store.read(select(record_table(TUTORS)))
    assert (row.tutor_id, row.rating, row.message_id) == ("T1", 5, message_id)
    assert metadata(instance, resources)["letters"] == 0


def test_the_report_s_yaml_discards_its_group_once_who_and_why_are_said(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    bury(client, 2, errors=())
    bury(client, 1, errors=("database: no",))
    _, discard, *_ = launchpads(metadata(instance, resources)["report"])
    assert launch(instance, resources, discard).output_for_node("discard")[0]["letters"] == 2
    discard["ops"]["discard"]["config"] |= {"dry_run": False, "who": "eve", "why": "a test"}
    assert launch(instance, resources, discard).success
    assert [one.errors for one in DeadLetters(client).iterate()] == [("database: no",)]


def test_of_letters_of_some_other_program_the_yaml_is_for_the_example_alone(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    ids = [client.redis.xadd(client.keys.dead_letter, {"channel": "x", "errors": "```"}) for _ in range(2)]
    (discard,) = launchpads(metadata(instance, resources)["report"])
    assert discard["ops"]["discard"]["config"]["ids"] == [ids[-1].decode()]


@pytest.mark.parametrize(
    "error", ["a: b\u2028c", "\x7f\x85", "é 😀", "#", "yes", "- x", "a: \\ \" ' \t\n```"]
)
def test_whatever_an_error_says_the_yaml_means_it(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, error: str
) -> None:
    bury(client, 2, errors=(error,))
    bury(client, 3, errors=(f"{error} ",))
    report = metadata(instance, resources)["report"]
    for config, letters in zip(launchpads(report), (3, 3, 2, 2), strict=True):
        (op,) = config["ops"]
        assert launch(instance, resources, config).output_for_node(op)[0]["letters"] == letters


def test_text_in_an_error_does_not_become_markdown(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    bury(client, errors=("a: <img src=x> [link](http://x) | **b**\n# c",))
    report = metadata(instance, resources)["report"]
    assert r"a\: \<img src=x\> \[link\]\(http\://x\) \| \*\*b\*\* \# c" in report
    redrive, _ = launchpads(report)
    assert launch(instance, resources, redrive).output_for_node("redrive")[0]["letters"] == 1


def test_only_the_biggest_groups_are_told_one_by_one(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance
) -> None:
    for n in range(33):
        letter = {"channel": "tutors", "reason": "invalid", "errors": f'["field_{chr(97 + n % 26)}{n}: no"]'}
        client.redis.xadd(client.keys.dead_letter, letter)
    found = metadata(instance, resources)
    assert "And 3 smaller groups" in found["report"]
    assert len(launchpads(found["report"])) == len(found["groups"]) == 30


def test_redis_or_the_store_away_fails_it_with_one_clear_line_and_leaves_the_table(
    client: RedisClient, resources: Resources, instance: dg.DagsterInstance, tmp_path: Path
) -> None:
    bury(client)
    review(instance, resources)
    away = {**resources, "queue": QueueResource(url="redis://127.0.0.1:1/0")}
    assert "Redis at 127.0.0.1:1/0 is not available" in failure(review(instance, away))
    (tmp_path / "folder").mkdir()
    away = {**resources, "store": StoreResource(url=f"sqlite:///{tmp_path}/folder")}
    assert "TUTORMAX_STORE_URL" in failure(review(instance, away))
    assert len(rows(tmp_path)) == 1


def test_the_review_is_scheduled_on_weekday_mornings() -> None:
    schedule = defs.resolve_schedule_def("review_dead_letters_schedule")
    assert (schedule.job_name, schedule.cron_schedule) == ("review_dead_letters", "0 8 * * 1-5")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING


def test_the_asset_describes_every_column_of_its_table() -> None:
    asset = defs.resolve_asset_graph().get(dg.AssetKey("dead_letters"))
    columns = asset.metadata["dagster/column_schema"].columns
    assert [column.name for column in columns] == [column.name for column in table.columns]
    assert all(column.description and column.type for column in columns)
