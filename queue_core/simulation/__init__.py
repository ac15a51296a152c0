"""A tutoring business that never was, for demonstrations and tests: seeded, and the same each time.

    for event in business(Plan(), start=datetime.now(UTC)):
        print(event.at, event.channel, event.data)

Tutors appear and change, sessions are booked and then held, called off or missed, students give feedback.
``rhythm`` says when, ``tutoring`` what, ``faults`` spoils some of it, ``player`` publishes it.
"""

from queue_core.simulation.faults import Fault, Upstream, with_faults
from queue_core.simulation.player import Tally, play
from queue_core.simulation.tutoring import Event, Plan, business

__all__ = ["Event", "Fault", "Plan", "Tally", "Upstream", "business", "play", "with_faults"]
