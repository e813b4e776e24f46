"""Nearest neighbours against the indexes that others use, at equal recall, in one run.

- unfiltered: queries a second, one by one and in batches of a thousand, at recall@10 of at least 0.95;
- filtered: the same where one row in ten, in a hundred, in a thousand may be returned, at recall@10 of 0.99;
  one in ten also at the recall that pinflow has there, which is more;
- what building costs, and the memory that an index holds beside the vectors.

Three sets: `apart` and `overlapping`, drawn (1,000 centres in a latent space of 32 and 48 dimensions, noise
of 0.6 and 1.5, a random map to the width, 100,000 rows; the first is the easy kind), and `sample`, the
pictures of the sample collections through the default trunk. Peers get, for each question, the least
effort that reaches the recall on the very queries that are timed; pinflow has tuned itself on rows of its
own. Everyone builds beside the others, in processor seconds, and then answers alone, in turn and on one
thread, several rounds, of which the best counts.

`--quick`: one drawn set, smaller, one round. `--large`: 1,000,000 x 512, pinflow and an exact scan alone.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks.report import finish, record
from benchmarks.search_measure import K, Pinflow
from benchmarks.search_peers import PACKAGES, PEERS, install

Floats = npt.NDArray[np.float32]
SETS = {"apart": (32, 0.6, 7), "overlapping": (48, 1.5, 11)}  # latent dimensions, noise, seed
SHARES = {"10%": 0.1, "1%": 0.01, "0.1%": 0.001}
RECALL, FILTERED_RECALL = 0.95, 0.99
QUERIES, CENTRES = 1000, 1000
ROUNDS = 2
IN_PEERS_ENVIRONMENT = ("hnswlib", "usearch")
BLOCK = 50_000  # rows that are drawn at once


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--large", action="store_true")
    given = arguments.parse_args()
    home = Path(os.environ.get("PINFLOW_HOME", ".pinflow")).absolute() / "bench"
    started = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="search-") as folder:
        if given.large:
            ratios, figures = {}, large(Path(folder))
        else:
            python = install(home / "search-peers")
            ratios, figures = compared(Path(folder), python, home, quick=given.quick)
    seconds = time.perf_counter() - started
    name = "search-large" if given.large else "search"
    line = finish(name, ratios, figures, quick=given.quick, seconds=seconds, threads=1, peers=PACKAGES)
    if not given.quick:
        record(line, "python -m benchmarks.search" + (" --large" if given.large else ""))


def compared(
    folder: Path, python: Path, home: Path, *, quick: bool
) -> tuple[dict[str, float], dict[str, Any]]:
    n, d, rounds = (60_000, 64, 1) if quick else (100_000, 256, ROUNDS)
    figures: dict[str, Any] = {}
    for name in ["overlapping"] if quick else [*SETS, "sample"]:
        home_of = folder / name
        home_of.mkdir()
        if name == "sample":
            _lay_out(home_of, *_sample(home))
        else:
            _lay_out(home_of, *drawn(*SETS[name], n=n, d=d))
        for engine, found in _measured(home_of, python, rounds).items():
            figures |= {f"{name}: {engine}: {what}": value for what, value in found.items()}
    ratios, each = _ratios(figures)
    return ratios, each | figures


def drawn(
    latent: int, noise: float, seed: int, *, n: int, d: int, into: Path | None = None
) -> tuple[Floats, Floats]:
    """Unit vectors (n, d) and queries like them (`QUERIES`, d); `into`: a file that holds the vectors."""
    rng = np.random.default_rng(seed)
    centres, onto = rng.standard_normal((CENTRES, latent)), rng.standard_normal((latent, d))
    shape = (n + QUERIES, d)
    vectors: Any = (
        np.empty(shape, np.float32)
        if into is None
        else np.lib.format.open_memmap(into, "w+", np.float32, shape)
    )
    for start in range(0, len(vectors), BLOCK):
        m = min(BLOCK, len(vectors) - start)
        points = centres[rng.integers(0, CENTRES, m)] + noise * rng.standard_normal((m, latent))
        block = points @ onto + 0.05 * rng.standard_normal((m, d))
        vectors[start : start + m] = block / np.linalg.norm(block, axis=1, keepdims=True)
    return vectors[:n], vectors[n:]


def _sample(home: Path) -> tuple[Floats, Floats]:
    """Every fifth picture of the sample collections asks, the others are found."""
    known = home / "search-sample.npy"
    if not known.is_file():
        from pinflow.imaging.derivatives import derive
        from pinflow.learning.trunk import load_trunk
        from pinflow.sample.fetch import fetch

        samples = fetch(home.parent / "sample")
        paths = [each.path(row) for each in (samples.market, samples.shop) for row in each.rows]
        features = load_trunk("tf_efficientnet_lite0").encode([derive(p.read_bytes()).jpeg for p in paths])
        np.save(known, features / np.linalg.norm(features, axis=1, keepdims=True))
    vectors = np.load(known).astype(np.float32)
    asking = np.arange(len(vectors)) % 5 == 0
    return np.ascontiguousarray(vectors[~asking]), np.ascontiguousarray(vectors[asking])


def _lay_out(folder: Path, vectors: Floats, queries: Floats) -> None:
    """The files that `search_measure` reads; the truth by comparing everything."""
    np.save(folder / "vectors.npy", vectors)
    np.save(folder / "queries.npy", queries)
    scores = queries @ vectors.T
    rng = np.random.default_rng(0)
    filters = {name: rng.random(len(vectors)) < share for name, share in SHARES.items()}
    for name, mask in {"all": np.ones(len(vectors), bool), **filters}.items():
        if mask.sum() < K:
            continue
        np.save(folder / f"mask-{name}.npy", mask)
        np.save(folder / f"kth-{name}.npy", np.partition(scores[:, mask], -K, axis=1)[:, -K])


class _Child:
    """An engine in its process."""

    def __init__(self, engine: str, folder: Path, python: Path) -> None:
        chosen = python if engine in IN_PEERS_ENVIRONMENT else Path(sys.executable)
        line = [str(chosen), "-m", "benchmarks.search_measure", engine, str(folder)]
        threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        self._process = subprocess.Popen(
            line, env={**os.environ, **threads}, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def ask(self, **what: Any) -> None:
        """It begins to work on it; `answer` waits for what comes of it."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(what) + "\n")
        self._process.stdin.flush()

    def end(self) -> None:
        assert self._process.stdin is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)

    def answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self._process.args} ended with {self._process.wait()}")
        return json.loads(line)


def _measured(folder: Path, python: Path, rounds: int) -> dict[str, dict[str, Any]]:
    children = {engine: _Child(engine, folder, python) for engine in ("pinflow", *PEERS)}
    figures: dict[str, dict[str, Any]] = {engine: child.answer() for engine, child in children.items()}
    questions = [None, *(name for name in SHARES if (folder / f"mask-{name}.npy").is_file())]
    for question in questions:
        goal, tag = (RECALL, "all") if question is None else (FILTERED_RECALL, question)
        _answered(children, figures, tag, question, goal, rounds)
        if question == "10%":
            equal = figures["pinflow"][f"{tag}: recall@10"]
            _answered(children, figures, "10% at equal recall", question, equal, rounds)
    for child in children.values():
        child.end()
    return figures


def _answered(
    children: dict[str, _Child],
    figures: dict[str, dict[str, Any]],
    tag: str,
    question: str | None,
    goal: float,
    rounds: int,
) -> None:
    """Add, by engine, the effort that reaches the goal, and the queries a second at it."""
    for child in children.values():
        child.ask(do="tune", filtered=question, goal=goal)
    tuned = {engine: child.answer() for engine, child in children.items()}
    for engine, found in tuned.items():
        figures[engine] |= {f"{tag}: effort": found["effort"], f"{tag}: recall@10": found["recall"]}
    for _ in range(rounds):
        for engine, child in children.items():
            for batch, how in ((False, "one by one"), (True, "batch")):
                key = f"{tag}: {how}, queries/s"
                child.ask(do="time", filtered=question, effort=tuned[engine]["effort"], batch=batch)
                figures[engine][key] = max(figures[engine].get(key, 0.0), child.answer())


def _ratios(figures: dict[str, Any]) -> tuple[dict[str, float], dict[str, float]]:
    """pinflow's queries a second over each peer's: the least of those without a filter on the drawn sets, of
    those with one, and of the sample, where a few hundred rows are scanned; and every single one."""
    ratios: dict[str, float] = {}
    each: dict[str, float] = {}
    for key, mine in figures.items():
        if ": pinflow: " not in key or not key.endswith("queries/s"):
            continue
        of_set, what = key.split(": pinflow: ")
        kind = ", sample" if of_set == "sample" else "" if what.startswith("all") else ", filtered"
        for peer in PEERS:
            ratio = mine / figures[f"{of_set}: {peer}: {what}"]
            each[f"{of_set}: {what}: pinflow / {peer}"] = ratio
            ratios[peer + kind] = min(ratio, ratios.get(peer + kind, np.inf))
    return dict(sorted(ratios.items())), each


def large(folder: Path) -> dict[str, Any]:
    """A million rows: pinflow's index, and an exact scan of single queries beside it."""
    vectors, queries = drawn(*SETS["overlapping"], n=1_000_000, d=512, into=folder / "vectors.npy")
    started, spent = time.perf_counter(), time.process_time()
    engine = Pinflow(vectors)
    figures: dict[str, Any] = {
        "build_wall_s": time.perf_counter() - started,
        "build_cpu_s": time.process_time() - spent,
        **engine.about,
    }
    index = engine.index
    figures |= {"recalls": dict(index.recalls)}
    few = np.ascontiguousarray(queries[:100])
    truth = np.zeros((len(few), K), np.float32)
    for start in range(0, len(vectors), BLOCK):
        both = np.hstack([truth, few @ vectors[start : start + BLOCK].T])
        truth = np.partition(both, -K, axis=1)[:, -K:]
    figures["all: recall@10"] = float((index.search(few, K)[0] >= truth.min(1)[:, None] - 1e-5).mean())
    figures["all: one by one, queries/s"] = _rate(lambda q: index.search(q, K), few)
    figures["exact: one by one, queries/s"] = _rate(lambda q: np.argpartition(vectors @ q[0], -K), few[:3])
    return figures


def _rate(search: Any, queries: Floats) -> float:
    started = time.process_time()
    for number in range(len(queries)):
        search(queries[number : number + 1])
    return len(queries) / (time.process_time() - started)


if __name__ == "__main__":
    main()
