"""docs/api.md says what the docstrings say."""

from __future__ import annotations

import importlib
import inspect

import queue_core
from tests.docs.api import MODULES, PAGE, page, rendered


def test_the_page_is_up_to_date() -> None:
    assert PAGE.read_text() == page(), "run: make api"


def test_what_can_be_imported_from_the_package_is_described() -> None:
    for name in queue_core.__all__:
        module = getattr(queue_core, name).__module__.removeprefix("queue_core.")
        assert module in MODULES, f"{name} is in {module}, which tests/docs/api.py does not list"
        assert f"\n### {name}\n" in page()


def test_every_public_method_is_described() -> None:
    consumer = importlib.import_module("queue_core.consumer").MessageConsumer
    for name, _ in inspect.getmembers(consumer, inspect.isfunction):
        assert name.startswith("_") or f"\n#### MessageConsumer.{name}\n" in page()


def test_sections_of_a_docstring_become_lists() -> None:
    assert rendered(
        """Do ``it``.

        Args:
            how: in which way,
                or which other.

        Raises:
            QueueError: :class:`Redis` is away.
        """
    ) == (
        "Do `it`.\n\n**Args**\n\n- `how`: in which way,\n  or which other.\n\n"
        "**Raises**\n\n- `QueueError`: `Redis` is away.\n"
    )
