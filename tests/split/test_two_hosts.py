"""Two hosts, one queue, one database: what one of them held when it was lost is taken up by the other."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.split.two_hosts import lose_a_host_in_the_middle

MESSAGES = 6_000


@pytest.mark.long
@pytest.mark.timeout(240)
def test_a_host_that_is_lost_in_the_middle_loses_no_message_and_doubles_none(tmp_path: Path) -> None:
    done = lose_a_host_in_the_middle(tmp_path, MESSAGES, batch_size=20)
    assert done.by_host["a"] > 0
    assert done.by_host["b"] > 0
    assert sum(done.by_host.values()) == MESSAGES
