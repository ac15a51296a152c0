"""A user's project, in a folder of its own, tested by a pytest of its own."""

from __future__ import annotations

from collections.abc import Callable

import pytest

Project = Callable[..., pytest.RunResult]


@pytest.fixture
def project(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Project:
    """Run tests, given as text, as a user does; options are those of pytest."""
    # Nothing else that happens to be installed has a say.
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")

    def run(tests: str, *options: str, apart: bool = False) -> pytest.RunResult:
        pytester.makepyfile(tests)
        start = pytester.runpytest_subprocess if apart else pytester.runpytest_inprocess
        return start("-p", "queue_core.testing.plugin", "-p", "no:cacheprovider", *options)

    return run
