"""Engines: what runs a trunk's network. The same pixels give the same vectors on each, within `TOLERANCE`.

torch runs anything at once. On a CPU, ONNX Runtime is four times as fast, but the network has to be
written out first, which takes as long as some two hundred pictures: so that is done when so many have been
asked for, and kept on the disk. (OpenVINO is as fast as ONNX Runtime, three times its size, and reports
every import to its makers; on processors that have bfloat16 it uses it unless told not to.)
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from pinflow.learning.devices import Plan, plan
from pinflow.learning.onnx import Session, normalisation, to_onnx
from pinflow.whole import write_whole

if TYPE_CHECKING:
    import torch

    from pinflow.learning.weights import Preprocess

log = logging.getLogger(__name__)

Pixels = npt.NDArray[np.uint8]
Vectors = npt.NDArray[np.float32]

# Cosine between two engines' vectors of a picture, at least. bfloat16 would miss it (0.995).
TOLERANCE = 0.9995
PROBES = 4  # pictures on which a new engine is compared with torch
LAYOUT = 2  # raised whenever the files that are kept would be written differently
# Pixels in a batch: ONNX Runtime takes as long for one as for four at once, torch likes 16 pictures of
# 224 px on a CPU (they fill its caches) and 256 on a GPU.
_ONNX, _CPU, _GPU = (pictures * 224 * 224 for pictures in (4, 16, 256))


@dataclass(frozen=True)
class Engine:
    """`run`: uint8 (n, size, size, 3) -> float32 (n, width), n at most `batch`."""

    name: str
    run: Callable[[Pixels], Vectors]
    batch: int  # pictures
    threads: int = 1  # callers that may run at once


def torch_engine(model: torch.nn.Module, preprocess: Preprocess, device: str) -> Engine:
    """The network by torch, on `device`: float32, and float16 on a GPU, which is twice as fast there."""
    how = plan(device)
    run = _on_device(how.prepare(model.eval()), preprocess, how)
    return Engine("torch", run, _fitting(_CPU if device == "cpu" else _GPU, preprocess))


def _on_device(model: torch.nn.Module, preprocess: Preprocess, how: Plan) -> Callable[[Pixels], Vectors]:
    import torch

    first = normalisation(preprocess).to(how.device)
    half = how.precision != "float32"

    def run(pixels: Pixels) -> Vectors:
        with torch.inference_mode():
            batch = first(torch.from_numpy(pixels).to(how.device))
            with how.autocast():
                vectors = model(batch).float()
            if half and not bool(torch.isfinite(vectors).all()):  # beyond 65504: a few networks go there
                vectors = model(batch).float()
        found: Vectors = vectors.cpu().numpy()
        return found

    return run


def onnx_engine(
    model: torch.nn.Module, preprocess: Preprocess, *, digest: str, folder: Path | None, reference: Engine
) -> Engine | None:
    """The network by ONNX Runtime, from the file in `folder` or written now (and kept there, if there is
    room). None, and a warning, where it cannot be had or differs from `reference`."""
    try:
        # A file that was kept was compared when it was written.
        if engine := kept_engine(preprocess, digest=digest, folder=folder):
            return engine
        data = to_onnx(model, preprocess)
        engine = _engine(data, preprocess)
        least = _agreement(engine, reference, preprocess)
    except Exception as error:  # noqa: BLE001 whatever an exporter says of a network: torch can run it
        log.warning(
            "ONNX Runtime cannot run this trunk (%s: %.200s): torch does", type(error).__name__, error
        )
        return None
    if least < TOLERANCE:
        log.warning("ONNX Runtime disagrees with torch about this trunk (cosine %.4f): torch runs it", least)
        return None
    if folder:
        _keep(data, _path(folder, digest))
    return engine


def kept_engine(preprocess: Preprocess, *, digest: str, folder: Path | None) -> Engine | None:
    """The engine of a file that was kept, None where there is none. A damaged one is removed."""
    path = _path(folder, digest) if folder else None
    if path is None or not path.is_file():
        return None
    try:
        return _engine(path.read_bytes(), preprocess)
    except Exception as error:  # noqa: BLE001 ONNX Runtime's errors have no common base
        log.warning("%s is damaged and is removed (%.200s)", path, error)
        path.unlink(missing_ok=True)
        return None


def cores() -> int:
    """Processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _engine(data: bytes, preprocess: Preprocess) -> Engine:
    return Engine("onnxruntime", Session(data), _fitting(_ONNX, preprocess), threads=cores())


def _fitting(pixels: int, preprocess: Preprocess) -> int:
    return max(1, pixels // preprocess.size**2)


def _agreement(one: Engine, other: Engine, preprocess: Preprocess) -> float:
    """The least cosine between two engines' vectors of a few made-up pictures."""
    rng = np.random.default_rng(0)
    shape = (PROBES, preprocess.size, preprocess.size, 3)
    probes = rng.integers(0, 256, shape, dtype=np.uint8)
    probes[0] = 255
    a, b = (np.concatenate([engine.run(probes[i : i + 1]) for i in range(PROBES)]) for engine in (one, other))
    length = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float((np.sum(a * b, axis=1) / np.maximum(length, np.finfo(np.float32).tiny)).min())


def _path(folder: Path, digest: str) -> Path:
    return folder / f"{digest[:32]}-{LAYOUT}.onnx"


def _keep(data: bytes, path: Path) -> None:
    """Whole or not at all. Without room for it, the next process writes it again."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, data)
    except OSError as error:
        log.warning("no room to keep the trunk for ONNX Runtime (%s): it is written anew each time", error)
