"""Where a run is to be looked at: its page in the UI of the ``tutormax up`` of this home, while that runs."""

from __future__ import annotations

import os
import re
import socket
from urllib.parse import urlsplit

import orjson

from tutormax_pipeline.settings import PipelineSettings

_CONNECT_SECONDS = 0.5
#: Ids that Dagster gives its runs; drains by hand have others.
_DAGSTER_RUN = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def ui_address(settings: PipelineSettings) -> str | None:
    """Address of the UI that runs on this home, ``http://127.0.0.1:3000``; None where none does.

    The file that says so outlives ``up``: it counts only while the process lives and the port answers.
    """
    try:
        state = orjson.loads((settings.home / "up.json").read_bytes())
        address, pid = str(state["ui"]), int(state["dagster_pid"])
        os.kill(pid, 0)
        port = urlsplit(address).port
        with socket.create_connection(("127.0.0.1", port or 0), _CONNECT_SECONDS):
            return address
    except (OSError, ValueError, TypeError, KeyError):
        return None


def run_link(ui: str | None, run_id: str) -> str:
    """The run's page; its id alone where no UI is known, or where it is no run of Dagster's."""
    if ui is None or not _DAGSTER_RUN.fullmatch(run_id):
        return run_id
    return f"{ui}/runs/{run_id}"
