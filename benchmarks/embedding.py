"""Embedding speed on a CPU: JPEG files of 736 x 1104 px -> vectors of `tf_efficientnet_lite0`.

The peer `plain` is what one writes first: a torch DataLoader with two workers, Pillow, the network run
eagerly. Both make the same picture for the network (longest side 224, white square). `vs plain` is
seconds by the clock from the first file to the last vector, in fresh processes, in turn, the best of the
rounds; importing and loading weights, which both do alike, are apart. What the first process ever spends on
writing the network out for ONNX Runtime is in `first run`.

The vectors of both are compared, and what they find: the same category (of six) among photographs cut
from other originals, with 95% intervals by bootstrap over the originals. `--quick` takes 250 files, else
2,000, and memory is measured at a quarter of them and at all.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.photos import photos
from benchmarks.report import finish, record

TRUNK, SIZE = "tf_efficientnet_lite0", 224
WORKERS, BATCH, CHUNK = 2, 32, 256
RESAMPLES = 2000


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true")
    arguments.add_argument("--record", action="store_true", help="keep the figures of a full run")
    arguments.add_argument("--part", nargs=4, help=argparse.SUPPRESS)
    given = arguments.parse_args()
    if given.part:
        how, folder, out, count = given.part
        print(json.dumps(PARTS[how](Path(folder), Path(out), int(count))))
        return
    count, rounds = (250, 1) if given.quick else (2000, 2)
    home = Path(os.environ.get("PINFLOW_HOME", ".pinflow"))
    folder = photos(home, "large", count)
    with tempfile.TemporaryDirectory() as temporary:
        out = Path(temporary)
        first = _run("pinflow", folder, out, count)
        best: dict[str, Any] = {}
        for _ in range(rounds):
            for how in PARTS:
                told = _run(how, folder, out, count)
                if how not in best or told["seconds"] < best[how]["seconds"]:
                    best[how] = told
        few = _run("pinflow", folder, out / "few", count // 4)
        vectors = {how: np.load(out / f"{how}.npy") for how in PARTS}
    plain, ours, shards = best["plain"], best["pinflow"], best["curated"]
    figures = {
        **{f"{how}: pictures a second": count / told["seconds"] for how, told in best.items()},
        **{f"{how}: pictures a CPU-second": count / told["cpu"] for how, told in best.items()},
        "through curated shards vs plain": plain["seconds"] / shards["seconds"],
        "first run, loading and writing the network included, vs plain": (
            (plain["seconds"] + plain["loading"]) / (first["seconds"] + first["loading"])
        ),
        "peak memory, MB": ours["peak MB"],
        "peak memory at a quarter of the pictures, MB": few["peak MB"],
        "plain: peak memory with its workers, MB": plain["peak MB"],
        **_closeness(vectors["plain"], vectors["pinflow"], ""),
        **_closeness(vectors["plain"], vectors["curated"], "through shards: "),
        **_found(home, vectors),
        "pictures": count,
    }
    line = finish("embedding", {"plain": plain["seconds"] / ours["seconds"]}, figures, quick=given.quick)
    if given.record:
        record(line, "python -m benchmarks.embedding --record")


def _run(how: str, folder: Path, out: Path, count: int) -> dict[str, Any]:
    out.mkdir(exist_ok=True)
    line = [sys.executable, "-W", "ignore", "-m", "benchmarks.embedding", "--part", how, folder, out, count]
    done = subprocess.run([str(one) for one in line], check=True, stdout=subprocess.PIPE)
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def _closeness(plain: np.ndarray, other: np.ndarray, name: str) -> dict[str, float]:
    cosines = np.sum(_unit(plain) * _unit(other), axis=1)
    return {
        f"{name}cosine to plain's vectors, median": float(np.median(cosines)),
        f"{name}cosine to plain's vectors, 1st percentile": float(np.percentile(cosines, 1)),
    }


def _found(home: Path, vectors: dict[str, np.ndarray]) -> dict[str, Any]:
    """recall@1 of the category among cuts of *other* originals, and the differences, bootstrapped."""
    from pinflow.sample.samples import read

    rows = read(home / "sample").shop.rows
    count = len(vectors["plain"])
    # `photos` draws the original of picture n as the first choice of a generator seeded with n.
    original = np.array([random.Random(n).choice(range(len(rows))) for n in range(count)])
    category = np.array([rows[one].label for one in original])
    hits = {how: _hits(_unit(found), original, category) for how, found in vectors.items()}
    rng = np.random.default_rng(0)
    groups = [np.flatnonzero(original == one) for one in np.unique(original)]
    draws = [
        np.concatenate([groups[i] for i in rng.integers(0, len(groups), len(groups))])
        for _ in range(RESAMPLES)
    ]
    figures: dict[str, Any] = {}
    for how, hit in hits.items():
        figures[f"{how}: recall@1"] = _interval(hit, draws)
        if how != "plain":
            figures[f"{how}: recall@1 minus plain's"] = _interval(hit - hits["plain"], draws)
    return figures


def _hits(unit: np.ndarray, original: np.ndarray, category: np.ndarray) -> np.ndarray:
    similar = unit @ unit.T
    similar[original[:, None] == original] = -2
    return (category[similar.argmax(1)] == category).astype(float)


def _interval(values: np.ndarray, draws: list[np.ndarray]) -> str:
    low, high = np.percentile([values[draw].mean() for draw in draws], [2.5, 97.5])
    return f"{values.mean():.4f} [{low:.4f}, {high:.4f}]"


def _unit(vectors: np.ndarray) -> np.ndarray:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


# What runs in a process of its own


def _plain(folder: Path, out: Path, count: int) -> dict[str, float]:
    started = time.perf_counter()
    import torch
    from torch.utils.data import DataLoader

    from pinflow.learning.weights import load_model

    model = load_model(TRUNK)[0].eval()
    loaded, before = time.perf_counter(), _cpu()
    loader = DataLoader(Pictures(_files(folder, count)), batch_size=BATCH, num_workers=WORKERS)
    with torch.inference_mode():
        vectors = torch.cat([model(batch) for batch in loader]).numpy()
    seconds = time.perf_counter() - loaded
    np.save(out / "plain.npy", vectors)
    del loader
    return _told(started, loaded, before, seconds)


class Pictures:
    """A dataset as torch wants it: file n -> float32 (3, SIZE, SIZE), in -1..1."""

    def __init__(self, files: list[Path]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, number: int) -> Any:
        import torch
        from PIL import Image

        with Image.open(self.files[number]) as opened:
            picture = opened.convert("RGB")
        scale = SIZE / max(picture.size)
        width, height = round(picture.width * scale), round(picture.height * scale)
        square = Image.new("RGB", (SIZE, SIZE), "white")
        whole = picture.resize((width, height), Image.Resampling.BICUBIC)
        square.paste(whole, ((SIZE - width) // 2, (SIZE - height) // 2))
        return torch.from_numpy(np.array(square)).permute(2, 0, 1).float() / 127.5 - 1


def _pinflow(folder: Path, out: Path, count: int) -> dict[str, float]:
    """The files as they are, some hundred at a time; vectors go to a file, so that memory shows what
    the work needs and not what it made."""
    started = time.perf_counter()
    trunk = _trunk(folder)
    loaded, before = time.perf_counter(), _cpu()
    files = _files(folder, count)
    vectors = np.lib.format.open_memmap(
        out / "pinflow.npy", mode="w+", dtype=np.float32, shape=(count, trunk.width)
    )
    for start in range(0, count, CHUNK):
        part = [file.read_bytes() for file in files[start : start + CHUNK]]
        vectors[start : start + CHUNK] = trunk.encode(part)
        vectors.flush()
    return _told(started, loaded, before, time.perf_counter() - loaded)


def _curated(folder: Path, out: Path, count: int) -> dict[str, float]:
    """What the stages do: derivatives of 256 px in shards, and one pass over these."""
    from concurrent.futures import ThreadPoolExecutor

    import pyarrow as pa

    from pinflow import schema
    from pinflow.imaging.derivatives import derive
    from pinflow.learning.features import extract

    started = time.perf_counter()
    trunk = _trunk(folder)
    loaded, before = time.perf_counter(), _cpu()
    files = _files(folder, count)

    def shards() -> Iterator[pa.Table]:
        with ThreadPoolExecutor(WORKERS) as pool:
            for start in range(0, count, 1024):
                part = files[start : start + 1024]
                made = [*pool.map(lambda file: derive(file.read_bytes()).jpeg, part)]
                names = [file.name for file in part]
                yield pa.table([names, names, made], schema=schema.SHARD)

    vectors = schema.matrix(extract(shards(), trunk), "vector")
    seconds = time.perf_counter() - loaded
    np.save(out / "curated.npy", vectors)
    return _told(started, loaded, before, seconds)


def _trunk(folder: Path) -> Any:
    """The trunk, its engine made now if it was not kept: in every process but the first it is."""
    from pinflow.learning import trunk

    made = trunk.load_trunk(TRUNK, device="cpu", engines=folder.parent / "engines")
    made._engine_for(trunk.ENOUGH)
    assert made.engine == "onnxruntime"
    return made


def _files(folder: Path, count: int) -> list[Path]:
    return sorted(folder.glob("*.jpg"))[:count]


def _told(started: float, loaded: float, before: float, seconds: float) -> dict[str, float]:
    peak = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return {
        "loading": loaded - started,
        "seconds": seconds,
        "cpu": _cpu() - before,
        "peak MB": peak / 1024,
    }


def _cpu() -> float:
    """Processor seconds of this process and of the children that ended."""
    used = os.times()
    return used.user + used.system + used.children_user + used.children_system


PARTS: dict[str, Any] = {"plain": _plain, "pinflow": _pinflow, "curated": _curated}

if __name__ == "__main__":
    main()
