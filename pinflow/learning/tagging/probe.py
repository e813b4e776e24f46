"""The probe: multinomial logistic regression on unit trunk vectors, by scikit-learn.

Why this and not a small network: its loss is convex, so there is no schedule to tune and one result a
seed; it takes a second for hundreds of pictures and minutes for a hundred thousand; and it is a
straight line, so an explanation of it is exact.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pinflow.learning.dataset import Floats, Ints

Doubles = npt.NDArray[np.float64]

# Inverse of the penalty, as scikit-learn's C. On unit vectors, by out-of-fold log loss: 10 on 392
# pictures of food in 9 labels, 30 on 54 products in 6.
STRENGTHS = (1.0, 3.0, 10.0, 30.0, 100.0)
CHOOSE_ON = 5000  # pictures that the strength is chosen on at most: it hardly moves beyond
ITERATIONS = 300


@dataclass(frozen=True)
class Probe:
    """`weight` float32 (k, w), `bias` float32 (k,): one row a tag. A tag that was not seen has bias -inf."""

    weight: Floats
    bias: Floats

    def logits(self, vectors: Floats) -> Doubles:
        """Trunk vectors (n, w) of any length -> float64 (n, k)."""
        found: Doubles = (unit(vectors) @ self.weight.T + self.bias).astype(np.float64)
        return found


def unit(vectors: Floats) -> Floats:
    """Rows of length 1, float32; a zero vector stays zero."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    rows: Floats = (vectors / np.maximum(length, np.finfo(np.float32).tiny)).astype(np.float32)
    return rows


def fit_probe(vectors: Floats, labels: Ints, count: int, strength: float) -> Probe:
    """`vectors` (n, w); `labels` int64 (n, m), the tags of each picture, -1 where it has fewer than m;
    `count`: how many tags there are. A picture with two tags counts half for each."""
    from sklearn.linear_model import LogisticRegression
    from threadpoolctl import threadpool_limits

    row, column = np.nonzero(labels >= 0)
    tag, share = labels[row, column], 1 / (labels >= 0).sum(axis=1)[row]
    weight = np.zeros((count, vectors.shape[1]), dtype=np.float32)
    bias = np.full(count, -np.inf, dtype=np.float32)
    seen = np.unique(tag)
    bias[seen] = 0
    if len(seen) < 2:
        return Probe(weight, bias)
    # The matrices are small: more threads are slower as soon as anything else runs.
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # not converged to the last digit: good enough
        model = LogisticRegression(C=strength, max_iter=ITERATIONS)
        model.fit(unit(vectors)[row], tag, sample_weight=share)
    if len(seen) == 2:  # scikit-learn keeps one row for two classes
        weight[seen] = np.concatenate([-model.coef_, model.coef_]) / 2
        bias[seen] = np.concatenate([-model.intercept_, model.intercept_]) / 2
    else:
        weight[seen], bias[seen] = model.coef_, model.intercept_
    return Probe(weight, bias)


def out_of_fold(vectors: Floats, labels: Ints, count: int, folds: Ints, strength: float) -> Doubles:
    """Logits (n, k) of every picture by a probe that never saw its fold."""
    logits = np.zeros((len(vectors), count))
    for fold in np.unique(folds):
        inside = folds == fold
        logits[inside] = fit_probe(vectors[~inside], labels[~inside], count, strength).logits(vectors[inside])
    return logits
