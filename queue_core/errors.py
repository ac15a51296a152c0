"""Every error this library raises, as one tree under :class:`QueueError`.

Messages say what to do next: which variable, which message, which command.
"""

from __future__ import annotations


class QueueError(Exception):
    """Base of all errors of the queue."""


class ConfigurationError(QueueError):
    """A setting is missing or out of its range; names the variable and what it may be."""


class QueueUnavailableError(QueueError):
    """Redis cannot do its work now: not reachable, loading, read-only, out of memory.

    Never the fault of a message: no attempt is counted and what was waiting goes on waiting.
    """


class AccessDeniedError(QueueUnavailableError):
    """Redis refused the user name, the password or the command (NOAUTH, WRONGPASS, NOPERM)."""


class NotReplicatedError(QueueUnavailableError):
    """Published, but fewer replicas than ``REDIS_WAIT_REPLICAS`` confirmed it in time."""


class HandlerUnavailableError(QueueError):
    """Raise it in a worker's handler that lacks what it needs: its database is away, locked or full.

    That is no fault of the message: no attempt is counted, what is in hand goes back to the queue, and the
    channel waits, each time longer, up to 5 seconds. Its words are logged, so let them name what is lacking
    and quote nothing of the message. Not for what only this message meets with: it would be tried for ever.
    """


class EmbeddedServerError(QueueError):
    """The embedded server could not be found, started or stopped."""


class PublishError(QueueError):
    """A message was refused before or at publishing; nothing was added to the stream."""


class InvalidMessageError(PublishError):
    """The data cannot be carried by the envelope without loss (see ``serializer``)."""


class MessageTooLargeError(PublishError):
    """The envelope is larger than ``REDIS_MAX_MESSAGE_SIZE_BYTES``."""


class QueueFullError(PublishError):
    """``REDIS_QUEUE_MAXLEN`` unprocessed messages wait; publish again once they are drained."""


class LetterGoneError(QueueError):
    """The dead letter is not there: it never was, or somebody has redriven, edited or discarded it."""


class EditRefusedError(QueueError):
    """A dead letter cannot be edited so; nothing moved. Says what would still be wrong with it."""
