"""Measuring a tagger: every figure is a ratio of sums over pictures, so one bootstrap serves them all.

Intervals are over groups, not pictures: copies of one thing are one piece of evidence. ECE: Naeini et al.
2015, equal bins, as Guo et al. 2017 use it.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from pinflow.learning.dataset import Mask
from pinflow.learning.evaluate import LEVEL, Estimate
from pinflow.learning.tagging.calibrate import log_losses
from pinflow.learning.tagging.probe import Doubles

BINS = 10
RESAMPLES = 1000


def figures(
    probabilities: Doubles, true: Mask, groups: npt.NDArray[np.str_], *, seed: int = 0
) -> dict[str, Estimate]:
    """Accuracy, macro-F1, log loss and ECE, each with its 95% interval.

    `probabilities`, `true`: (n, k); `groups`: (n,). A guess is right if it is one of the picture's tags.
    """
    guess = probabilities.argmax(axis=1) if probabilities.size else np.zeros(0, dtype=np.int64)
    rows = np.arange(len(guess))
    right = true[rows, guess]
    sure = probabilities[rows, guess]
    place = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    bins = np.eye(BINS)[place] * (right - sure)[:, None]
    guessed = np.eye(true.shape[1])[guess]
    losses = log_losses(probabilities, true)

    def f1(weights: Doubles) -> Doubles:
        hits = weights @ (guessed * true)
        both = weights @ guessed + weights @ true.astype(np.float64)
        return np.asarray(np.nanmean(np.where(both > 0, 2 * hits / np.maximum(both, 1), np.nan), axis=1))

    def mean(values: Mask | Doubles) -> Callable[[Doubles], Doubles]:
        return lambda weights: np.asarray(weights @ values.astype(np.float64) / weights.sum(axis=1))

    measures: dict[str, Callable[[Doubles], Doubles]] = {
        "accuracy": mean(right),
        "macro_f1": f1,
        "log_loss": mean(losses),
        "ece": lambda weights: np.asarray(np.abs(weights @ bins).sum(axis=1) / weights.sum(axis=1)),
    }
    return {name: estimate(measure, groups, seed=seed) for name, measure in measures.items()}


def share(hit: Mask, among: Mask, groups: npt.NDArray[np.str_], *, seed: int = 0) -> Estimate:
    """Which part of the pictures `among` (n,) is a `hit` (n,)."""

    def ratio(weights: Doubles) -> Doubles:
        return np.asarray((weights @ (hit & among)) / np.maximum(weights @ among.astype(np.float64), 1e-12))

    return estimate(ratio, groups[among] if among.any() else groups[:0], seed=seed, rows=among)


def estimate(
    measure: Callable[[Doubles], Doubles],
    groups: npt.NDArray[np.str_],
    *,
    seed: int = 0,
    rows: Mask | None = None,
) -> Estimate:
    """`measure` maps weights (r, n) to values (r,): once with every picture, then with groups redrawn.

    `rows`: the pictures that `groups` speaks of, where these are not all; the others weigh nothing.
    """
    if not len(groups):
        return Estimate(None, None, None, 0)
    names, of = np.unique(groups, return_inverse=True)
    drawn = np.random.default_rng(seed).multinomial(
        len(names), np.full(len(names), 1 / len(names)), RESAMPLES
    )
    weights = np.concatenate([np.ones((1, len(of))), drawn[:, of]])
    if rows is not None:
        wide = np.zeros((len(weights), len(rows)))
        wide[:, rows] = weights
        weights = wide
    values = measure(weights)
    low, high = np.nanquantile(values[1:], [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(values[0]), float(low), float(high), len(of))
