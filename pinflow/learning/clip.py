"""CLIP: a network for pictures and one for words that were trained together (Radford et al. 2021, arXiv
2103.00020), by open_clip, which knows some 150 of them (CLIP, SigLIP, EVA, MobileCLIP, PE).

    trunk: open_clip:ViT-B-32/laion2b_s34b_b79k      the architecture, then the weights, by open_clip's names
    trunk: open_clip:ViT-B-32//models/clip.pt        the same from a file, where no hub can be reached

The pictures' network is a trunk like any other; the words' network comes with it, so that text needs no
tower to be learned first. Weights come from the hub, once, and are then cached on the machine.
"""

from __future__ import annotations

import difflib
import pickle
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from pinflow.errors import TrunkError

if TYPE_CHECKING:
    import torch

Floats = npt.NDArray[np.float32]

PREFIX = "open_clip:"
ADVICE = "pip install 'pinflow[clip]'"
_NEAREST = 3
_BATCH = 32  # texts


def named(name: str) -> bool:
    """Whether a trunk's name is one of open_clip's."""
    return name.startswith(PREFIX)


def available() -> bool:
    """Whether open_clip is installed; nothing heavy is imported to know."""
    return find_spec("open_clip") is not None


def check_name(name: str) -> None:
    """Raises `TrunkError`, with the nearest names, for a model or weights that open_clip does not have."""
    open_clip = _open_clip(name)
    architecture, weights = _parts(name)
    known = open_clip.list_models()
    if architecture not in known:
        near = _nearest(architecture, known)
        hint = " or ".join(PREFIX + one for one in near) if near else ""
        raise TrunkError(
            f"unknown trunk {name!r}: " + (f"did you mean {hint}?" if hint else "see open_clip.list_models()")
        )
    tags = open_clip.list_pretrained_tags_by_model(architecture)
    if weights in tags or (weights and Path(weights).is_file()):
        return
    near = [f"{PREFIX}{architecture}/{tag}" for tag in _nearest(weights, tags) or tags[:_NEAREST]]
    hint = f"did you mean {' or '.join(near)}?" if near else "give the path of a file"
    what = f"has no weights {weights!r}" if weights else "needs weights behind a slash"
    raise TrunkError(f"trunk {name!r}: {architecture} {what}; {hint}")


def create_clip(name: str, *, pretrained: bool) -> Any:
    """open_clip's model of that name on the CPU, with random weights unless `pretrained`.

    Raises `TrunkError` where open_clip is not installed, and for weights that cannot be fetched or read.
    """
    open_clip = _open_clip(name)
    architecture, weights = _parts(name)
    if not pretrained:
        return open_clip.create_model(architecture, pretrained=None)
    check_name(name)
    try:
        return open_clip.create_model(architecture, pretrained=weights, require_pretrained=True)
    except (OSError, RuntimeError, ValueError, KeyError, pickle.UnpicklingError) as error:
        told = f"({type(error).__name__}: {error!s:.300})"
        if Path(weights).is_file():
            raise TrunkError(f"{weights} does not hold the weights of {architecture} {told}") from error
        raise TrunkError(
            f"the weights of {name} are not on this machine and their hub cannot be reached: fetch them once "
            f"where there is a network (they are then cached), or name a file, "
            f"{PREFIX}{architecture}//path/to/file {told}"
        ) from error


def pictures_of(model: Any) -> torch.nn.Module:
    """The pictures' network: float32 (n, 3, size, size) -> (n, width), in the space that the words share."""
    visual: torch.nn.Module = model.visual
    return visual


def preprocess_of(model: Any) -> tuple[int, tuple[float, ...], tuple[float, ...], str]:
    """Side in px, mean, standard deviation and interpolation that the weights were trained with."""
    own = model.visual.preprocess_cfg
    size = own["size"] if isinstance(own["size"], int) else max(own["size"])
    return int(size), tuple(own["mean"]), tuple(own["std"]), str(own["interpolation"])


class ClipText:
    """The words' network. Make one with `load_clip_text`. Safe to use from several threads."""

    def __init__(self, model: Any, tokenizer: Any) -> None:
        """`model`: open_clip's, `tokenizer`: strings -> tokens int64 (n, length)."""
        import torch

        self._model = model.eval().requires_grad_(False)
        self._tokenizer = tokenizer
        with torch.inference_mode():
            self.width = int(self._model.encode_text(tokenizer([""])).shape[1])

    def encode(self, texts: Sequence[str]) -> Floats:
        """Unit vectors float32 (n, width) of any strings; what is longer than the model reads is cut."""
        import torch

        found = np.empty((len(texts), self.width), dtype=np.float32)
        # Lone surrogates come from broken pages, and are no valid Unicode.
        tidy = [text.encode("utf-8", "replace").decode() for text in texts]
        with torch.inference_mode():
            for start in range(0, len(tidy), _BATCH):
                tokens = self._tokenizer(tidy[start : start + _BATCH])
                vectors = self._model.encode_text(tokens, normalize=True)
                found[start : start + len(tokens)] = vectors.float().numpy()
        return found


def load_clip_text(name: str) -> ClipText:
    """The words' network of the trunk of that name. Raises `TrunkError` as `create_clip` does."""
    model = create_clip(name, pretrained=True)
    try:
        tokenizer = _open_clip(name).get_tokenizer(_parts(name)[0])
    except (OSError, RuntimeError, ImportError) as error:
        raise TrunkError(
            f"the tokenizer of {name} is not on this machine and its hub cannot be reached "
            f"({type(error).__name__}: {error!s:.300})"
        ) from error
    del model.visual  # half of the memory or more, and words do not need it
    return ClipText(model, tokenizer)


def suggestion(name: str) -> str | None:
    """What was meant by a name that is open_clip's but for the prefix; None where it is not."""
    if not available():
        return None
    architecture = name.partition("/")[0]
    return PREFIX + name if architecture in _open_clip(name).list_models() else None


def _parts(name: str) -> tuple[str, str]:
    architecture, _, weights = name.removeprefix(PREFIX).partition("/")
    return architecture, weights


def _nearest(name: str, known: Sequence[str]) -> list[str]:
    lower = {one.lower(): one for one in known}
    return [lower[one] for one in difflib.get_close_matches(name.lower(), lower, _NEAREST, cutoff=0.5)]


def _open_clip(name: str) -> Any:
    try:
        import open_clip
    except ImportError as error:
        raise TrunkError(
            f"{name} is one of open_clip's networks, which is not installed: {ADVICE}"
        ) from error
    return open_clip
