"""What stands out, by ISNet (Qin et al. 2022, arXiv 2203.03041): saliency that has learned what things are.

Optional: the weights come by package name (`@imgly/background-removal-data`, AGPL-3.0, its training data for
research only), are fetched by whoever wants them (`python -m pinflow.sample.isnet`), and are never part of
pinflow. Ten seconds or more for a picture on two cores; things that touch each other are one segment.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from pinflow.errors import TrunkError
from pinflow.imaging.resize import resized
from pinflow.imaging.segments.components import split
from pinflow.imaging.segments.segment import Pixels, Segment

FILE = "isnet.onnx"  # under the folder of models
SIDE = 1024  # px, what the network takes
_MEAN, _SCALE = 128.0, 256.0  # as the package's own code prepares pixels
THRESHOLD = 0.5


class IsNet:
    """Over onnxruntime. Safe to use from several threads."""

    name = "isnet"

    def __init__(self, session: Any) -> None:
        """`session`: what runs the network, as onnxruntime's `InferenceSession` does."""
        self._session = session
        self._input = session.get_inputs()[0].name

    @classmethod
    def load(cls, path: Path, threads: int = 2) -> IsNet:
        """Raises `TrunkError` where the file is not there or is no network."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        try:
            return cls(onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"]))
        except Exception as error:  # onnxruntime's errors have no family of their own
            raise TrunkError(f"ISNet cannot be loaded from {path}: {error}"[:300]) from error

    def segments(self, picture: Pixels) -> Sequence[Segment]:
        """Those of a picture (h, w, 3), largest first."""
        strength = self.saliency(picture)
        return split(strength > THRESHOLD, strength)

    def saliency(self, picture: Pixels) -> npt.NDArray[np.float64]:
        """(h, w) in 0..1."""
        from PIL import Image

        height, width = picture.shape[:2]
        square = np.asarray(resized(Image.fromarray(picture), (SIDE, SIDE), "bilinear"), np.float32)
        batch = ((square - _MEAN) / _SCALE).transpose(2, 0, 1)[None]
        (mask,) = self._session.run(None, {self._input: np.ascontiguousarray(batch)})[:1]
        grey = Image.fromarray(np.asarray(mask, np.float32).reshape(SIDE, SIDE))
        found = np.asarray(grey.resize((width, height), Image.Resampling.BILINEAR), np.float64)
        return np.clip(found, 0, 1)
