"""Networks that are trained for the comparison: two baselines on small pixels, and a fine-tuned trunk.

One readable loop trains them all; the best epoch on the inner validation pictures is kept.
"""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from pinflow.learning.dataset import Ints
from pinflow.learning.tagging.probe import Doubles

if TYPE_CHECKING:
    import torch

BATCH = 32
WEIGHT_DECAY = 1e-2
WARM_UP = 0.1  # share of the steps
CLIP = 1.0


@dataclass(frozen=True)
class Epoch:
    """Log losses after an epoch: of the pictures trained on, and of the inner validation pictures."""

    train: float
    val: float


def basic_ann(side: int, tags: int) -> torch.nn.Module:
    """A perceptron with one hidden layer on side x side pixels."""
    from torch import nn

    return nn.Sequential(
        nn.Flatten(), nn.Linear(3 * side**2, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, tags)
    )


def basic_cnn(tags: int) -> torch.nn.Module:
    """Four convolutions with batch norm and pooling, and a linear layer on the mean of the cells."""
    from torch import nn

    widths = (3, 16, 32, 64, 128)
    layers: list[nn.Module] = []
    for before, after in pairwise(widths):
        convolution = nn.Conv2d(before, after, 3, padding=1, bias=False)
        layers += [convolution, nn.BatchNorm2d(after), nn.ReLU(), nn.MaxPool2d(2)]
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(128, tags)
    )


def train_net(
    model: torch.nn.Module,
    views: torch.Tensor,
    tags: Ints,
    train: Ints,
    val: Ints,
    *,
    learning_rate: float,
    epochs: int,
    seed: int = 0,
) -> list[Epoch]:
    """Trains `model` in place and returns the curve. `views` (v, n, ...): the inputs of n pictures, as they
    are and mirrored; `tags` int64 (n,). Deterministic by seed."""
    import torch

    loss_of = torch.nn.CrossEntropyLoss()
    true = torch.from_numpy(tags)
    weights = [weight for weight in model.parameters() if weight.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=learning_rate, weight_decay=WEIGHT_DECAY)
    rng = np.random.default_rng(seed)
    torch.manual_seed(seed)
    steps = epochs * math.ceil(len(train) / BATCH)
    curve: list[Epoch] = []
    best, kept, step = math.inf, model.state_dict(), 0
    for _ in range(epochs):
        model.train()
        losses = []
        for rows in np.array_split(rng.permutation(train), math.ceil(len(train) / BATCH)):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate * _schedule(step / steps)
            inputs = views[rng.integers(len(views), size=len(rows)), rows]
            loss = loss_of(model(inputs), true[rows])
            optimiser.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(weights, CLIP)
            optimiser.step()
            losses.append(float(loss.detach()) * len(rows))
            step += 1
        judged = loss_of(torch.from_numpy(net_logits(model, views[0], val)), true[val])
        curve.append(Epoch(sum(losses) / len(train), float(judged)))
        if curve[-1].val < best:
            best, kept = curve[-1].val, copy.deepcopy(model.state_dict())
    model.load_state_dict(kept)
    return curve


def net_logits(model: torch.nn.Module, inputs: torch.Tensor, rows: Ints) -> Doubles:
    """Logits float64 (len(rows), k)."""
    import torch

    model.eval()
    with torch.inference_mode():
        parts = [model(inputs[part]) for part in torch.split(torch.from_numpy(rows), 4 * BATCH)]
    return torch.cat(parts).double().numpy()


def _schedule(done: float) -> float:
    """Linear warm-up, then a half cosine to zero."""
    return min(1.0, (done + 1e-3) / WARM_UP) * 0.5 * (1 + math.cos(math.pi * done))
