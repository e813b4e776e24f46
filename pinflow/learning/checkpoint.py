"""Checkpoints of a trunk whose weights were tuned here: one safetensors file that plain timm loads.

    model = timm.create_model(name, num_classes=0)
    model.load_state_dict(safetensors.torch.load_file("trunk.safetensors"))

The tensors have timm's own names. What is needed to use them (name, preprocessing, and whatever the writer
adds) is JSON in the file's metadata, which timm ignores.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from pinflow.errors import CorruptError
from pinflow.learning.weights import Preprocess, create_model

if TYPE_CHECKING:
    import torch

KEY = "pinflow.trunk"


@dataclass(frozen=True)
class Checkpoint:
    """A tuned network (float32 (n, 3, size, size) -> (n, width), on the CPU) and what goes with it."""

    name: str
    model: torch.nn.Module
    preprocess: Preprocess
    about: Mapping[str, Any] = field(default_factory=dict)


def to_bytes(checkpoint: Checkpoint) -> bytes:
    """safetensors, the same bytes for the same weights wherever they lie: with a second key in its metadata
    the order would be left to chance."""
    from safetensors.torch import save

    state = {
        name: tensor.detach().cpu().contiguous() for name, tensor in checkpoint.model.state_dict().items()
    }
    about = {
        "name": checkpoint.name,
        "preprocess": asdict(checkpoint.preprocess),
        "about": dict(checkpoint.about),
    }
    data: bytes = save(state, metadata={KEY: json.dumps(about, sort_keys=True)})
    return data


def from_bytes(data: bytes) -> Checkpoint:
    """What `to_bytes` wrote, strictly loaded. Raises `CorruptError` for anything else."""
    from safetensors import SafetensorError
    from safetensors.torch import load

    try:
        state = load(data)
        size = int.from_bytes(data[:8], "little")
        content = json.loads(json.loads(data[8 : 8 + size])["__metadata__"][KEY])
        preprocess = Preprocess(**{name: _tuple(value) for name, value in content["preprocess"].items()})
        model = create_model(content["name"])
        model.load_state_dict(state, strict=True)
    except (SafetensorError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as error:
        raise CorruptError(f"not a trunk's checkpoint: {error!s:.300}; tune the trunk again") from error
    return Checkpoint(content["name"], model.eval(), preprocess, content["about"])


def _tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
