"""One index in a process of its own: it is built, and then measured as often as it is told to, line by line.

Queries a second count processor time of one thread, so that what else the machine does disturbs little.
"""

from __future__ import annotations

import gc
import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.search_peers import PEERS

Floats = npt.NDArray[np.float32]
Rows = npt.NDArray[np.int64]
K = 10
SECONDS = 0.4  # processor time of one measurement
TUNED_ON = 300  # queries that an effort is chosen on
SLOWEST = 4.0  # processor seconds for the recall of one effort; a slow one is judged on fewer queries


class Pinflow:
    """It tunes itself; there is no effort to choose. Mapped from a file, as serving does it."""

    efforts = (0,)

    def __init__(self, vectors: Floats) -> None:
        from pinflow.retrieval.index import Index, build

        made = build(vectors)
        self._folder = tempfile.TemporaryDirectory()
        file = Path(self._folder.name) / "index.faiss"
        data = file.write_bytes(made.to_bytes())
        self.index = Index.open(file, made.meta, vectors)
        self.about = {name: getattr(made, name) for name in ("kind", "nprobe", "rerank", "recall")}
        self.about["file_mb"] = data / 1e6

    def searcher(self, effort: int) -> Callable[[Floats, int], Rows]:  # noqa: ARG002
        return lambda queries, k: self.index.search(queries, k)[1]

    def filtered(self, effort: int, allowed: npt.NDArray[np.bool_]) -> Callable[[Floats, int], Rows]:  # noqa: ARG002
        from pinflow.retrieval.selection import Selection

        selection = Selection(allowed)
        return lambda queries, k: self.index.search(queries, k, selection)[1]


class Measured:
    """An index over `vectors.npy` of a folder, that also holds `queries.npy`, and for each filter the mask
    and the scores of the tenth-best rows."""

    def __init__(self, engine: str, folder: Path) -> None:
        self._folder = folder
        self._vectors = np.load(folder / "vectors.npy", mmap_mode="r")
        self._queries = np.load(folder / "queries.npy")
        held, before = _anonymous(), time.process_time()
        self._engine: Any = {**PEERS, "pinflow": Pinflow}[engine](self._vectors)
        gc.collect()
        self.built = {
            "build_cpu_s": time.process_time() - before,
            "memory_mb": (_anonymous() - held) / 1024,
            **getattr(self._engine, "about", {}),
        }

    def tune(self, filtered: str | None, goal: float) -> dict[str, float]:
        """The least effort that finds `goal` of the truth, else the largest; and what it finds."""
        efforts = [one for one in self._engine.efforts if one <= len(self._vectors)]
        found, low, high = {}, 0, len(efforts) - 1
        while low < high:  # more effort never finds less
            middle = (low + high) // 2
            found[middle] = self._recall(filtered, efforts[middle])
            low, high = (low, middle) if found[middle] >= goal else (middle + 1, high)
        recall = found[low] if low in found else self._recall(filtered, efforts[low])
        return {"effort": efforts[low], "recall": recall}

    def time(self, filtered: str | None, effort: int, batch: bool) -> float:
        """Queries a second."""
        search, queries, answered = self._search(filtered, effort), self._queries, 0
        search(queries[:1], K)
        started = time.process_time()
        while (spent := time.process_time() - started) < SECONDS:
            if batch:
                search(queries, K)
                answered += len(queries)
            else:
                at = answered % len(queries)
                search(queries[at : at + 1], K)
                answered += 1
        return answered / spent

    def _recall(self, filtered: str | None, effort: int) -> float:
        search, found = self._search(filtered, effort), []
        queries = self._queries[:TUNED_ON]
        kth = np.load(self._folder / f"kth-{filtered or 'all'}.npy")
        started = time.process_time()
        for query, least in zip(queries, kth, strict=False):
            rows = search(query[None], K)[0]
            scores = self._vectors[rows[rows >= 0]] @ query
            found.append(min(K, int((scores >= least - 1e-5).sum())) / K)
            if time.process_time() - started > SLOWEST:
                break
        return float(np.mean(found))

    def _search(self, filtered: str | None, effort: int) -> Callable[[Floats, int], Rows]:
        if filtered is None:
            return self._engine.searcher(effort)
        return self._engine.filtered(effort, np.load(self._folder / f"mask-{filtered}.npy"))


def _anonymous() -> int:
    """KB of memory that this process alone holds, mapped files left out."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("RssAnon"))


def main() -> None:
    engine, folder = sys.argv[1], Path(sys.argv[2])
    measured = Measured(engine, folder)
    print(json.dumps(measured.built), flush=True)
    for line in sys.stdin:
        asked = json.loads(line)
        what = asked.pop("do")
        print(json.dumps({"tune": measured.tune, "time": measured.time}[what](**asked)), flush=True)


if __name__ == "__main__":
    main()
