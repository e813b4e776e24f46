"""The one place that knows pytorch-metric-learning (2.9; version 3 changes names and defaults).

==================== ============================================ ======= ==============================
name                 when                                         needs   paper
==================== ============================================ ======= ==============================
`supcon` (= `auto`)  anything; few classes, many positives each   pairs   Khosla 2020, arXiv 2004.11362
`ntxent`             one positive each: two views, related pins   pairs   Chen 2020, arXiv 2002.05709
`contrastive`        pair-wise, on ideal positives and negatives  pairs   Hadsell 2006
`triplet`            hardest positive and negative of a batch     pairs   Hermans 2017, arXiv 1703.07737
`proxyanchor`        many classes, small batches                  classes Kim 2020, arXiv 2003.13911
`subcenterarcface`   many classes, noisy labels                   classes Deng 2020 (ECCV)
==================== ============================================ ======= ==============================

`auto` is SupCon: it takes any mixture of positives, multi-label pictures and batches in which some rows have
no positive, and no other gained more. Recall@1 among 319 emoji of one fold of the 957, by the same `affine`
head: SupCon .868, triplet .871, contrastive .869, NT-Xent .862, ProxyAnchor .855 (each within +- .02).
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from pinflow.errors import PinflowError

if TYPE_CHECKING:
    import torch

PAIRS = ("supcon", "ntxent", "contrastive", "triplet")
PROXIES = ("proxyanchor", "subcenterarcface")
LOSSES = (*PAIRS, *PROXIES)


def canonical(name: str) -> str:
    """The loss behind a name; spelling is free ("NT-Xent", "ProxyAnchorLoss"). Raises `PinflowError`."""
    plain = "".join(c for c in name.lower() if c.isalnum()).removesuffix("loss")
    plain = {"auto": "supcon", "tripletmargin": "triplet", "infonce": "ntxent"}.get(plain, plain)
    if plain in LOSSES:
        return plain
    near = difflib.get_close_matches(plain, LOSSES, 1, cutoff=0.4)
    hint = f"did you mean {near[0]}?" if near else f"one of {', '.join(LOSSES)}"
    raise PinflowError(f"unknown `encoder.loss: {name}`: {hint}")


class Loss:
    """A contrastive loss on unit vectors (n, d).

    `classes` and `width` (numbers in a vector) are for losses with proxies. `memory`: so many rows of the
    last batches stay beside a batch as further pairs (cross-batch memory, Wang et al. 2020, arXiv
    1912.06798); it needs classes and a loss of pairs.
    """

    def __init__(
        self,
        name: str = "auto",
        *,
        temperature: float = 0.1,
        classes: int = 0,
        width: int = 0,
        memory: int = 0,
    ) -> None:
        from pytorch_metric_learning import losses

        self.name = canonical(name)
        self.by_class = self.name in PROXIES or memory > 0
        if self.by_class and classes < 2:
            raise PinflowError(
                f"`encoder.loss: {name}` needs two classes: positives by label, attributes or clusters"
            )
        make = {
            "supcon": lambda: losses.SupConLoss(temperature=temperature),
            "ntxent": lambda: losses.NTXentLoss(temperature=temperature),
            "contrastive": lambda: losses.ContrastiveLoss(),
            "triplet": lambda: losses.TripletMarginLoss(margin=0.2),
            "proxyanchor": lambda: losses.ProxyAnchorLoss(classes, width),
            # Its signature takes these by name alone.
            "subcenterarcface": lambda: losses.SubCenterArcFaceLoss(
                num_classes=classes, embedding_size=width
            ),
        }
        self._loss: Any = make[self.name]()
        if memory and self.name in PAIRS:
            self._loss = losses.CrossBatchMemory(self._loss, embedding_size=width, memory_size=memory)

    def parameters(self) -> Iterable[torch.nn.Parameter]:
        """What the loss itself learns: its proxies."""
        found: Iterable[torch.nn.Parameter] = self._loss.parameters()
        return found

    def __call__(
        self, vectors: torch.Tensor, positive: torch.Tensor, classes: torch.Tensor | None = None
    ) -> torch.Tensor:
        """`positive`: symmetric bool (n, n) of who belongs together, every other pair being a negative one;
        rows without a positive are negatives only. `classes` (n,) for losses of classes: -1 is left out."""
        loss: torch.Tensor
        if self.by_class:
            assert classes is not None
            loss = self._loss(vectors[classes >= 0], classes[classes >= 0])
        elif self.name == "triplet":
            loss = self._loss(vectors, indices_tuple=_hardest(vectors, positive))
        else:
            loss = self._loss(vectors, indices_tuple=_pairs(positive))
        return loss


def _pairs(positive: torch.Tensor) -> tuple[torch.Tensor, ...]:
    import torch

    itself = torch.eye(len(positive), dtype=torch.bool, device=positive.device)
    anchors, positives = torch.nonzero(positive & ~itself, as_tuple=True)
    others, negatives = torch.nonzero(~positive & ~itself, as_tuple=True)
    return anchors, positives, others, negatives


def _hardest(vectors: torch.Tensor, positive: torch.Tensor) -> tuple[torch.Tensor, ...]:
    """Of each row its least similar positive and most similar negative; all triplets would be n * p * n."""
    import torch

    with torch.no_grad():
        similarity = vectors @ vectors.T
        itself = torch.eye(len(positive), dtype=torch.bool, device=positive.device)
        right, wrong = positive & ~itself, ~positive & ~itself
        both = torch.nonzero(right.any(1) & wrong.any(1)).flatten()
        nearest = similarity.masked_fill(~wrong, -9).argmax(1)
        farthest = similarity.masked_fill(~right, 9).argmin(1)
    return both, farthest[both], nearest[both]
