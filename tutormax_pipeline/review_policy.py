"""When the dead letters are to be reviewed: once for each burst of them, decided from two numbers."""

from __future__ import annotations

from dataclasses import dataclass

from queue_core.letter_counts import LetterTraffic

#: Longest that a burst is waited out.
LONGEST_BURST_SECONDS = 60.0
#: Letters that trickle in all day are reviewed this often, since each review is a run; letters that went
#: away, which is an operator's doing, at once.
REST_SECONDS = 300.0
#: A review that was asked for and did not come (it failed) is asked for again after so long.
ASK_AGAIN_SECONDS = 600.0

_NOTHING = LetterTraffic(0, 0)


@dataclass(frozen=True, slots=True)
class Watch:
    """What a watcher remembers from one look to the next.

    Attributes:
        reviewed: what the last review saw.
        seen: what the last look saw.
        changing_since: when the first of the changes was seen that no review has seen, in seconds; None
            where there is none.
        asked: for what a review was asked for last.
        asked_at: when, in seconds.
    """

    reviewed: LetterTraffic = _NOTHING
    seen: LetterTraffic = _NOTHING
    changing_since: float | None = None
    asked: LetterTraffic = _NOTHING
    asked_at: float = 0.0


@dataclass(frozen=True, slots=True)
class ReviewDecision:
    """Whether to review, why (or why not) in words for the tick, and what to remember."""

    launch: bool
    why: str
    watch: Watch


def decide_review(watch: Watch, traffic: LetterTraffic, now: float, in_flight: int) -> ReviewDecision:
    """Review when letters came or went, and then stood still from one look to the next.

    Args:
        watch: what is remembered.
        traffic: what is seen now.
        now: the present, in seconds.
        in_flight: reviews that have not ended.
    """
    if traffic == watch.reviewed:
        quiet = Watch(watch.reviewed, traffic, None, watch.asked, watch.asked_at)
        return ReviewDecision(False, f"{traffic.letters:,} dead letters, all of them reviewed.", quiet)
    since = now if watch.changing_since is None else watch.changing_since
    seen = Watch(watch.reviewed, traffic, since, watch.asked, watch.asked_at)
    if in_flight:
        return ReviewDecision(False, "A review is running.", seen)
    if traffic == watch.asked and now - watch.asked_at < ASK_AGAIN_SECONDS:
        return ReviewDecision(False, "The review that was asked for has not come; see its run.", seen)
    if traffic != watch.seen and now - since < LONGEST_BURST_SECONDS:
        return ReviewDecision(False, f"{traffic.letters:,} dead letters, and they still change.", seen)
    came = max(0, traffic.ever - watch.reviewed.ever)
    went = watch.reviewed.letters + came - traffic.letters
    rest_seconds = watch.asked_at + REST_SECONDS - now
    if rest_seconds > 0 and not went:
        why = f"{came:,} dead letters came since the last review; the next is in {rest_seconds:.0f} s."
        return ReviewDecision(False, why, seen)
    why = f"{traffic.letters:,} dead letters: {came:,} came and {went:,} went since the last review."
    return ReviewDecision(True, why, Watch(watch.reviewed, traffic, None, traffic, now))
