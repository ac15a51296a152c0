"""Alert rules and dashboard: every name that they use is one that is exported."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.metrics.conftest import Scraped

DEPLOY = Path(__file__).parents[2] / "deploy"
DASHBOARD = json.loads((DEPLOY / "grafana" / "tutormax.json").read_text())
RULES = yaml.safe_load((DEPLOY / "prometheus" / "alerts.yml").read_text())["groups"][0]["rules"]


def names(expression: str) -> set[str]:
    return set(re.findall(r"\btutormax_\w+", expression))


def panels() -> Iterator[dict[str, Any]]:
    for panel in DASHBOARD["panels"]:
        yield panel
        yield from panel.get("panels", [])


def expressions() -> Iterator[str]:
    for panel in panels():
        yield from (target["expr"] for target in panel.get("targets", []))


def test_every_metric_of_the_alerts_and_of_the_dashboard_is_exported(scrape: Callable[[], Scraped]) -> None:
    exported = {name for name, *_ in scrape()}
    channel = DASHBOARD["templating"]["list"][1]["definition"]
    for expression in [*(rule["expr"] for rule in RULES), *expressions(), channel]:
        assert names(expression), expression
        assert names(expression) <= exported, expression


def test_each_alert_says_how_bad_it_is_and_what_to_do() -> None:
    assert len({rule["alert"] for rule in RULES}) == len(RULES)
    for rule in RULES:
        assert rule["labels"]["severity"] in ("warning", "critical")
        assert rule["annotations"]["summary"]
        assert rule["annotations"]["description"].endswith(".")


def test_the_dashboard_asks_the_source_that_was_chosen_and_shows_each_channel() -> None:
    source, channel = DASHBOARD["templating"]["list"]
    assert (source["type"], channel["name"]) == ("datasource", "channel")
    for panel in panels():
        if panel["type"] == "row":
            assert panel["repeat"] == "channel"
            continue
        assert panel["datasource"]["uid"] == "${datasource}"
        assert all(target["datasource"]["uid"] == "${datasource}" for target in panel["targets"])
        places = panel["gridPos"]
        assert places["x"] + places["w"] <= 24
    ids = [panel["id"] for panel in panels()]
    assert len(set(ids)) == len(ids)
