"""``tutormax metrics``: the figures for Prometheus, over HTTP."""

from __future__ import annotations

import importlib.util
import time

import click

from queue_core import RedisClient
from queue_core.stopping import stop_on_signals
from tutormax_pipeline.configured_store import configured_store
from tutormax_pipeline.settings import PipelineSettings, redis_settings
from tutormax_pipeline.store import Store

_STEP_SECONDS = 0.1


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(1, 65_535), default=9464, show_default=True)
def metrics(host: str, port: int) -> None:
    """Serve the figures of the queues for Prometheus, until Ctrl-C.

    Each scrape looks anew, and changes nothing. Where Redis or the store is away, the figures say so. There
    is no password: whoever reaches the address reads the figures, which tell nothing of any message.
    """
    if importlib.util.find_spec("prometheus_client") is None:
        raise click.ClickException(
            "prometheus_client is not installed. Install it with: pip install 'tutormax-pipeline[metrics]'"
        )
    from prometheus_client import CollectorRegistry, start_http_server  # noqa: PLC0415 - not always installed

    from tutormax_pipeline.metrics.collector import QueueCollector  # noqa: PLC0415

    settings, registry = PipelineSettings.load(), CollectorRegistry()
    # Now, so that a wrong setting stops the program at its start and not at a scrape.
    redis_settings(settings)

    def open_store() -> Store:
        return configured_store(settings, Store.open_to_read)

    registry.register(QueueCollector(lambda: RedisClient(redis_settings(settings)), open_store))
    with stop_on_signals() as stop:
        try:
            server, thread = start_http_server(port, host, registry)
        except OSError as error:
            raise click.ClickException(
                f"Cannot listen on {host}:{port} ({error.strerror}). Choose another --host or --port."
            ) from None
        click.echo(f"Metrics on http://{f'[{host}]' if ':' in host else host}:{port}/metrics")
        while not stop():
            time.sleep(_STEP_SECONDS)
        server.shutdown()
        server.server_close()
        thread.join()
