"""Which segmenter there is: the best that is installed, or the one that is asked for."""

from __future__ import annotations

from pathlib import Path

from pinflow.errors import TrunkError
from pinflow.imaging.segments import isnet, maskrcnn
from pinflow.imaging.segments.grabcut import GrabCut
from pinflow.imaging.segments.saliency import Saliency
from pinflow.imaging.segments.segment import Segmenter

NAMES = ("maskrcnn", "isnet", "grabcut", "saliency")
MASKRCNN_FILE = "maskrcnn.pth"  # under the folder of models, as `isnet.FILE` is


def segmenter(models: Path, name: str | None = None) -> Segmenter:
    """The one of that name, or the first of `NAMES` but ISNet, which is too slow to be anybody's default.

    `models`: the folder where weights lie that were fetched on purpose. Raises `TrunkError` where those of
    the named one are not there.
    """
    if name is None:
        file = models / MASKRCNN_FILE
        found = file if file.is_file() else maskrcnn.cached()
        return maskrcnn.MaskRcnn.load(found) if found else GrabCut()
    if name == "maskrcnn":
        file = models / MASKRCNN_FILE
        return maskrcnn.MaskRcnn.load(file if file.is_file() else None)
    if name == "isnet":
        if not (models / isnet.FILE).is_file():
            raise TrunkError("ISNet is not installed: python -m pinflow.sample.isnet fetches it")
        return isnet.IsNet.load(models / isnet.FILE)
    if name == "grabcut":
        return GrabCut()
    if name == "saliency":
        return Saliency()
    raise ValueError(f"no segmenter {name!r}; there are {', '.join(NAMES)}")
