"""Micro-batching: requests that come together are encoded together.

One worker takes whatever waits as soon as it is free, so that nobody waits for company: a request alone goes
through at once, and the batch grows with the load. The queue is bounded; beyond it the answer is 503.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Generic, TypeVar, get_args

import numpy as np

from pinflow.errors import BusyError
from pinflow.learning.stages import Reads
from pinflow.retrieval.encoding import Trunk
from pinflow.retrieval.index import Floats
from pinflow.retrieval.words import Sentences

T = TypeVar("T")

MOST = 16  # pictures a call: beyond it a CPU gains nothing, and the last would wait for all
WAITING = 128  # requests


@dataclass(frozen=True, eq=False)
class _Asked(Generic[T]):
    items: Sequence[T]
    answer: Future[Floats]


class Batcher(Generic[T]):
    """`encode` for many callers at once. `encode`: n items -> float32 (n, d)."""

    def __init__(
        self, encode: Callable[[Sequence[T]], Floats], *, most: int = MOST, waiting: int = WAITING
    ) -> None:
        self._encode = encode
        self._most = most
        self._queue: queue.Queue[_Asked[T]] = queue.Queue(waiting)
        self._started = threading.Lock()
        self._worker: threading.Thread | None = None
        self._left: _Asked[T] | None = None  # what did not fit into the last batch

    def __call__(self, items: Sequence[T]) -> Floats:
        """float32 (n, d). Raises `BusyError` where the queue is full, and what `encode` raises."""
        if not items:
            return self._encode(items)
        asked = _Asked(items, Future())
        try:
            self._queue.put_nowait(asked)
        except queue.Full:
            raise BusyError("more pictures and words are asked for than can be encoded in time") from None
        with self._started:
            if self._worker is None:
                self._worker = threading.Thread(target=self._work, name="batches", daemon=True)
                self._worker.start()
        return asked.answer.result()

    def _work(self) -> None:
        while True:
            batch = self._next()
            try:
                found = self._encode([item for one in batch for item in one.items])
            except Exception as error:  # noqa: BLE001 - the worker must outlive any picture
                if len(batch) == 1:
                    batch[0].answer.set_exception(error)
                else:
                    self._one_by_one(batch)  # whose fault it was, nobody else should pay for
                continue
            start = 0
            for one in batch:
                one.answer.set_result(found[start : start + len(one.items)])
                start += len(one.items)

    def _one_by_one(self, batch: list[_Asked[T]]) -> None:
        for one in batch:
            try:
                one.answer.set_result(self._encode(one.items))
            except Exception as error:  # noqa: BLE001 - as above
                one.answer.set_exception(error)

    def _next(self) -> list[_Asked[T]]:
        """Everything that waits, up to `most` items; at least one request."""
        first, self._left = self._left or self._queue.get(), None
        batch, size = [first], len(first.items)
        while size < self._most:
            try:
                one = self._queue.get_nowait()
            except queue.Empty:
                break
            if size + len(one.items) > self._most:
                self._left = one
                break
            batch.append(one)
            size += len(one.items)
        return batch


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
