"""A real Prometheus: it takes the rules, and scrapes the figures."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

import pytest

from queue_core import MessagePublisher, QueueChannels
from tests.conftest import wait_until

pytestmark = pytest.mark.needs_prometheus

RULES = Path(__file__).parents[2] / "deploy" / "prometheus"


def program(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not installed (Debian package prometheus)")
    return found


@pytest.mark.parametrize("what", [("check", "rules", "alerts.yml"), ("test", "rules", "alerts_test.yml")])
def test_the_rules_are_valid_and_call_when_they_should(what: tuple[str, ...]) -> None:
    done = subprocess.run(
        [program("promtool"), *what], cwd=RULES, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_scrapes_the_figures_and_takes_the_rules(
    exporter: int, publisher: MessagePublisher, tmp_path: Path
) -> None:
    publisher.publish_batch(QueueChannels.TUTORS, [{"tutor_id": f"T{n}", "name": "x"} for n in range(3)])
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # JSON is YAML.
    config = {
        "global": {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(RULES / "alerts.yml")],
        "scrape_configs": [
            {"job_name": "tutormax", "static_configs": [{"targets": [f"127.0.0.1:{exporter}"]}]}
        ],
    }
    (tmp_path / "prometheus.yml").write_text(json.dumps(config))
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                program("prometheus"),
                f"--config.file={tmp_path / 'prometheus.yml'}",
                f"--storage.tsdb.path={tmp_path / 'data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            ],
            stdout=log,
            stderr=log,
        )

    def ask(path: str) -> Any:
        assert process.poll() is None, (tmp_path / "log").read_text()
        try:
            with urlopen(f"http://127.0.0.1:{port}/api/v1/{path}", timeout=10) as answer:
                return json.load(answer)["data"]
        except URLError:
            return None

    try:
        query = "query?" + urlencode({"query": 'tutormax_waiting_messages{channel="tutors"}'})
        found = wait_until(lambda: (ask(query) or {}).get("result"), 30, "a scrape")
        assert [sample["value"][1] for sample in found] == ["3"]
        (group,) = wait_until(lambda: ask("rules"), 30, "the rules")["groups"]
        assert not [rule for rule in group["rules"] if rule["health"] == "err"]
    finally:
        process.kill()
        process.wait()
