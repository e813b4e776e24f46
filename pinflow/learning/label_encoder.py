"""The label's own encoder: the same tuning and the same rule, inside one label.

Related pins say which of a label's pictures are alike: "this kind of dog" instead of "some dog". Gain in
MAP@R over frozen on test inside three categories of emoji, the four vendors' drawings being related:

================== ======== ================== ================== ==================
label              pictures frozen             residual           affine
================== ======== ================== ================== ==================
Animals & Nature   628      .267               +.038              +.093
Food & Drink       512      .452               +.061              +.084
Objects            1044     .476               +.041              +.092
================== ======== ================== ================== ==================

Hence `affine` where there are `MANY_SETS`, else `residual`.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pinflow.learning.dataset import join
from pinflow.learning.encoder import training_rows
from pinflow.learning.evaluate import Estimate, paired_gain, per_query
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.positives import Positives
from pinflow.learning.promotion import Choice, Promotion, decide, gain_on_known
from pinflow.learning.tune import MANY_SETS, Recipe, tune

MIN_PAIRS = 16  # related pairs below which nothing can be learned and measured at once
# A label has tens of pictures: two large folds leave something to find in each.
FOLDS = 2
RECIPE = Recipe(Positives(by=("related",)), rank=32)


@dataclass(frozen=True)
class LabelEncoderFit:
    """What came of a fit; `served` is identity unless the candidate was promoted."""

    candidate: Head
    served: Head
    promotion: Promotion
    test: Estimate | None = None  # gain in MAP@R over frozen on test, related pins as relevance


def fit_label_encoder(features: pa.Table, rows: pa.Table, *, seed: int = 0) -> LabelEncoderFit:
    """Tune a head inside one label, promoted over the frozen space by the rule of `promotion`.

    `features`: `schema.features` of the label; `rows`: its `schema.SPLIT_ROWS`, resolved. Relevance is
    "the site recommends one beside the other". Torch is not imported where there is too little to learn.
    """
    data = join(features, rows)
    usable = np.flatnonzero(data.in_splits("train", "val"))
    pairs = len(data.related_within(usable))
    if pairs < MIN_PAIRS:
        reason = f"{pairs} related pairs to learn from, {MIN_PAIRS} are needed: the frozen space is served"
        return LabelEncoderFit(IDENTITY, IDENTITY, Promotion(False, reason))
    learned = training_rows(data)
    sets = len(RECIPE.positives.of(data, learned).sets())
    recipe = RECIPE.as_affine() if sets >= MANY_SETS else RECIPE
    if recipe.kind == "affine" and data.stages is not None:
        recipe = recipe.reading("stages")
    candidate = tune(data, learned, recipe, seed=seed)
    if candidate.kind == "identity":
        reason = "the related pins do not tell pictures apart: the frozen space is served"
        return LabelEncoderFit(IDENTITY, IDENTITY, Promotion(False, reason))
    judged = data.in_splits("train", "val")
    gains = gain_on_known(
        data, IDENTITY, recipe, judged=judged, relevant=data.are_related, folds=FOLDS, seed=seed
    )
    promotion = decide(gains[1.0], Choice(recipe))
    asked, gallery = np.flatnonzero(data.in_splits("test")), np.flatnonzero(data.in_splits("val", "test"))
    ours, theirs = (
        per_query(data.space(head), asked, gallery, data.are_related).values["map@r"]
        for head in (candidate, IDENTITY)
    )
    test = paired_gain(ours, theirs, seed=seed)
    return LabelEncoderFit(candidate, candidate if promotion.promoted else IDENTITY, promotion, test)
