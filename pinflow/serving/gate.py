"""A gate before what is slow: a few at once, a few waiting, the rest is told to come again."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeVar

from pinflow.errors import BusyError

T = TypeVar("T")


class Gate:
    """Explanations take seconds of all cores; searches must not wait behind a queue of them."""

    def __init__(self, at_once: int = 1, waiting: int = 4) -> None:
        self._places = threading.BoundedSemaphore(at_once + waiting)
        self._running = threading.Semaphore(at_once)

    def __call__(self, work: Callable[[], T]) -> T:
        """What `work` returns. Raises `BusyError` where too many wait already."""
        if not self._places.acquire(blocking=False):
            raise BusyError("several explanations are being made already")
        try:
            with self._running:
                return work()
        finally:
            self._places.release()
