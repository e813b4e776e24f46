"""Fitting a tagger to a collection: learned on train, calibrated on pictures it never saw, judged on test."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinflow.learning.dataset import Dataset, Floats, Ints, Mask, join
from pinflow.learning.evaluate import Estimate
from pinflow.learning.tagging import strangers
from pinflow.learning.tagging.calibrate import fit_temperature, log_losses, softmax, thresholds, truth
from pinflow.learning.tagging.folds import stratified_folds
from pinflow.learning.tagging.measure import BINS, figures, share
from pinflow.learning.tagging.probe import CHOOSE_ON, STRENGTHS, Doubles, fit_probe, out_of_fold
from pinflow.learning.tagging.suspects import Suspects, find_suspects
from pinflow.learning.tagging.tagger import Tagger

PRECISION = 0.9  # that a tag is given with
TAGS_AT_LEAST = 2


@dataclass(frozen=True)
class TaggerFit:
    """What came of a fit; `tagger` is None where there was nothing to tell apart, and `why` says so."""

    tagger: Tagger | None
    why: str
    learned: tuple[str, ...] = ()  # sha256 and groups of the pictures that it was fitted to, sorted
    figures: dict[str, Estimate] = field(default_factory=dict)  # on test, strangers apart
    tags: dict[str, dict[str, Any]] = field(default_factory=dict)  # tag -> pictures learned, threshold, test
    reliability: list[dict[str, float]] = field(default_factory=list)  # bins of the probability, on test
    suspects: list[dict[str, Any]] = field(default_factory=list)  # probable label errors, worst first
    settings: dict[str, float] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The report: plain dicts, strings and numbers, without anything that names a picture."""
        told = replace(self, tagger=None, learned=(), suspects=[])
        return {**asdict(told), "suspects": len(self.suspects)}


@dataclass(frozen=True)
class _Unseen:
    """Pictures with what probes that never saw them say: train by folds, val by the whole."""

    rows: Ints
    logits: Doubles
    familiarity: Floats


def fit_tagger(
    features: pa.Table,
    rows: pa.Table,
    *,
    trunk: str = "",
    precision: float = PRECISION,
    seed: int = 0,
) -> TaggerFit:
    """Tags are the labels of the training pictures.

    `features`: `schema.features` of all labels; `rows`: their `schema.SPLIT_ROWS` after `splits.resolve`;
    `trunk`: digest of the trunk that made the features. Test and held-out pictures are never learned from;
    val sets levels and thresholds, and no weight. The same input gives the same bytes.
    """
    data = join(features, rows)
    learned = _training(data, rows)
    tags, labels = _tags(data, learned)
    if len(tags) < TAGS_AT_LEAST:
        return TaggerFit(None, f"{len(tags)} labels have training pictures, {TAGS_AT_LEAST} are needed")
    names = tuple(data.label_names[code] for code in tags.tolist())
    vectors, mine = data.vectors[learned], labels[learned]
    folds = stratified_folds(mine.max(axis=1), data.group[learned], seed=seed)
    if folds.max() == 0:
        return TaggerFit(None, "all training pictures are of one group: nothing could be judged")
    strength = choose_strength(vectors, mine, len(tags), folds)
    probe = fit_probe(vectors, mine, len(tags), strength)
    means = strangers.tag_means(vectors, truth(mine, len(tags)))

    unseen = _unseen(data, learned, labels, folds, strength, probe.logits, means)
    true = truth(labels, len(tags))
    temperature = fit_temperature(unseen.logits, true[unseen.rows])
    tagger = Tagger(
        tags=names,
        probe=probe,
        means=means,
        thresholds=thresholds(softmax(unseen.logits, temperature), true[unseen.rows], precision),
        temperature=temperature,
        familiar_from=strangers.level(unseen.familiarity),
        precision=precision,
        trunk=trunk,
    )
    tested = np.flatnonzero(data.in_splits("test") & true.any(axis=1))
    aside = strangers.put_aside(unseen.familiarity, true[unseen.rows])
    measured = _figures(tagger, data, tested, true[tested], seed)
    measured["stranger_auroc"] = strangers.auroc(*aside, seed=seed)
    everywhere = np.concatenate([unseen.rows, tested])
    probabilities = np.concatenate(
        [softmax(unseen.logits, temperature), tagger.probabilities(data.vectors[tested])]
    )
    return TaggerFit(
        tagger,
        f"{len(tags)} tags learned from {len(learned)} pictures",
        tuple(sorted({*data.sha256[learned].tolist(), *data.group[learned].tolist()})),
        measured,
        _by_tag(tagger, true, learned, data.vectors[tested], tested),
        _reliability(tagger.probabilities(data.vectors[tested]), true[tested]),
        _told(find_suspects(probabilities, labels[everywhere]), data, everywhere, names),
        {"strength": strength, "temperature": temperature, "precision": precision},
    )


def choose_strength(vectors: Floats, labels: Ints, count: int, folds: Ints) -> float:
    """The strength with the least out-of-fold log loss at its own best temperature."""
    some = np.arange(len(vectors))
    if len(some) > CHOOSE_ON:
        some = np.sort(np.random.default_rng(0).choice(some, CHOOSE_ON, replace=False))
    true = truth(labels[some], count)

    def loss(strength: float) -> float:
        logits = out_of_fold(vectors[some], labels[some], count, folds[some], strength)
        return float(log_losses(softmax(logits, fit_temperature(logits, true)), true).mean())

    return min(STRENGTHS, key=loss)


def _training(data: Dataset, rows: pa.Table) -> Ints:
    """Train, but for what is held out under another label."""
    held = rows.filter(pc.equal(rows["split"], "held_out"))["sha256"].to_pylist()
    found: Ints = np.flatnonzero(data.in_splits("train") & ~np.isin(data.sha256, held))
    return found


def _tags(data: Dataset, learned: Ints) -> tuple[Ints, Ints]:
    """Codes of the labels that were learned, and every picture's labels as places among them, else -1."""
    codes = np.unique(data.labels[learned])
    codes = codes[codes >= 0]
    place = np.full(len(data.label_names) + 1, -1, dtype=np.int64)  # the last one is for "no label"
    place[codes] = np.arange(len(codes))
    labels = place[data.labels]
    return codes, labels


def _unseen(
    data: Dataset,
    learned: Ints,
    labels: Ints,
    folds: Ints,
    strength: float,
    logits: Any,
    means: Floats,
) -> _Unseen:
    vectors, mine, count = data.vectors[learned], labels[learned], len(means)
    val = np.flatnonzero(data.in_splits("val") & (labels >= 0).any(axis=1))
    held_out = data.vectors[val]
    return _Unseen(
        np.concatenate([learned, val]),
        np.concatenate([out_of_fold(vectors, mine, count, folds, strength), logits(held_out)]),
        np.concatenate(
            [
                strangers.out_of_fold_familiarity(vectors, truth(mine, count), folds),
                strangers.familiarity(held_out, means),
            ]
        ),
    )


def _figures(tagger: Tagger, data: Dataset, tested: Ints, true: Mask, seed: int) -> dict[str, Estimate]:
    vectors, groups = data.vectors[tested], data.group[tested]
    if not len(tested):
        return {}
    said = tagger.tag(vectors)
    probabilities = tagger.probabilities(vectors)
    everyone = np.ones(len(tested), dtype=np.bool_)
    answered = np.array([one.verdict == "tagged" for one in said])
    known = np.array([one.verdict != "stranger" for one in said])
    given = probabilities >= tagger.thresholds
    right = np.asarray((given & true).any(axis=1) & ~(given & ~true).any(axis=1))
    return {
        **figures(probabilities, true, groups, seed=seed),
        "ece_uncalibrated": figures(softmax(tagger.probe.logits(vectors)), true, groups, seed=seed)["ece"],
        "coverage": share(answered, everyone, groups, seed=seed),
        "precision_where_tagged": share(right, answered, groups, seed=seed),
        "familiar": share(known, everyone, groups, seed=seed),
    }


def _by_tag(
    tagger: Tagger, true: Mask, learned: Ints, vectors: Floats, tested: Ints
) -> dict[str, dict[str, Any]]:
    guess = tagger.probabilities(vectors).argmax(axis=1)
    found = {}
    for number, tag in enumerate(tagger.tags):
        threshold = float(tagger.thresholds[number])
        mine = true[tested, number]
        found[tag] = {
            "learned": int(true[learned, number].sum()),
            "tested": int(mine.sum()),
            "found": int((mine & (guess == number)).sum()),
            "threshold": threshold if np.isfinite(threshold) else None,
        }
    return found


def _reliability(probabilities: Doubles, true: Mask) -> list[dict[str, float]]:
    """How sure the guesses were and how often right, in ten equal bins; empty ones are left out."""
    if not len(probabilities):
        return []
    sure, guess = probabilities.max(axis=1), probabilities.argmax(axis=1)
    right = true[np.arange(len(guess)), guess]
    place = np.clip(np.ceil(sure * BINS).astype(np.int64) - 1, 0, BINS - 1)
    return [
        {
            "pictures": int((place == b).sum()),
            "sure": float(sure[place == b].mean()),
            "right": float(right[place == b].mean()),
        }
        for b in np.unique(place).tolist()
    ]


def _told(found: Suspects, data: Dataset, rows: Ints, names: tuple[str, ...]) -> list[dict[str, Any]]:
    return [
        {
            "sha256": str(data.sha256[rows[row]]),
            "label": names[given],
            "suggested": names[better],
            "probability": float(own),
            "suggested_probability": float(likelier),
        }
        for row, given, better, own, likelier in zip(
            found.rows.tolist(),
            found.given.tolist(),
            found.suggested.tolist(),
            found.given_probability.tolist(),
            found.suggested_probability.tolist(),
            strict=True,
        )
    ]
