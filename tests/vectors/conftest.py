"""Node, the independent implementation."""

from __future__ import annotations

import shutil

import pytest


@pytest.fixture(scope="session")
def node() -> str:
    """The program; skips the test where it is not installed."""
    found = shutil.which("node")
    if found is None:
        pytest.skip("node is not installed (Debian package nodejs)")
    return found
