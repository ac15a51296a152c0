"""docs/adding-a-channel.md, performed as it is written, on a copy of the code."""

from __future__ import annotations

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from queue_core.embedded import EmbeddedServer
from tests.conftest import settings_for

NOT_OURS = ("REDIS_", "TUTORMAX_", "DAGSTER_")
ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "adding-a-channel.md").read_text()
ENTRY, RECORD = re.findall(r"```python\n(.*?)```", GUIDE, re.DOTALL)
(COMMANDS,) = re.findall(r"```sh\n(.*?)```", GUIDE, re.DOTALL)


def insert(path: Path, text: str, before: str) -> None:
    source = path.read_text()
    assert source.count(before) == 1
    path.write_text(source.replace(before, f"{text.rstrip()}\n\n{before}"))


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("payments") / "home"


@pytest.fixture(scope="module")
def found(valkey: EmbeddedServer, home: Path) -> dict[str, Any]:
    """What the commands said, and what there is afterwards."""
    copy = home.parent / "copy"
    for package in ("queue_core", "tutormax_pipeline"):
        shutil.copytree(ROOT / package, copy / package, ignore=shutil.ignore_patterns("__pycache__"))
    insert(copy / "queue_core" / "channels.py", ENTRY, "    @classmethod\n    def all(cls)")
    insert(copy / "tutormax_pipeline" / "records.py", RECORD + "\n", "@cache\ndef record_class(")
    # Shared by the module's tests, this comes before each test's clean environment.
    own = {name: value for name, value in os.environ.items() if not name.startswith(NOT_OURS)}
    place = {
        "REDIS_URL": valkey.url,
        "REDIS_KEY_PREFIX": settings_for(valkey).key_prefix,
        "TUTORMAX_HOME": str(home),
        "PYTHONPATH": str(copy),
        "COLUMNS": "80",
    }
    done = subprocess.run(
        [sys.executable, Path(__file__).parent / "new_channel.py"],
        input=COMMANDS,
        cwd=home.parent,
        env=own | place,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["source"] == str(copy / "tutormax_pipeline")
    return result


def said(found: dict[str, Any], command: str) -> str:
    ((exit_code, output),) = [
        (code, output) for line, code, output, _ in found["commands"] if f"tutormax {command}" in line
    ]
    assert exit_code == 0
    return output


def test_every_command_of_the_guide_succeeds(found: dict[str, Any]) -> None:
    assert [(line, code, errors) for line, code, _, errors in found["commands"]] == [
        (line, 0, "") for line in COMMANDS.splitlines()
    ]
    assert "payments" in said(found, "status")
    assert "invalid" in said(found, "dlq list")
    assert "amount" in json.loads(said(found, "schema payments"))["required"]


def test_the_message_is_a_row_of_its_own_table_and_nothing_of_it_is_lost(
    found: dict[str, Any], home: Path
) -> None:
    assert found["commands"]
    with closing(sqlite3.connect(home / "tutormax.db")) as database:
        rows = database.execute("SELECT payment_id, session_id, amount, currency, extra FROM payments")
        assert [(*row[:4], json.loads(row[4])) for row in rows] == [("P1", "S1", 40.5, None, {"tip": 2})]
        ledger = database.execute("SELECT outcome, reason FROM message_ledger WHERE channel = 'payments'")
        assert sorted(ledger) == [("dead_lettered", "invalid"), ("stored", None)]


def test_the_code_location_has_what_the_guide_promises(found: dict[str, Any]) -> None:
    location = found["location"]
    assert {"payments", "queue/payments"} <= set(location["assets"])
    assert "drain_payments" in location["jobs"]
    assert "payments_queue_sensor" in location["sensors"]
    assert "payments" in location["drain_all"]
    (promised,) = re.findall(r"with the checks (.*?) \|", GUIDE)
    assert {f"payments:{name}" for name in re.findall(r"`(\w+)`", promised)} <= set(location["checks"])


def test_the_monitor_counts_it(found: dict[str, Any]) -> None:
    assert found["monitor"] == [2, 0, 0, 1]
