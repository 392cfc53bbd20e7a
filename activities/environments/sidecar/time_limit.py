"""Ends a call that takes too much processor time, from within its own thread.

Not time on the clock: on a busy machine every step takes long.

The alarm interrupts Python code between two instructions. A single operation of C, such as a power with a huge
exponent, it cannot interrupt: an environment refuses those itself (`bfcl_limits.py`).
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class TooLong(BaseException):
    """Not an Exception: an environment turns those into results, and a result must not depend on the clock."""


def _on_alarm(signum: int, frame: FrameType | None) -> None:
    raise TooLong


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raises TooLong in the block after so many seconds of processor time. Main thread only."""
    signal.signal(signal.SIGPROF, _on_alarm)
    signal.setitimer(signal.ITIMER_PROF, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
