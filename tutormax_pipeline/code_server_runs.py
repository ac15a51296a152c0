"""Runs as children of the code server, as Dagster starts them by default, but missed when it dies with them.

Dagster's own launcher does not look after a run: the code server fails a run whose process ended, and when
the code server itself is replaced, by a new version as by a crash, nobody does. Such a run stays STARTED,
and blocks its lane, until ``dagster/max_runtime``. This launcher lets the run monitoring ask the code server.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from dagster import DagsterRun, deserialize_value
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus
from dagster._core.launcher.default_run_launcher import DefaultRunLauncher
from dagster._grpc.types import CanCancelExecutionRequest, CanCancelExecutionResult
from dagster._serdes import ConfigurableClassData


class CodeServerRunLauncher(DefaultRunLauncher):
    """Dagster's default launcher, with a look at whether a run's process is still known where it was started.

    A run is given up only when the code server at its address answers that it has no such run. What is given
    up by mistake goes on, and does no harm: the ledger takes each message once.
    """

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData, config_value: Mapping[str, Any]) -> Self:
        """As Dagster makes it from ``dagster.yaml``; takes no configuration."""
        return cls(inst_data=inst_data, **config_value)

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Makes the run monitoring ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Ask the code server for a run.

        Raises:
            DagsterUserCodeUnreachableError: it does not answer. The monitoring reports that, and leaves the
                run as it is: the code server may only be restarting.
        """
        client = self._get_grpc_client_for_termination(run.run_id)  # type: ignore[no-untyped-call]
        if client is None:
            # Ended since the monitoring read it, or launched in some other way: neither is ours to judge.
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        answer = client.can_cancel_execution(CanCancelExecutionRequest(run_id=run.run_id))
        if deserialize_value(answer, CanCancelExecutionResult).can_cancel:
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.NOT_FOUND,
            "The code server was replaced while this run was at work. Its messages are taken up again.",
        )
