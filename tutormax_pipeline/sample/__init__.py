"""Sample data: course evaluations of the University of Texas, as records of the three channels.

From the data set "evals" of OpenIntro, which has it from Hamermesh and Parker, "Beauty in the
Classroom" (2005): 94 instructors as tutors, 463 courses as sessions, 463 evaluations as feedback.
"""

from importlib import resources

from queue_core import Channel


def sample_lines(channel: Channel) -> list[bytes]:
    """The sample's records of a channel, one JSON object a line; empty for a channel without a sample."""
    file = resources.files(__name__) / f"{channel.name}.jsonl"
    return file.read_bytes().splitlines() if file.is_file() else []
