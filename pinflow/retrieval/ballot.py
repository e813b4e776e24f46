"""How neighbours vote: weights by similarity, shares of values, weighted quantiles. Pure functions of arrays.

Weights are a kernel of the similarity, 1 for the nearest: Dudani 1976, "The Distance-Weighted k-Nearest-
Neighbor Rule", with the exponential kernel of Wu et al. 2018, arXiv 1805.01978.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinflow.retrieval.scan import Floats, Mask, Rows, exact

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Kernel:
    """How many neighbours vote, and over what difference of similarity a vote falls to 1/e."""

    count: int
    width: float

    def weights(self, similarities: Floats) -> Doubles:
        """Those of neighbours (q, k), best first, -inf for none: in 0..1, the nearest's is 1; beyond `count`
        they are 0."""
        own = similarities[:, : self.count].astype(np.float64)
        if not own.size:
            return np.zeros(own.shape)
        best = np.where(np.isfinite(own[:, :1]), own[:, :1], 0.0)
        found: Doubles = np.exp((own - best) / self.width)
        return found


def shares(codes: Ints, weights: Doubles, prior: Doubles, strength: float) -> Doubles:
    """Probabilities (q, v) of values: weighted votes of neighbours (q, k), and a `prior` (v,) that counts as
    `strength` nearest neighbours (Dirichlet smoothing). A code of -1 has no vote."""
    q, v = len(codes), len(prior)
    row, place = np.nonzero(codes >= 0)
    votes = np.bincount(row * v + codes[row, place], weights[row, place], minlength=q * v).reshape(q, v)
    smooth = votes + strength * prior
    found: Doubles = smooth / smooth.sum(axis=1, keepdims=True)
    return found


def quantiles(values: Doubles, weights: Doubles, levels: tuple[float, ...]) -> Doubles:
    """Weighted quantiles (q, len(levels)) of values (q, k), linear between the middles of their weights; NaN
    where nothing has a weight. A value without one may be NaN."""
    order = np.argsort(np.where(weights > 0, values, np.inf), axis=1, kind="stable")
    ranked, weight = np.take_along_axis(values, order, 1), np.take_along_axis(weights, order, 1)
    found = np.full((len(values), len(levels)), np.nan)
    for i in range(len(values)):
        some = weight[i] > 0
        if some.any():
            own = weight[i][some]
            middles = (np.cumsum(own) - own / 2) / own.sum()
            found[i] = np.interp(levels, middles, ranked[i][some])
    return found


def conformal(scores: Doubles, level: float) -> float:
    """The score that a new one does not exceed with probability `level` at least, if exchangeable with these
    (n,): the ceil((n + 1) level)-th smallest; inf where they are too few to promise that (Vovk et al. 2005;
    Angelopoulos & Bates 2021, arXiv 2107.07511)."""
    rank = int(np.ceil((len(scores) + 1) * level - 1e-9))
    return float(np.sort(scores)[rank - 1]) if rank <= len(scores) else float("inf")


def outsiders(
    vectors: Floats, asked: Rows, groups: Ints, count: int, among: Mask | None = None
) -> tuple[Floats, Rows]:
    """What each `asked` row (q,) has nearest outside its own group: similarities (q, count) and rows, padded
    with -inf and -1. `groups` (n,) are codes; `among` (n,) says who may answer. Exact."""
    scores = np.full((len(asked), count), -np.inf, np.float32)
    rows = np.full((len(asked), count), -1, np.int64)
    answers = np.arange(len(vectors)) if among is None else np.flatnonzero(among)
    if not len(answers):
        return scores, rows
    # So many of its own may stand before the others.
    most = int(np.unique(groups[answers], return_counts=True)[1].max())
    near, found = exact(vectors, np.ascontiguousarray(vectors[asked]), count + most, answers)
    for i, row in enumerate(asked.tolist()):
        kept = (found[i] >= 0) & (groups[found[i]] != groups[row])
        some = np.flatnonzero(kept)[:count]
        scores[i, : len(some)], rows[i, : len(some)] = near[i][some], found[i][some]
    return scores, rows
