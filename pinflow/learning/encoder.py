"""The collection's encoder: tune a candidate on all labels, promote it or keep what is served."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from pinflow.collection import EncoderRecipe
from pinflow.errors import PinflowError
from pinflow.learning.dataset import Dataset, Ints, Mask, join
from pinflow.learning.evaluate import Report, report_on
from pinflow.learning.head import IDENTITY, Head
from pinflow.learning.loss import canonical
from pinflow.learning.positives import described
from pinflow.learning.promotion import (
    STRENGTHS,
    Choice,
    Promotion,
    choose,
    decide,
    gain_on_known,
    held_back,
    unseen_by,
)
from pinflow.learning.tune import Recipe, fit

if TYPE_CHECKING:
    from pinflow.learning.tuner import Tuner


@dataclass(frozen=True)
class EncoderFit:
    """What came of a fit. `served` is the candidate if it was promoted, else what was served before."""

    candidate: Head
    served: Head
    promotion: Promotion
    trained_on: tuple[str, ...]  # sha256 and groups the *served* head was tuned on, sorted
    report: Report  # frozen, candidate, served on test
    data: Dataset  # with the pictures as every tuned trunk sees them
    trunk: bytes | None = None  # checkpoint of the candidate's trunk, if that was tuned
    notes: tuple[str, ...] = ()  # what the recipe asks for and this fit did not do


def fit_encoder(
    features: pa.Table,
    rows: pa.Table,
    recipe: EncoderRecipe,
    *,
    served: Head | None,
    trained_on: Collection[str] = (),
    attributes: Collection[str] = (),
    crops: pa.Table | None = None,
    tuned: Mapping[str, tuple[pa.Table, pa.Table]] | None = None,
    tuner: Tuner | None = None,
    seed: int = 0,
) -> EncoderFit:
    """Tune a head on all labels of a collection and decide whether it is served.

    `features`: `schema.features` of all labels; `rows`: their `schema.SPLIT_ROWS` after
    `splits.resolve(..., trained_on=trained_on)`; `served`: the head in use on the *same* trunk, None if
    there is none; `trained_on`: `EncoderFit.trained_on` of the fit that made it; `attributes`: the columns
    that also mean "alike"; `crops`: `schema.features` of parts of some of the pictures; `tuned`: both
    as the trunk of `served` sees them, if that was tuned; `tuner`: for `tune: full`.

    The candidate is tuned on train alone. Val only says when to stop, so that it can judge later
    candidates and widen the gallery of the report. Test and held-out pictures are never learned from.
    Raises `PinflowError` for a recipe that this version cannot follow.
    """
    settings, notes = _settings(recipe, attributes)
    data = join(features, rows, crops, tuned)
    if served is not None and not data.fits(served):
        notes.append("the served head was fitted to another trunk: compared with the frozen space instead")
        served = None
    if served is None or settings is None:
        served, trained_on = IDENTITY, ()
    if settings is None:
        promotion = Promotion(False, "the collection says `tune: none`: the frozen space is served")
        return _fit(data, IDENTITY, IDENTITY, promotion, (), notes, seed)

    learned = training_rows(data)
    judged = unseen_by(data, served, trained_on)
    choice = choose(data, served, settings, judged=judged, seed=seed)
    made = fit(data, learned, choice.recipe, watch=np.flatnonzero(data.in_splits("val")), seed=seed)
    notes += [made.note] if made.note else []
    candidate, promotion = _judge(data, made.head, served, choice, judged, seed)
    if promotion.promoted:
        served, trained_on = candidate, {*data.sha256[learned].tolist(), *data.group[learned].tolist()}
    if tuner is None or made.head.kind == "identity":
        return _fit(data, candidate, served, promotion, trained_on, notes, seed)
    # What is served otherwise is what full tuning has to beat, its own head among it.
    full, followed = tuner.judged(data, served, choice.recipe, learned, seed)
    notes.append(full.reason)
    if followed is None:
        return _fit(data, candidate, served, promotion, trained_on, notes, seed)
    data = replace(data, others={**data.others, followed.head.trunk: followed.data})
    trained_on = {*data.sha256[learned].tolist(), *data.group[learned].tolist()}
    fit_ = _fit(data, followed.head, followed.head, full, trained_on, notes, seed)
    return replace(fit_, trunk=followed.checkpoint)


def training_rows(data: Dataset) -> Ints:
    """The pictures a head may be tuned on: train. Refuses data in which one of them is unseen elsewhere."""
    learned = data.in_splits("train")
    unseen = data.in_splits("val", "test")
    if np.isin(data.group[learned], data.group[unseen]).any():
        raise PinflowError("a group is in training and in val or test: resolve the splits first")
    return np.flatnonzero(learned)


def _judge(
    data: Dataset, tuned: Head, served: Head, choice: Choice, judged: Mask, seed: int
) -> tuple[Head, Promotion]:
    """The candidate, as strong as it may be, and what is decided about it."""
    if tuned.kind == "identity":
        return tuned, Promotion(False, _nothing(data, choice.recipe))
    softer = [one for one in STRENGTHS if one < choice.strength] if tuned.kind == "residual" else []
    gains = gain_on_known(
        data,
        served,
        choice.recipe,
        judged=judged,
        relevant=data.same_label,
        strengths=(choice.strength, *softer),
        seed=seed,
    )
    strength = held_back(gains)
    candidate = tuned.softened(strength)
    if candidate.digest == served.digest:
        return candidate, Promotion(False, "the candidate is what is served already")
    return candidate, decide(gains[strength], replace(choice, strength=strength))


def _nothing(data: Dataset, recipe: Recipe) -> str:
    """Why a tuning gave nothing."""
    learned = training_rows(data)
    if len(learned) > 1 and np.ptp(data.vectors[learned], axis=0).max() < 1e-6:
        return "nothing to learn from: all training pictures look the same to the trunk"
    names = [name for code, name in enumerate(data.label_names) if (data.labels[learned] == code).sum() < 2]
    few = f" (too few: {', '.join(names[:3])})" if names and "label" in recipe.positives.by else ""
    return "nothing to learn from: two labels with two training pictures each are needed" + few


def _fit(
    data: Dataset,
    candidate: Head,
    served: Head,
    promotion: Promotion,
    trained_on: Collection[str],
    notes: list[str],
    seed: int,
) -> EncoderFit:
    heads = {"frozen": IDENTITY, "candidate": candidate, "served": served}
    measured = report_on(data, heads, seed=seed)
    return EncoderFit(
        candidate, served, promotion, tuple(sorted(trained_on)), measured, data, notes=tuple(notes)
    )


def _settings(recipe: EncoderRecipe, attributes: Collection[str]) -> tuple[Recipe | None, list[str]]:
    """The recipe in this room's terms (None: do not tune), and what of it is not followed."""
    if recipe.tune == "none":
        return None, []
    if recipe.grayscale and recipe.tune != "full":
        raise PinflowError("`encoder.grayscale: true` needs `tune: full`: other trunks know colours")
    loss = canonical(recipe.loss)
    positives = described(recipe.positives, attributes, recipe.match)
    notes = ["positives `captions` are for the text encoder"] if "captions" in recipe.positives else []
    return Recipe(positives, loss=loss), notes
