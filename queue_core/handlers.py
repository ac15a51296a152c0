"""Functions that process messages: how they may look, and what their answers mean.

A handler takes the ``data`` of a message, or ``(data, message)``; a batch handler a list of data, or the
list and the list of messages. True is done, False or an exception is another attempt later. None is done
too, as for any function that ends without an exception, and is remarked once in the log.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

from queue_core.errors import ConfigurationError
from queue_core.received import ReceivedMessage

#: Takes ``data`` or ``(data, message)``.
Handler = Callable[..., bool | None]
#: Takes a list of data, or that and a list of messages; its answer is for all, or one bool for each in order.
BatchHandler = Callable[..., bool | Sequence[bool] | None]

_log = logging.getLogger(__name__)

_NEVER_RUN = (
    inspect.iscoroutinefunction,
    inspect.isasyncgenfunction,
    inspect.isgeneratorfunction,
)


class HandlerAnswerError(Exception):
    """A handler returned what means nothing; says what it should return, never what it did."""


class RegisteredHandler:
    """A handler whose shape was checked.

    Args:
        function: a :data:`Handler`, or a :data:`BatchHandler`.
        batch: which of them.

    Attributes:
        batch: whether it takes many messages at once.

    Raises:
        ConfigurationError: it cannot be called with one or two positional arguments, or would not run when
            called (async, generator).
    """

    def __init__(self, function: Callable[..., Any], *, batch: bool) -> None:
        self.batch = batch
        self._function = function
        self._name = getattr(function, "__qualname__", type(function).__name__)
        self._takes_message = self._looks_at(function)
        self._silent = False

    def __call__(self, messages: Sequence[ReceivedMessage]) -> list[bool]:
        """Call it; True for each message that is done.

        Raises:
            HandlerAnswerError: its answer is none that a handler may give.
            BaseException: whatever the handler raises.
        """
        if self.batch:
            first: Any = [message.data for message in messages]
            second: Any = list(messages)
        else:
            (second,) = messages
            first = second.data
        answer = self._function(first, second) if self._takes_message else self._function(first)
        return self._read(answer, len(messages))

    def _read(self, answer: object, count: int) -> list[bool]:
        if answer is None:
            self._remark_silence()
            return [True] * count
        if isinstance(answer, bool):
            return [answer] * count
        if self.batch and isinstance(answer, (list, tuple)):
            if len(answer) == count and all(isinstance(one, bool) for one in answer):
                return list(answer)
            raise HandlerAnswerError(f"{self._name} must return True, False, or one of them for each message")
        raise HandlerAnswerError(f"{self._name} must return True or False, not {type(answer).__name__}")

    def _remark_silence(self) -> None:
        if not self._silent:
            self._silent = True
            _log.warning(
                "Handler %s returned None, which counts as done. Return True where it is, "
                "False where the message is to be tried again.",
                self._name,
            )

    def _looks_at(self, function: Callable[..., Any]) -> bool:
        """Whether it wants the message beside the data."""
        if not callable(function):
            raise ConfigurationError(f"A handler is a function, not {type(function).__name__}.")
        called = getattr(function, "__call__", function)  # noqa: B004 - an object whose call is async
        if any(check(one) for check in _NEVER_RUN for one in (function, called)):
            raise ConfigurationError(
                f"Handler {self._name} is async or a generator, and would not run when called; "
                "write a function that returns True or False (asyncio.run inside it is fine)."
            )
        try:
            signature = inspect.signature(function)
        except (TypeError, ValueError):  # written in C, and says nothing of itself
            return False
        parameters = [one for one in signature.parameters.values() if one.kind in _POSITIONAL]
        required = sum(one.default is inspect.Parameter.empty for one in parameters)
        asks = required == 2 or (len(parameters) > 1 and parameters[1].name in ("message", "messages"))
        try:
            signature.bind(*[None] * (2 if asks else 1))
        except TypeError:
            given = (
                "(data) or (data, message)" if not self.batch else "(data) or (data, messages), lists both"
            )
            raise ConfigurationError(
                f"Handler {self._name}{signature} cannot be called with {given}."
            ) from None
        return asks


_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
