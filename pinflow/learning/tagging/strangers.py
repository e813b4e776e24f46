"""Strangers: pictures unlike everything that the tagger knows. It abstains on them.

A picture is as familiar as its cosine to the nearest tag's mean vector. Below the level that all but a few
known pictures reach it is a stranger. AUROC on pictures of labels put aside, each in turn, means over the
labels of the two sample sets:

=================================== ====== ======
score                               food   shop
=================================== ====== ======
cosine to the nearest mean          .697   .815
cosine to the 10th nearest picture  .726   .646
cosine to the nearest picture       .623   .770
Mahalanobis, shrunken (Lee 2018)    .664   .789
energy of the logits (Liu 2020)     .697   .824
largest probability (Hendrycks '17) .666   .798
=================================== ====== ======

None is clearly better than the means, which keep no picture (so nothing has to be taken out when one is
removed) and need no second probe to be judged on labels put aside.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from pinflow.learning.dataset import Floats, Ints, Mask
from pinflow.learning.evaluate import LEVEL, RESAMPLES, Estimate
from pinflow.learning.tagging.probe import Doubles, unit

STRANGE = 0.05  # share of known pictures that may be taken for strangers


def tag_means(vectors: Floats, true: Mask) -> Floats:
    """Unit mean vector of each tag, float32 (k, w); zero for one without pictures."""
    means: Floats = unit((true.T.astype(np.float32) @ unit(vectors)).astype(np.float32))
    return means


def familiarity(vectors: Floats, means: Floats) -> Floats:
    """Cosines (n, k) to each tag's mean."""
    cosines: Floats = unit(vectors) @ means.T
    return cosines


def out_of_fold_familiarity(vectors: Floats, true: Mask, folds: Ints) -> Floats:
    """Cosines (n, k) to means that were made without the picture's own fold."""
    found = np.zeros(true.shape, dtype=np.float32)
    for fold in np.unique(folds):
        inside = folds == fold
        found[inside] = familiarity(vectors[inside], tag_means(vectors[~inside], true[~inside]))
    return found


def level(cosines: Floats) -> float:
    """The familiarity that all but `STRANGE` of known pictures (n, k) reach; -1, which all do, for none."""
    return float(np.quantile(cosines.max(axis=1), STRANGE)) if cosines.size else -1.0


def put_aside(cosines: Floats, true: Mask) -> tuple[Doubles, Doubles]:
    """Familiarity of known pictures and of strangers, where each tag in turn is one nobody knows.

    A mean does not depend on other tags, so leaving a tag out is leaving out its column.
    """
    known, strange = [np.zeros(0)], [np.zeros(0)]
    for tag in range(true.shape[1]) if true.shape[1] > 1 else ():
        others = np.delete(cosines, tag, axis=1).max(axis=1).astype(np.float64)
        known.append(others[~true[:, tag]])
        # A picture that has a known tag as well is no stranger.
        strange.append(others[true[:, tag] & (true.sum(axis=1) == 1)])
    return np.concatenate(known), np.concatenate(strange)


def auroc(known: Doubles, strange: Doubles, *, seed: int = 0) -> Estimate:
    """How often a known picture (a,) is more familiar than a stranger (b,), ties half, with the interval of
    a bootstrap over both."""
    if not len(known) or not len(strange):
        return Estimate(None, None, None, 0)
    rng = np.random.default_rng(seed)
    order = np.unique(np.concatenate([known, strange]))
    places = [np.searchsorted(order, values) for values in (known, strange)]
    drawn = [
        _area(*(np.bincount(rng.choice(place, len(place)), minlength=len(order)) for place in places))
        for _ in range(RESAMPLES // 4)
    ]
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    value = _area(*(np.bincount(place, minlength=len(order)) for place in places))
    return Estimate(value, float(low), float(high), len(known) + len(strange))


def _area(known: npt.NDArray[np.int64], strange: npt.NDArray[np.int64]) -> float:
    """From how often each value occurs, values ascending."""
    below = np.cumsum(strange) - strange / 2
    return float((known * below).sum() / (known.sum() * strange.sum()))
