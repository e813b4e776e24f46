"""Probable label errors: confident learning (Northcutt et al. 2021, arXiv 1911.00068), by cleanlab."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pinflow.learning.dataset import Ints
from pinflow.learning.tagging.probe import Doubles


@dataclass(frozen=True)
class Suspects:
    """Pictures whose label is probably wrong, the least believable first. Arrays are parallel."""

    rows: Ints  # which picture
    given: Ints  # the tag it has
    suggested: Ints  # the tag it probably should have
    given_probability: Doubles
    suggested_probability: Doubles


def find_suspects(probabilities: Doubles, labels: Ints) -> Suspects:
    """`probabilities` (n, k) by probes that never saw the picture; `labels` int64 (n, m), -1 for none.

    Pictures with several labels are left out: one of them being unlikely is no error.
    """
    single = np.flatnonzero((labels >= 0).sum(axis=1) == 1) if len(labels) else np.zeros(0, dtype=np.int64)
    present, given = np.unique(labels[single].max(axis=1, initial=-1), return_inverse=True)
    if len(present) < 2:
        none = np.zeros(0)
        return Suspects(single[:0], single[:0], single[:0], none, none)
    from cleanlab.filter import find_label_issues

    among = probabilities[single][:, present]
    among = among / np.maximum(among.sum(axis=1, keepdims=True), 1e-12)
    found = find_label_issues(given, among, return_indices_ranked_by="self_confidence", n_jobs=1)
    rows = np.asarray(found, dtype=np.int64)
    best = among[rows].argmax(axis=1)
    # Where the own label is the likeliest after all there is nothing to suggest.
    rows, best = rows[best != given[rows]], best[best != given[rows]]
    return Suspects(
        single[rows],
        present[given[rows]],
        present[best],
        among[rows, given[rows]],
        among[rows, best],
    )
