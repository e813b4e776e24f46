"""clip-retrieval's backend for the serving benchmark, in a python of its own, and both asked by vector.

Its CLIP is never asked: `embedding_input` needs none, and its weights come from the web, so the loader is
replaced. Everything else is its own: Flask, the index through faiss, metadata from parquet.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

ASKED = 300
LIMIT = 20
WIDTH = 1280
SECONDS = 240.0  # torch and what comes with it are read first

_START = """
import importlib, sys
import all_clip
all_clip.load_clip = lambda *_, **__: (None, None, None)
module = importlib.import_module("clip_retrieval.clip_back")  # its package calls a function by that name
module.clip_back(indices_paths=sys.argv[1], port=int(sys.argv[2]), enable_faiss_memory_mapping=True,
                 enable_mclip_option=False, provide_aesthetic_embeddings=False)
"""


def ask_pinflow(url: str, pins: int) -> list[float]:
    """Milliseconds of each answer, one after another."""
    return _asked(url, pins, lambda vector: {"positive": [{"vector": vector}], "limit": LIMIT})


def ask_clip_back(url: str, pins: int) -> list[float]:
    """The same of clip-retrieval's."""

    def body(vector: list[float]) -> dict[str, Any]:
        return {
            "embedding_input": vector,
            "modality": "image",
            "num_images": LIMIT,
            "num_result_ids": LIMIT,
            "indice_name": "bench",
        }

    return _asked(url, pins, body)


@contextmanager
def running(python: str, folder: Path, pins: int) -> Iterator[str]:
    """Its address. Raises `RuntimeError` where it does not start."""
    _write(python, folder, pins)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = (folder / "log").open("wb")
    command = [python, "-W", "ignore", "-c", _START, str(folder / "indices.json"), str(port)]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, env=environment)
    try:
        until = time.monotonic() + SECONDS
        while not _listens(port):
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError((folder / "log").read_text(errors="replace")[-800:])
            time.sleep(0.2)
        yield f"http://127.0.0.1:{port}/knn-service"
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def _write(python: str, folder: Path, pins: int) -> None:
    """An exact index, as pinflow's is at this size, and the metadata that it hydrates results from."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from benchmarks.serving_release import vectors

    home = folder / "bench"
    (home / "metadata").mkdir(parents=True)
    np.save(home / "vectors.npy", vectors(pins, WIDTH))
    made = (
        "import sys, numpy, faiss; v = numpy.load(sys.argv[1]); i = faiss.IndexFlatIP(v.shape[1]); i.add(v); "
        "faiss.write_index(i, sys.argv[2])"
    )
    command = [python, "-c", made, str(home / "vectors.npy"), str(home / "image.index")]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(done.stderr[-500:])
    rows = {
        "image_path": [f"p{number}" for number in range(pins)],
        "caption": ["words"] * pins,
        "url": [f"https://example.com/{number}" for number in range(pins)],
    }
    pq.write_table(pa.table(rows), home / "metadata" / "metadata_0.parquet")
    (folder / "indices.json").write_text(json.dumps({"bench": str(home)}))


def _asked(url: str, pins: int, body: Any) -> list[float]:
    from benchmarks.serving_release import vectors

    queries = vectors(pins, WIDTH)[:: max(1, pins // ASKED)]
    found = []
    for number, vector in enumerate(queries):
        data = json.dumps(body(vector.tolist())).encode()
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        started = time.perf_counter()
        with urllib.request.urlopen(request, timeout=60) as response:
            answer = json.loads(response.read())
        found.append((time.perf_counter() - started) * 1000)
        results = answer["results"] if isinstance(answer, dict) else answer
        assert len(results) == LIMIT, f"request {number}: {len(results)} results"
    return found[20:]


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    sys.exit("run benchmarks.serving")
