"""Calibration: probabilities that mean what they say, and per-tag thresholds for a wanted precision.

Temperature scaling: Guo et al. 2017, "On Calibration of Modern Neural Networks", arXiv 1706.04599.
"""

from __future__ import annotations

import numpy as np

from pinflow.learning.dataset import Floats, Ints, Mask
from pinflow.learning.tagging.probe import Doubles

TEMPERATURES = (0.02, 20.0)  # the range that is searched
# The least probability that a log loss is taken of, so that one unseen tag is not an infinite loss.
FLOOR = 1e-6
LEAST = 0.5  # a tag that is likelier wrong than right is not given


def softmax(logits: Doubles, temperature: float = 1.0) -> Doubles:
    """float64 (n, k) -> probabilities (n, k) that add up to 1."""
    scaled = logits / temperature
    powers = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    found: Doubles = powers / powers.sum(axis=1, keepdims=True)
    return found


def truth(labels: Ints, count: int) -> Mask:
    """int64 (n, m) tags of each picture -> bool (n, k)."""
    found = np.zeros((len(labels), count), dtype=np.bool_)
    row, column = np.nonzero(labels >= 0)
    found[row, labels[row, column]] = True
    return found


def log_losses(probabilities: Doubles, true: Mask) -> Doubles:
    """The log loss of each picture (n,): of all its tags together, where it has several."""
    right = np.where(true, probabilities, 0).sum(axis=1)
    losses: Doubles = -np.log(np.clip(right, FLOOR, 1))
    return losses


def fit_temperature(logits: Doubles, true: Mask) -> float:
    """The temperature with the least log loss on pictures that the probe never saw; 1 for none."""
    if not len(logits):
        return 1.0
    from scipy.optimize import minimize_scalar

    def loss(exponent: float) -> float:
        return float(log_losses(softmax(logits, float(np.exp(exponent))), true).mean())

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURES), method="bounded").x))


def thresholds(probabilities: Doubles, true: Mask, precision: float) -> Floats:
    """For each tag the lowest probability from which on it is right often enough, float32 (k,).

    `probabilities`, `true` (n, k) of pictures that the probe never saw. The precision of few pictures is
    pulled towards a half by Laplace's rule of succession, so that three lucky ones promise nothing: 0.9
    wants eight right ones in a row. Tags that never get there by themselves share one threshold, from
    which on they are right often enough together; inf where that cannot be had either: never given.
    Below `LEAST` nothing is given: where no picture has shown otherwise, the probability itself counts.
    """
    count = probabilities.shape[1]
    found = np.array([_from(probabilities[:, k], true[:, k], precision) for k in range(count)], np.float32)
    left = ~np.isfinite(found)
    # A tag that is not the likeliest is no evidence about guesses: it would only add sure "no"s.
    first = np.zeros(true.shape, dtype=np.bool_)
    first[np.arange(len(first)), probabilities.argmax(axis=1)] = True
    guessed = first & left
    found[left] = _from(probabilities[guessed], true[guessed], precision)
    return np.maximum(found, np.float32(LEAST))


def _from(probabilities: Doubles, right: Mask, precision: float) -> float:
    """The lowest probability at which those from there on (n,) are right often enough, else inf."""
    order = np.argsort(-probabilities, kind="stable")
    ranked, hits = probabilities[order], np.cumsum(right[order])
    enough = (hits + 1) / (np.arange(len(order)) + 3) >= precision
    # Only between different probabilities can a threshold be put.
    last = np.append(ranked[1:] < ranked[:-1], True)[: len(ranked)]
    places = np.flatnonzero(enough & last)
    # Rounded to float32 it might come to lie over the very picture that it was read off.
    return float(np.nextafter(np.float32(ranked[places[-1]]), np.float32(0))) if len(places) else np.inf
