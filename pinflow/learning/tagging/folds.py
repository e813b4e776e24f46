"""Folds to learn and to judge with: each tag spread evenly over them, and no group in two of them."""

from __future__ import annotations

import warnings

import numpy as np
import numpy.typing as npt

from pinflow.learning.dataset import Ints

FOLDS = 5


def stratified_folds(tags: Ints, groups: npt.NDArray[np.str_], *, most: int = FOLDS, seed: int = 0) -> Ints:
    """The fold of each picture, int64 (n,), counted from 0. Fewer than `most` folds where there are fewer
    groups or pictures of a tag; all 0 where not even two can be made.

    `tags`: int64 (n,), one a picture; `groups`: (n,), as the splits room made them.
    """
    fold = np.zeros(len(tags), dtype=np.int64)
    most = min(most, len(np.unique(groups)), int(np.bincount(tags).max()) if len(tags) else 0)
    if most < 2:
        return fold
    from sklearn.model_selection import StratifiedGroupKFold

    with warnings.catch_warnings():
        # A tag with fewer pictures than there are folds is missing in some: the probe copes.
        warnings.simplefilter("ignore", UserWarning)
        parts = StratifiedGroupKFold(most, shuffle=True, random_state=seed).split(fold, tags, groups)
        for number, (_, inside) in enumerate(parts):
            fold[inside] = number
    return fold
