"""A trunk's inner stages beside its last vector: what a thing looks like, beside what ImageNet calls it.

The last vector was trained to tell ImageNet's classes apart and has forgotten much of shape and colour;
mean-pooled outputs of the stages before it still hold it (as in Hypercolumns, Hariharan et al. 2015,
arXiv 1411.5752). Untuned, they help with drawings and hurt with photographs of products (recall@1: emoji
.555 to .664, food .587 to .615, food of the same kind .330 to .415, products .685 to .519), so the frozen
space is the last vector alone, and a head reads the stages only where `promotion` saw that they help.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from pinflow.errors import TrunkError

if TYPE_CHECKING:
    import torch

Reads = Literal["last", "stages"]  # what a head is given: the last vector alone, or all stages beside it
STAGES = 4
# Weight of the last vector beside each stage; chosen on folds of the emoji's 957 among 0.5 and 1.
LAST = 0.5
_TINY = float(np.finfo(np.float32).tiny)


def staged(model: torch.nn.Module, *, stages: int = STAGES) -> torch.nn.Module:
    """`model` (pictures -> pooled vectors (n, w)) as a module that gives (n, w + widths of its last stages):
    the vector as it was, then of each stage the mean over places, of length 1. `width` is w once it has run.

    For timm's networks whose stages stand in `blocks`, `stages` or `layer1..4`, with maps (n, c, h, w) or
    tokens (n, t, c). Raises `TrunkError` for others.
    """
    import torch

    parts = parts_of(model)[-stages:]
    if not parts:
        raise TrunkError(f"{type(model).__name__} has no stages to look into: use its last vector alone")

    class Staged(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.trunk = model
            self.width = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            last, seen = watched(self.trunk, parts, x)
            self.width = int(last.shape[1])
            return torch.cat([last, *(_unit(_pooled(one)) for one in seen)], dim=1)

    return Staged()


def reading(model: torch.nn.Module, reads: Reads) -> torch.nn.Module:
    """`model` as a module that gives what a head that reads that is given, not normalised."""
    import torch

    if reads == "last":
        return model
    shown = staged(model)

    class Beside(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shown = shown

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            out = self.shown(x)
            last, stages = out[:, : shown.width], out[:, shown.width :]
            return torch.cat([LAST * _unit(last), stages], dim=1)

    return Beside()


def watched(run: Any, parts: list[Any], x: torch.Tensor) -> tuple[Any, list[torch.Tensor]]:
    """What `run` makes of `x`, and what came out of each of these parts of it on the way."""
    seen: list[torch.Tensor] = []
    hooks = [part.register_forward_hook(lambda _m, _i, out: seen.append(out)) for part in parts]
    try:
        return run(x), seen
    finally:
        for hook in hooks:
            hook.remove()


def beside(last: npt.NDArray[np.float32], stages: npt.NDArray[np.float32]) -> npt.NDArray[np.float32]:
    """What a head that reads stages is given: last vectors (n, w), as long as `LAST`, then stages (n, v)."""
    length = np.maximum(np.linalg.norm(last, axis=1, keepdims=True), _TINY)
    both: npt.NDArray[np.float32] = np.concatenate([LAST * last / length, stages], axis=1, dtype=np.float32)
    return both


def parts_of(model: Any) -> list[Any]:
    """The stages of a network, first to last; none where it is not known how it shows them."""
    for name in ("blocks", "stages"):
        if hasattr(model, name):
            return list(getattr(model, name))
    return [getattr(model, f"layer{n}") for n in range(1, 5) if hasattr(model, f"layer{n}")]


def _pooled(out: torch.Tensor) -> torch.Tensor:
    pooled: torch.Tensor = out.mean(dim=(2, 3)) if out.ndim == 4 else out.mean(dim=1)
    return pooled


def _unit(x: torch.Tensor) -> torch.Tensor:
    import torch

    return torch.nn.functional.normalize(x, dim=1)
