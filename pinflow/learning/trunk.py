"""Trunks: from a picture to one vector, by a network that somebody else trained.

Here belong the preprocessing and the way from bytes to vectors. Where the network comes from (`weights`),
what runs it (`engine`), what is done with the vectors (`head`) and where they are cached (`features`) does
not.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

import numpy as np

from pinflow.errors import CorruptError, PictureError, TrunkError
from pinflow.imaging.decode import decode
from pinflow.imaging.resize import resized
from pinflow.learning.engine import Engine, Pixels, Vectors, cores, kept_engine, onnx_engine, torch_engine
from pinflow.learning.stages import Reads, beside, staged
from pinflow.learning.weights import DEFAULT, Preprocess, load_model

if TYPE_CHECKING:
    import torch
    from PIL import Image

# Pictures of one process from which on a faster engine pays for being made: writing it takes 3 seconds of
# a core, and it saves 15 ms a picture (EfficientNet-Lite0; both grow with the network).
ENOUGH = 200
Made = TypeVar("Made")


class Seen(NamedTuple):
    """What a trunk makes of n pictures: its vectors (n, width), not normalised, and its stages (n, v)."""

    last: Vectors
    stages: Vectors


class Trunk:
    """A frozen network with its preprocessing. Make one with `load_trunk`. Safe to use from several threads.

    `digest` names the weights and the preprocessing, not what runs them: engines agree within
    `engine.TOLERANCE`, so that vectors of several may stand side by side.
    """

    def __init__(
        self,
        name: str,
        model: torch.nn.Module,
        preprocess: Preprocess,
        device: str,
        *,
        engines: Path | None = None,
    ) -> None:
        """`model` maps float32 (n, 3, size, size) to (n, width); `engines`: where faster ones are kept."""
        self.name = name
        self.preprocess = preprocess
        self.device = device
        self.digest = _digest(name, model, preprocess)
        shown = _shown(model, preprocess)
        self._engine = torch_engine(shown, preprocess, device)
        self._model: torch.nn.Module | None = shown
        self._engines = engines
        self._asked = 0
        self._lock = threading.Lock()
        blank = np.zeros((1, preprocess.size, preprocess.size, 3), dtype=np.uint8)
        total = int(self._engine.run(blank).shape[1])
        self.width = int(getattr(shown, "width", total))
        self.stages = total - self.width  # numbers of the inner stages, 0 for a network that hides them
        if device == "cpu" and (kept := kept_engine(preprocess, digest=self.digest, folder=engines)):
            self._engine, self._model = kept, None

    @property
    def engine(self) -> str:
        """What runs the network now: `torch` or `onnxruntime`."""
        return self._engine.name

    def take(self) -> torch.nn.Module:
        """The network itself, to be tuned: this trunk must not be used after that. Raises `TrunkError` once
        something else runs it."""
        if self._model is None:
            raise TrunkError(f"{self.name} is run by {self.engine}: load it anew to tune it")
        found: torch.nn.Module = getattr(self._model, "trunk", self._model)
        return found

    def encode(self, pictures: Sequence[bytes], reads: Reads = "last") -> Vectors:
        """Vectors of encoded pictures as a head that reads that is given them: float32 (n, width), not
        normalised, or the stages beside them, (n, width + stages). Raises as `look` does."""
        seen = self.look(pictures)
        return beside(*seen) if reads == "stages" else seen.last

    def look(self, pictures: Sequence[bytes]) -> Seen:
        """The vectors and stages of encoded pictures (any format that `imaging.decode` takes). Decoding and
        network overlap, on all cores, a few batches at a time.

        Raises `PictureError` naming the position of a picture that cannot be decoded.
        """
        engine = self._engine_for(len(pictures))
        vectors = np.empty((len(pictures), self.width + self.stages), dtype=np.float32)
        starts = range(0, len(pictures), engine.batch)

        def pixels(start: int) -> Pixels:
            return self.pixels(pictures[start : start + engine.batch], start)

        for start, found in zip(starts, _encoded(engine, pixels, starts), strict=True):
            vectors[start : start + len(found)] = found
        return Seen(np.ascontiguousarray(vectors[:, : self.width]), vectors[:, self.width :])

    def pixels(self, pictures: Sequence[bytes], first: int = 0) -> Pixels:
        """What the network is shown: uint8 (n, size, size, 3). `first` is the position of the first picture
        in what `PictureError` names."""
        return np.stack([to_square(data, self.preprocess, first + i) for i, data in enumerate(pictures)])

    def _engine_for(self, pictures: int) -> Engine:
        with self._lock:
            self._asked += pictures
            if self._model is not None and self.device == "cpu" and self._asked >= ENOUGH:
                faster = onnx_engine(
                    self._model,
                    self.preprocess,
                    digest=self.digest,
                    folder=self._engines,
                    reference=self._engine,
                )
                self._engine, self._model = faster or self._engine, None  # asked once, whatever came of it
            return self._engine


def load_trunk(name: str = DEFAULT, *, device: str | None = None, engines: Path | None = None) -> Trunk:
    """The trunk of that timm or open_clip name with its weights, on the best device unless given.

    `engines`: a folder in which a faster form of the network is kept for the next process. Raises
    `TrunkError` for an unknown name (with the nearest known ones) and for weights that are neither
    installed nor reachable.
    """
    model, preprocess = load_model(name)
    return Trunk(name, model, preprocess, device or best_device(), engines=engines)


def tuned_trunk(data: bytes, digest: str, *, device: str | None = None, engines: Path | None = None) -> Trunk:
    """The trunk of a checkpoint that was written here. Raises `CorruptError` where it is not that one."""
    from pinflow.learning.checkpoint import from_bytes

    made = from_bytes(data)
    trunk = Trunk(made.name, made.model, made.preprocess, device or best_device(), engines=engines)
    if trunk.digest != digest:
        raise CorruptError(
            f"the tuned trunk is {trunk.digest[:16]}, not {digest[:16]}: fit the encoder again"
        )
    return trunk


def best_device() -> str:
    """`cuda`, `mps` or `cpu`: the first that works here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _shown(model: torch.nn.Module, preprocess: Preprocess) -> torch.nn.Module:
    """The network with its stages beside its vector, as it is where it does not show them."""
    import torch

    device = next((one.device for one in model.parameters()), torch.device("cpu"))
    try:
        shown = staged(model).eval()
        with torch.inference_mode():
            found = shown(torch.zeros((1, 3, preprocess.size, preprocess.size), device=device))
    except (TrunkError, AttributeError, RuntimeError, TypeError):  # of a network of another make
        return model
    return shown if found.shape[1] > shown.width else model


def _encoded(engine: Engine, pixels: Callable[[int], Pixels], starts: range) -> Iterator[Vectors]:
    """The vectors of each batch, in order, with a bounded number of batches in memory."""
    if len(starts) <= 1:
        yield from (engine.run(pixels(start)) for start in starts)
        return
    with ThreadPoolExecutor(cores()) as pool:
        if engine.threads > 1:  # each thread takes its batch all the way
            yield from _ahead(pool, lambda start: engine.run(pixels(start)), starts)
        else:  # the network has threads of its own, or a device
            yield from map(engine.run, _ahead(pool, pixels, starts))


def _ahead(pool: ThreadPoolExecutor, work: Callable[[int], Made], items: range) -> Iterator[Made]:
    """`map` in the pool's threads, at most two items each ahead of who takes them."""
    waiting: deque[Future[Made]] = deque()
    try:
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > 2 * cores():
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()


def to_square(data: bytes, preprocess: Preprocess, position: int = 0) -> Pixels:
    """An encoded picture as a network sees it, uint8 (size, size, 3). Raises `PictureError`."""
    try:
        return _square(decode(data, least=preprocess.size, min_side=1), preprocess)
    except PictureError as error:
        raise PictureError(
            error.reason, f"picture {position} of the batch cannot be decoded: {error.detail}"
        ) from error


def _square(picture: Image.Image, preprocess: Preprocess) -> Pixels:
    """The whole RGB picture, longest side `size`, in the middle of a padded square, or its middle square."""
    from PIL import Image

    size = preprocess.size
    if preprocess.middle:
        side = min(picture.size)
        left, top = ((length - side) // 2 for length in picture.size)
        picture = picture.crop((left, top, left + side, top + side))
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    square = Image.new("RGB", (size, size), preprocess.padding)
    whole = resized(picture, (width, height), preprocess.interpolation)
    square.paste(whole, ((size - width) // 2, (size - height) // 2))
    return np.asarray(square.convert("L").convert("RGB") if preprocess.grayscale else square)


def _digest(name: str, model: torch.nn.Module, preprocess: Preprocess) -> str:
    """sha256 of the name, the preprocessing and every tensor: the same on every device."""
    how = asdict(preprocess)
    if not preprocess.grayscale:  # as before there was such a thing
        del how["grayscale"]
    digest = hashlib.sha256(json.dumps([name, how], sort_keys=True).encode())
    for key, tensor in sorted(model.state_dict().items()):
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{key}:{array.dtype.str}:{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
