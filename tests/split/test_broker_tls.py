"""A broker that speaks TLS: the health check of a worker reaches it as the worker does."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import server_binary, wait_until
from tests.split.deployment import ROOT
from tests.topologies.certificates import Certificates
from tests.topologies.processes import Processes
from tests.topologies.tls import TLSServer

pytestmark = pytest.mark.needs_redis_server
#: A worker without Dagster, which takes seconds to load and has no part in this.
WORKER = """
from celery import Celery
from tutormax_pipeline.celery_runs.broker import broker_configuration
from tutormax_pipeline.settings import PipelineSettings
app = Celery()
app.conf.update(broker_configuration(PipelineSettings.load()))
app.worker_main("worker --pool solo --without-gossip --without-mingle --loglevel info".split())
"""


@pytest.fixture
def variables(tmp_path: Path) -> Iterator[dict[str, str]]:
    """Those of a worker whose broker's certificate is for another name, and who accepts that."""
    certificates = Certificates(tmp_path)
    with Processes(server_binary("redis")) as processes:
        server = TLSServer(processes, tmp_path, certificates, pair=certificates.of_another_name)
        yield {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "TUTORMAX_CELERY_BROKER_URL": f"rediss://127.0.0.1:{server.process.port}/0",
            "REDIS_SSL_CA_CERTS": str(certificates.ca),
            "REDIS_SSL_CERTFILE": str(certificates.client.certfile),
            "REDIS_SSL_KEYFILE": str(certificates.client.keyfile),
            "REDIS_SSL_CHECK_HOSTNAME": "false",
        }


def asked(variables: dict[str, str]) -> subprocess.CompletedProcess[str]:
    probe = [sys.executable, str(ROOT / "deploy" / "probes" / "celery_worker.py")]
    return subprocess.run(probe, env=variables, capture_output=True, text=True, timeout=60, check=False)


def test_a_worker_over_tls_is_healthy_and_one_that_checks_the_name_is_refused(
    variables: dict[str, str], tmp_path: Path
) -> None:
    log = tmp_path / "worker.log"
    with log.open("wb") as output:
        worker = subprocess.Popen(
            [sys.executable, "-c", WORKER], env=variables, stdout=subprocess.DEVNULL, stderr=output
        )
    try:
        wait_until(lambda: "ready." in log.read_text(), 30, "the worker", 0.1)
        healthy = asked(variables)
        assert (healthy.returncode, healthy.stderr) == (0, "")
        refused = asked({**variables, "REDIS_SSL_CHECK_HOSTNAME": "true"})
        assert (refused.returncode, refused.stderr) == (1, "The broker does not answer: OperationalError\n")
    finally:
        worker.kill()
        worker.wait()


def test_without_a_broker_it_says_which_variable_to_set() -> None:
    done = asked({"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT)})
    assert done.returncode == 1
    assert done.stderr.startswith("TUTORMAX_CELERY_BROKER_URL: is not set")
    assert len(done.stderr.splitlines()) == 1
