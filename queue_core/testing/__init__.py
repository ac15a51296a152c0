"""For the tests of programs that use the queue: what was published, what died, and whether work is left.

    def test_a_new_tutor_is_announced(queue_client):
        announce_tutor(queue_client, "T001")
        assert_published(queue_client, "tutors", {"tutor_id": "T001"})

The fixtures (a real server, a namespace of its own for each test) are in ``queue_core.testing.plugin``,
which pytest loads by itself. What is here needs no pytest.
"""

from queue_core.testing.idleness import RunsOnce, assert_idle, assert_nothing_pending, run_until_idle
from queue_core.testing.letters import assert_dead_lettered
from queue_core.testing.publications import assert_published

__all__ = [
    "RunsOnce",
    "assert_dead_lettered",
    "assert_idle",
    "assert_nothing_pending",
    "assert_published",
    "run_until_idle",
]
