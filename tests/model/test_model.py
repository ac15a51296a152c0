"""Whatever is done, in whatever order: the real system does what the model says.

``specification`` says what must become of every entry, ``machine`` does things to the real system and to
the specification at once, ``observation`` shows the real one. A failure ends with the fewest steps that
lead to it.

A short run is the same each time. A long one, with new examples each time:
``MODEL_EXAMPLES=5000 pytest tests/model``, or ``make model``.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from queue_core import RedisClient
from queue_core.embedded import EmbeddedServer
from tests.conftest import settings_for
from tests.model.machine import Pipeline
from tests.model.system import keep_every_write
from tutormax_pipeline.store import Store

#: Examples of a long run; a short one, the same each time, where not given.
LONG = int(os.environ.get("MODEL_EXAMPLES", "0"))
_SHORT = 40


@pytest.mark.timeout(0 if LONG else 120)
def test_whatever_is_done_the_system_does_what_the_model_says(tmp_path: Path) -> None:
    template = tmp_path / "empty.db"
    Store.open(f"sqlite:///{template}").close()
    with EmbeddedServer(tmp_path / "server") as server:
        with RedisClient(settings_for(server)) as client:
            keep_every_write(client)
        machine = type("Machine", (Pipeline,), {"server": server, "template": template, "folder": tmp_path})
        run_state_machine_as_test(
            machine,
            settings=settings(
                max_examples=LONG or _SHORT,
                stateful_step_count=40 if LONG else 30,
                derandomize=not LONG,
                database=None,
                deadline=None,
                suppress_health_check=list(HealthCheck),
                print_blob=False,
            ),
        )
