"""When things happen: quiet nights, a peak from the afternoon into the evening, weekends of their own."""

from __future__ import annotations

import random
from datetime import datetime, timedelta

#: Of a working day's messages, how many fall into each hour: few at night, most from 15 to 21 h.
WORKING_DAY = (1, 1, 1, 1, 1, 1, 1, 2, 3, 3, 3, 4, 4, 4, 6, 10, 12, 12, 12, 12, 8, 4, 2, 1)
#: The same at the weekend: later in the morning, spread over the day, and early to end.
WEEKEND = (2, 1, 1, 1, 1, 1, 1, 1, 2, 6, 8, 8, 7, 7, 8, 8, 7, 6, 5, 4, 3, 2, 2, 1)
#: A day's messages against a mean day's; the mean of a week is 1.
_OF_A_DAY = (1.05, 1.1, 1.1, 1.1, 0.9, 0.75, 1.0)


def arrivals(chance: random.Random, day: datetime, mean: float) -> list[datetime]:
    """Instants within the 24 hours from ``day`` on, in order.

    Args:
        chance: the source of randomness.
        day: when they begin; of its hours and weekdays, as they pass, the rhythm is made.
        mean: messages of a mean day.
    """
    hours = [day + timedelta(hours=hour) for hour in range(24)]
    weights = [_weight(hour) for hour in hours]
    expected = mean * sum(weights)
    number = int(expected) + (chance.random() < expected % 1)
    chosen = chance.choices(hours, weights, k=number)
    return sorted(hour + timedelta(seconds=chance.random() * 3_600) for hour in chosen)


def _weight(hour: datetime) -> float:
    """The share of a mean day's messages that falls into an hour."""
    weekday = hour.weekday()
    shape = WEEKEND if weekday >= 5 else WORKING_DAY
    return _OF_A_DAY[weekday] * shape[hour.hour] / sum(shape)
