"""A process that has everything imported, and forks one for each day: ``python -m tests.crash.warm``.

Reads jobs from standard input, one JSON list a line: Redis URL, key prefix, store, retention in days, place
to end at or null, and at which pass. Writes the exit code of each, and before it the places that were
passed, unless the day was cut short.
"""

from __future__ import annotations

import os
import sys
import traceback

import orjson

from queue_core import RedisClient, RedisSettings
from queue_core.failpoints import arm, recorded
from tests.crash.day import live
from tutormax_pipeline.store import Store


def work(
    url: str, prefix: str, address: str, retention_days: int, place: str | None, passes: int
) -> list[str]:
    settings = RedisSettings.load(
        url=url,
        key_prefix=prefix,
        retry_backoff_ms=1,
        max_retries=50,
        worker_max_processing_time_seconds=0.02,
    )
    with RedisClient(settings) as client, Store.open(address) as store, recorded() as places:
        if place is not None:
            arm(place, passes)
        live(client, store, retention_days)
    return places


def main() -> None:
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                places = work(*orjson.loads(line))
                print(orjson.dumps(places).decode(), flush=True)
            except BaseException:  # noqa: BLE001 - a forked child must not go on as its parent
                traceback.print_exc()
                os._exit(1)
            os._exit(0)
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print("ended", code, flush=True)


if __name__ == "__main__":
    main()
