"""How the last nine gaps of a consumer are kept, so that their median is its rhythm.

A job that runs once a month makes several requests each time. Counted plainly, nine gaps would hold
the seconds between those requests and not the month. So calls that come close after one another, next
to the pauses around them, are one run; a pause that is short beside the calls before it is one gap
among others, and is forgotten in time.
"""

from __future__ import annotations

from collections.abc import Sequence

MAX_GAPS = 9
# A gap this many times shorter than a pause belongs to a run between two pauses.
RUN_SHARE = 20


def with_gap(kept: Sequence[int], gap: int) -> list[int]:
    """Return what to keep after another gap, in seconds: the last nine gaps, the oldest first.

    A negative number at the end is no gap. It says how many seconds the present run has lasted,
    because a run that outlasts the pauses shows that those were exceptions.
    """
    if gap < 1:
        return list(kept)
    gaps = [each for each in kept if each > 0]
    run = -sum(each for each in kept if each < 0)
    if gap * RUN_SHARE < max(gaps, default=0):
        run += gap
        if run <= max(gaps):
            return [*gaps, -run]
        gaps = [each for each in gaps if each <= gap * RUN_SHARE]
    elif any(each * RUN_SHARE < gap for each in gaps):
        if run < gap:
            gaps = [each for each in gaps if each * RUN_SHARE >= gap]
        run = 0
    else:
        # A stretch without a pause in it goes on; otherwise this is one more pause, and ends the run.
        run = run + gap if run >= sum(gaps) else 0
    kept_now = [*gaps, gap][-MAX_GAPS:]
    return [*kept_now, -run] if run else kept_now
