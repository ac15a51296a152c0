"""A Redis Streams queue: publish, consume, work, retry, dead-letter, reclaim.

Stands on its own: it imports neither Dagster nor SQLAlchemy.
"""

from queue_core.channels import Channel, QueueChannels
from queue_core.client import RedisClient, get_redis_client
from queue_core.config import RedisSettings
from queue_core.consumer import MessageConsumer
from queue_core.errors import QueueError
from queue_core.publisher import MessagePublisher
from queue_core.received import ReceivedMessage
from queue_core.worker import QueueWorker

__all__ = [
    "Channel",
    "MessageConsumer",
    "MessagePublisher",
    "QueueChannels",
    "QueueError",
    "QueueWorker",
    "ReceivedMessage",
    "RedisClient",
    "RedisSettings",
    "get_redis_client",
]
