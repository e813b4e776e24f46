"""Requests that come together are encoded together, and each gets its own."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from pinflow.errors import BusyError
from pinflow.serving.batching import BatchedTrunk, Batcher
from pinflow.serving.gate import Gate
from pinflow_tests.retrieval.releases import GridTrunk, drawing


class Slow:
    """Lengths of words, slowly; `sizes` are those of the batches."""

    def __init__(self, seconds=0.05):
        self.seconds, self.sizes = seconds, []

    def __call__(self, items):
        self.sizes.append(len(items))
        time.sleep(self.seconds)
        if "bad" in items:
            raise ValueError("bad")
        return np.array([[len(one)] for one in items], np.float32)


def test_callers_share_passes_and_each_gets_its_own():
    slow = Slow()
    batcher = Batcher(slow, most=8)
    words = ["x" * n for n in range(1, 25)]
    with ThreadPoolExecutor(24) as pool:
        found = list(pool.map(lambda word: batcher([word, word + "!"]), words))
    assert [one.tolist() for one in found] == [[[n], [n + 1]] for n in range(1, 25)]
    assert max(slow.sizes) == 8
    assert len(slow.sizes) < 12


def test_passes_share_what_waits():
    slow, gate, running = Slow(), threading.Event(), []

    def encode(items):
        running.append(len(items))
        gate.wait(5)
        return slow(items)

    batcher = Batcher(encode, most=16, at_once=2)
    with ThreadPoolExecutor(14) as pool:
        asked = [pool.submit(batcher, ["a"]) for _ in range(14)]
        while len(running) < 2:
            time.sleep(0.001)
        time.sleep(0.05)  # the others wait in line
        gate.set()
        assert [one.result().tolist() for one in asked] == [[[1]]] * 14
    assert sum(running[:2]) <= 4, "both work at once, on what was there"
    assert max(running) <= 8, "none takes all while another core has nothing to do"


def test_nobody_waits_for_company():
    slow = Slow(0)
    batcher = Batcher(slow)
    batcher(["warm"])
    started = time.perf_counter()
    for _ in range(50):
        batcher(["alone"])
    assert (time.perf_counter() - started) / 50 < 0.005


def test_more_than_a_batch_in_one_request_goes_alone():
    slow = Slow(0)
    assert Batcher(slow, most=4)(["a"] * 9).shape == (9, 1)
    assert slow.sizes == [9]


def test_one_bad_item_fails_alone():
    batcher = Batcher(Slow())

    def ask(word):
        try:
            return batcher([word]).tolist()
        except ValueError as error:
            return str(error)

    with ThreadPoolExecutor(6) as pool:
        assert list(pool.map(ask, ["a", "bb", "bad", "dddd", "e", "f"])) == [
            [[1]],
            [[2]],
            "bad",
            [[4]],
            [[1]],
            [[1]],
        ]


def test_nobody_waits_for_a_pass_that_broke():
    class Broken(BaseException):
        """As pyo3's panics."""

    def encode(items):
        time.sleep(0.05)
        raise Broken

    def ask(_):
        try:
            batcher(["a"])
        except Broken:
            return "told"

    batcher = Batcher(encode)
    with ThreadPoolExecutor(5) as pool:
        assert list(pool.map(ask, range(5), timeout=10)) == ["told"] * 5


def test_a_full_queue_refuses_at_once():
    batcher = Batcher(Slow(0.3), most=1, waiting=2)
    with ThreadPoolExecutor(8) as pool:
        started = time.perf_counter()
        outcomes = list(pool.map(lambda _: _outcome(lambda: batcher(["a"])), range(8)))
    assert outcomes.count("busy") >= 4
    assert outcomes.count("done") >= 3
    assert time.perf_counter() - started < 2


def _outcome(work):
    try:
        work()
    except BusyError:
        return "busy"
    return "done"


def test_a_batched_trunk_gives_the_same_vectors():
    trunk = GridTrunk()
    pictures = [drawing(colour, "bar") for colour in ("red", "green", "blue")]
    batched = BatchedTrunk(trunk)
    assert batched.digest == trunk.digest
    assert batched.encode(pictures) == pytest.approx(GridTrunk().encode(pictures))
    assert trunk.calls == 1


def test_a_gate_lets_a_few_through_and_refuses_the_rest():
    gate, release = Gate(at_once=1, waiting=1), threading.Event()
    with ThreadPoolExecutor(5) as pool:
        waiting = [pool.submit(_outcome, lambda: gate(release.wait)) for _ in range(5)]
        time.sleep(0.1)
        release.set()
        assert sorted(one.result() for one in waiting) == ["busy"] * 3 + ["done"] * 2
    assert gate(lambda: 7) == 7
