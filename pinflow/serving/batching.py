"""Micro-batching: requests that come together are encoded together.

Whoever asks while fewer passes run than may at once encodes, in its own thread, its share of what waits; who
comes later waits for that, or to go next. So nobody waits for company: a request alone goes through at once,
and the batch grows with the load. A GPU has one pass at a time, which takes all; a CPU has one on each core.
Only so many wait; beyond that the answer is 503.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, field
from functools import partial
from typing import Generic, TypeVar, get_args

import numpy as np

from pinflow.errors import BusyError
from pinflow.learning.stages import Reads
from pinflow.retrieval.encoding import Trunk
from pinflow.retrieval.index import Floats
from pinflow.retrieval.words import Sentences

T = TypeVar("T")

MOST = 16  # items a pass: the last would wait for all
WAITING = 128  # requests


@dataclass(frozen=True, eq=False)
class _Asked(Generic[T]):
    items: Sequence[T]
    answer: Future[Floats] = field(default_factory=Future)
    turn: threading.Event = field(default_factory=threading.Event)  # the answer is there, or it goes next


class Batcher(Generic[T]):
    """`encode`, n items -> float32 (n, d), for many callers; at most `at_once` passes run at a time."""

    def __init__(
        self,
        encode: Callable[[Sequence[T]], Floats],
        *,
        most: int = MOST,
        waiting: int = WAITING,
        at_once: int = 1,
    ) -> None:
        self._encode = encode
        self._most = most
        self._waiting = waiting
        self._at_once = at_once
        self._free = at_once  # while it is more than none, nobody waits
        self._line: deque[_Asked[T]] = deque()
        self._lock = threading.Lock()

    def __call__(self, items: Sequence[T]) -> Floats:
        """float32 (n, d). Raises `BusyError` where too many wait, and what `encode` raises."""
        if not items:
            return self._encode(items)
        asked = _Asked(items)
        with self._lock:
            goes = self._free > 0
            if goes:
                self._free -= 1
            elif len(self._line) >= self._waiting:
                raise BusyError("more pictures and words are asked for than can be encoded in time")
            else:
                self._line.append(asked)
        if not goes:
            asked.turn.wait()
        if not asked.answer.done():
            self._pass(asked)
        return asked.answer.result()

    def _pass(self, first: _Asked[T]) -> None:
        """Answer `first` and its share of who waits; then whoever is next in line goes."""
        try:
            self._answer(self._share(first))
        finally:
            with self._lock:
                if self._line:
                    self._line.popleft().turn.set()
                else:
                    self._free += 1

    def _share(self, first: _Asked[T]) -> list[_Asked[T]]:
        """What goes into one pass: at least `first`, else up to `most` items, and no more than leaves the
        other passes theirs."""
        batch, size = [first], len(first.items)
        with self._lock:
            for _ in range(-(-len(self._line) // self._at_once)):
                size += len(self._line[0].items)
                if size > self._most:
                    break
                batch.append(self._line.popleft())
        return batch

    def _answer(self, batch: list[_Asked[T]]) -> None:
        try:
            found = self._encode([item for one in batch for item in one.items])
            parts = np.split(found, np.cumsum([len(one.items) for one in batch])[:-1])
        except BaseException as error:  # noqa: BLE001 - whoever asked is told, and nobody waits forever
            if len(batch) == 1:
                batch[0].answer.set_exception(error)
            else:  # whose fault it was, nobody else should pay for
                for one in batch:
                    self._answer([one])
        else:
            for one, part in zip(batch, parts, strict=True):
                one.answer.set_result(part)
        for one in batch:
            one.turn.set()


class BatchedTrunk:
    """A trunk whose callers share its passes."""

    def __init__(self, trunk: Trunk, **options: int) -> None:
        self.digest = trunk.digest
        self._batchers: dict[Reads, Batcher[bytes]] = {
            reads: Batcher(partial(trunk.encode, reads=reads), **options) for reads in get_args(Reads)
        }

    def encode(self, pictures: Sequence[bytes], reads: Reads = "last") -> Floats:
        """As `Trunk.encode`. Raises `BusyError` too."""
        return np.asarray(self._batchers[reads](pictures))


class BatchedSentences:
    """A sentence encoder whose callers share its passes."""

    def __init__(self, sentences: Sentences, **options: int) -> None:
        self._batcher: Batcher[str] = Batcher(sentences.encode, **options)

    def encode(self, texts: Sequence[str]) -> Floats:
        """As `Sentences.encode`. Raises `BusyError` too."""
        return np.asarray(self._batcher(texts))
