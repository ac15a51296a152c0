"""The tests that queue_core/README.md shows, run as a user runs them."""

from __future__ import annotations

from tests.docs.guide import blocks
from tests.testing_kit.conftest import Project

pytest_plugins = ["pytester"]


def test_the_tests_that_the_readme_shows_pass(project: Project) -> None:
    shown = [
        block.text
        for block in blocks("queue_core/README.md")
        if block.language == "python" and "def test_" in block.text
    ]
    assert len(shown) == 2
    project("\n".join(shown)).assert_outcomes(passed=2)
