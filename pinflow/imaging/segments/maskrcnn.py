"""Things by name, each with its mask: Mask R-CNN (He et al. 2017), as torchvision trained it on COCO.

Its weights come with no package. `load` takes a file, or what torch's own cache holds of torchvision's; it
never waits for a download.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pinflow.errors import TrunkError
from pinflow.imaging.segments.components import LEAST_AREA, MOST
from pinflow.imaging.segments.segment import Mask, Pixels, Segment

LEAST_SCORE = 0.5
SAME = 0.8  # two masks that overlap by so much of the smaller one are one thing


class MaskRcnn:
    """On the processor or a GPU, wherever its network is. Safe to use from several threads."""

    name = "maskrcnn"

    def __init__(self, network: Any, names: Sequence[str | None]) -> None:
        """`network`: one of torchvision's, in evaluation; `names`: what its classes are called."""
        self._network = network.eval()
        self._names = names

    @classmethod
    def load(cls, path: Path | None = None, device: str = "cpu") -> MaskRcnn:
        """Raises `TrunkError` where there are no weights, or they are of another network."""
        import torch
        from torchvision.models.detection import (
            MaskRCNN_ResNet50_FPN_V2_Weights,
            maskrcnn_resnet50_fpn_v2,
        )

        known = MaskRCNN_ResNet50_FPN_V2_Weights.DEFAULT
        file = path or cached()
        if file is None or not file.is_file():
            raise TrunkError(
                f"Mask R-CNN: no weights at {file or 'torch.hub'}; download torchvision's {known}"
            )
        network = maskrcnn_resnet50_fpn_v2(weights=None, weights_backbone=None)
        try:
            network.load_state_dict(torch.load(file, map_location="cpu", weights_only=True))
        except Exception as error:  # a wrong or broken file fails in many ways
            raise TrunkError(f"Mask R-CNN cannot be loaded from {file}: {error}"[:300]) from error
        return cls(network.to(device), known.meta["categories"])

    def segments(self, picture: Pixels) -> Sequence[Segment]:
        """Those of a picture (h, w, 3), largest first; of two that are the same thing, the surer."""
        import torch

        device = next(self._network.parameters()).device
        pixels = torch.from_numpy(picture.transpose(2, 0, 1).copy()).to(device).float() / 255
        with torch.inference_mode():
            found = self._network([pixels])[0]
        masks = found["masks"][:, 0].cpu().numpy() > 0.5
        scores, labels = found["scores"].cpu().tolist(), found["labels"].cpu().tolist()
        return chosen(masks, scores, [self._names[label] for label in labels])


def chosen(masks: Mask, scores: Sequence[float], names: Sequence[str | None]) -> list[Segment]:
    """Of masks (n, h, w) those that are sure, large enough, and of a thing of their own; largest first."""
    kept: list[Segment] = []
    for place in np.argsort([-score for score in scores], kind="stable").tolist():
        mask = masks[place]
        if scores[place] < LEAST_SCORE or mask.mean() < LEAST_AREA:
            continue
        if any((one.mask & mask).sum() > SAME * min(one.mask.sum(), mask.sum()) for one in kept):
            continue
        kept.append(Segment.of(mask, float(scores[place]), names[place]))
    return sorted(kept[:MOST], key=lambda one: -int(one.mask.sum()))


def cached() -> Path | None:
    """The file of torchvision's weights in torch's cache, if it was ever downloaded."""
    import torch
    from torchvision.models.detection import MaskRCNN_ResNet50_FPN_V2_Weights

    name = MaskRCNN_ResNet50_FPN_V2_Weights.DEFAULT.url.rpartition("/")[2]
    file = Path(torch.hub.get_dir()) / "checkpoints" / name
    return file if file.is_file() else None
