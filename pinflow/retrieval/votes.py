"""What neighbours know of an attribute, fitted on held-out votes: by which space, how many, and how sure.

Each asked picture is voted on by pictures outside its own group alone: where a collection groups by author,
this is leave-author-out. What is chosen on one half of the groups is measured on the other; what is kept
is chosen on both. The share of the votes becomes a confidence by isotonic regression (Zadrozny & Elkan
2002), or by Platt's sigmoid where the held-out votes are few; spans are conformalised quantiles (Romano
et al. 2019, arXiv 1905.03222).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pinflow.retrieval.attributes import LABEL, Attribute, Facet, Span
from pinflow.retrieval.ballot import Doubles, Ints, Kernel, conformal, outsiders, quantiles, shares
from pinflow.retrieval.index import Floats, Mask, Rows

LEVEL = 0.8  # of the intervals of spans
SURE = 0.5  # a value that is likelier wrong than right is not given
LEAST_VOTERS = 3  # fewer neighbours than that are thin evidence, however alike
LEAST_ASKED = 20  # fewer held-out votes calibrate nothing
ISOTONIC = 200  # held-out votes from which on isotonic regression is better than two parameters
MOST_ASKED = 600
STRANGE = 0.01  # share of held-out pictures that lie as far from all others as a stranger
SEED = 0
COUNTS = (5, 15, 50)
WIDTHS = (0.02, 0.05, 0.1, 0.3)
STRENGTHS = (0.1, 0.5, 2.0)

Spaces = Mapping[str, Floats]
Near = tuple[Floats, Rows]
Curve = tuple[tuple[float, ...], tuple[float, ...]]  # points of a line, increasing


@dataclass(frozen=True)
class Vote:
    """How an attribute is voted on. `left_out`: what an asked picture was kept from, its group or listing."""

    kind: str  # facet or span
    space: str  # shared or style
    kernel: Kernel
    floor: float  # a nearest neighbour less similar than this is a stranger
    strength: float = 0.0  # facets: how many nearest neighbours the frequencies count as
    curve: Curve = ((0.0, 1.0), (0.0, 1.0))  # facets: share of the votes -> confidence
    margin: float = 0.0  # spans: what is added to both ends, in the attribute's unit
    left_out: str = "group"
    figures: dict[str, Any] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """As plain dicts."""
        return asdict(self)

    @classmethod
    def from_json(cls, made: Mapping[str, Any]) -> Vote:
        """From `to_json`. Raises `TypeError` or `KeyError` for anything else."""
        shares, confidences = made["curve"]
        curve = tuple(map(float, shares)), tuple(map(float, confidences))
        return cls(**{**made, "kernel": Kernel(**made["kernel"]), "curve": curve})

    def shares(self, facet: Facet, similarities: Floats, rows: Rows) -> Doubles:
        """Which share (q, v) of the votes each value of the facet has, by neighbours (q, k), best first."""
        return _shares(facet, self.kernel, self.strength, (similarities, rows))

    def confidence(self, shares: Doubles) -> Doubles:
        """How probable it is (q,) that the value with the largest of the shares (q, v) is the right one."""
        return _confidence(self.curve, shares)

    def interval(self, span: Span, similarities: Floats, rows: Rows) -> Doubles:
        """(q, 3): low, middle and high by neighbours (q, k), best first; NaN without any."""
        found = _quantiles(span, self.kernel, (similarities, rows))
        found[:, 0], found[:, 2] = found[:, 0] - self.margin, found[:, 2] + self.margin
        found[:, 0], found[:, 2] = np.fmin(found[:, 0], found[:, 1]), np.fmax(found[:, 2], found[:, 1])
        return found


def fit_votes(
    attributes: Mapping[str, Attribute], spaces: Spaces, unseen: Mask, groups: Ints, listings: Ints
) -> dict[str, Vote]:
    """A vote for each attribute that enough `unseen` (n,) pictures have: those that no training saw.

    `spaces`: vectors (n, d) by name; `groups`, `listings` (n,): codes.
    """
    fitted = {}
    for name, attribute in attributes.items():
        asked = np.flatnonzero(unseen & attribute.known)
        asked = np.sort(np.random.default_rng(SEED).permutation(asked)[:MOST_ASKED])
        if len(asked) < LEAST_ASKED:
            continue
        # What a thing is says its content; that its picture was also taken alike must not.
        used = {"shared": spaces["shared"]} if name == LABEL else spaces
        own = isinstance(attribute, Facet) and _own(attribute, asked, groups)
        apart = listings if own else groups
        if len(np.unique(apart[attribute.known])) < 2:  # nobody is left to answer
            continue
        if isinstance(attribute, Facet):
            fitted[name] = _fit_facet(attribute, used, asked, apart, "listing" if own else "group")
        else:
            fitted[name] = _fit_span(attribute, used, asked, apart)
    return fitted


def _own(facet: Facet, asked: Rows, groups: Ints) -> bool:
    """Whether most pictures share their value with none outside their group: the group is that value."""
    known = np.flatnonzero(facet.known)
    pairs = np.unique(np.stack([facet.codes[known], groups[known]]), axis=1)
    in_groups = np.bincount(pairs[0], minlength=len(facet.values))
    return float((in_groups[facet.codes[asked]] > 1).mean()) < 0.5


def _fit_facet(facet: Facet, spaces: Spaces, asked: Rows, groups: Ints, left_out: str) -> Vote:
    from pinflow.learning.tagging.calibrate import log_losses

    near = _near(facet, spaces, asked, groups)
    true = np.zeros((len(asked), len(facet.values)), np.bool_)
    true[np.arange(len(asked)), facet.codes[asked]] = True
    settings = [(s, k, strength) for s in near for k in _kernels() for strength in STRENGTHS]
    losses = np.empty((len(settings), len(asked)))
    for place, (space, kernel, strength) in enumerate(settings):
        losses[place] = log_losses(_shares(facet, kernel, strength, near[space]), true)

    def chosen(rows: Mask) -> tuple[tuple[str, Kernel, float], Doubles, Curve]:
        best = settings[int(losses[:, rows].mean(axis=1).argmin())]
        found = _shares(facet, *best[1:], near[best[0]])
        return best, found, _fit_curve(found[rows], true[rows])

    confidence, right = np.empty(len(asked)), np.empty(len(asked), np.bool_)
    for half in _halves(groups[asked]):
        _, found, curve = chosen(~half)
        confidence[half] = _confidence(curve, found)[half]
        right[half] = true[np.arange(len(true)), found.argmax(axis=1)][half]
    (space, kernel, strength), _, curve = chosen(np.ones(len(asked), np.bool_))
    told = measured(confidence, right, groups[asked].astype(np.str_))
    told["majority"] = float(true[:, _prior(facet).argmax()].mean())
    floor = _floor(near[space])
    return Vote("facet", space, kernel, floor, strength, curve, left_out=left_out, figures=told)


def measured(confidence: Doubles, right: Mask, groups: npt.NDArray[np.str_]) -> dict[str, Any]:
    """Accuracy, ECE (Naeini et al. 2015, ten bins), and what is given from `SURE` on, with 95% intervals over
    groups (q,)."""
    from pinflow.learning.tagging.measure import BINS, estimate, share

    place = np.clip(np.ceil(confidence * BINS).astype(np.int64) - 1, 0, BINS - 1)
    bins = np.eye(BINS)[place] * (right - confidence)[:, None]
    given, everyone = confidence >= SURE, np.ones(len(right), np.bool_)
    ece = estimate(lambda w: np.asarray(np.abs(w @ bins).sum(axis=1) / w.sum(axis=1)), groups)
    return {
        "accuracy": asdict(share(right, everyone, groups)),
        "ece": asdict(ece),
        "given": asdict(share(given, everyone, groups)),
        "right_where_given": asdict(share(right, given, groups)),
    }


def _fit_curve(shares: Doubles, true: Mask) -> Curve:
    """From the largest share to the probability that it is right."""
    from sklearn.isotonic import IsotonicRegression
    from sklearn.linear_model import LogisticRegression

    first, right = shares.max(axis=1), true[np.arange(len(true)), shares.argmax(axis=1)]
    # Never surer than the rule of succession allows after so many votes.
    least = 1 / (len(first) + 2)
    if len(first) >= ISOTONIC:
        fit = IsotonicRegression(y_min=least, y_max=1 - least, out_of_bounds="clip").fit(first, right)
        return tuple(fit.X_thresholds_.tolist()), tuple(fit.y_thresholds_.tolist())
    grid = np.linspace(0, 1, 51)
    found = np.full(len(grid), float(np.clip(right.mean(), least, 1 - least)))
    if right.any() and not right.all():
        platt = LogisticRegression().fit(_logit(first)[:, None], right)
        if platt.coef_[0, 0] > 0:
            found = np.clip(platt.predict_proba(_logit(grid)[:, None])[:, 1], least, 1 - least)
    return tuple(grid.tolist()), tuple(found.tolist())


def _confidence(curve: Curve, shares: Doubles) -> Doubles:
    found: Doubles = np.interp(shares.max(axis=1), *curve)
    return found


def _logit(shares: Doubles) -> Doubles:
    kept = np.clip(shares, 1e-4, 1 - 1e-4)
    found: Doubles = np.log(kept / (1 - kept))
    return found


def _fit_span(span: Span, spaces: Spaces, asked: Rows, groups: Ints) -> Vote:
    from pinflow.learning.evaluate import bootstrap

    near = _near(span, spaces, asked, groups)
    true = (span.first[asked] + span.last[asked]) / 2
    settings = [(space, kernel) for space in near for kernel in _kernels()]
    found = np.stack([_quantiles(span, kernel, near[space]) for space, kernel in settings])
    # The pinball loss of both ends (Koenker & Bassett 1978): low where the interval is narrow and holds it.
    tails = np.array([(1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2])
    away = true[None, :, None] - found
    pinball = np.nan_to_num(np.maximum(tails * away, (tails - 1) * away).sum(axis=2), nan=np.inf)
    missed = np.maximum(found[:, :, 0] - true, true - found[:, :, 2])

    def chosen(rows: Mask) -> tuple[int, float]:
        best = int(pinball[:, rows].mean(axis=1).argmin())
        return best, conformal(missed[best, rows], LEVEL)

    crossed = np.empty((len(asked), 3))
    for half in _halves(groups[asked]):
        best, margin = chosen(~half)
        crossed[half] = found[best, half] + np.array([-margin, 0, margin])
    inside = (crossed[:, 0] <= true) & (true <= crossed[:, 2])
    everywhere = np.ones(len(asked), np.bool_)
    known = np.flatnonzero(span.known)
    middle = float(np.median((span.first[known] + span.last[known]) / 2))
    best, margin = chosen(everywhere)
    told = {
        "coverage": asdict(bootstrap(inside.astype(np.float64))),
        "error": asdict(bootstrap(np.abs(true - crossed[:, 1]))),
        "error_of_the_median": float(np.abs(true - middle).mean()),
        "width": float(np.median(crossed[:, 2] - crossed[:, 0])),
    }
    space, kernel = settings[best]
    return Vote("span", space, kernel, _floor(near[space]), margin=margin, figures=told)


def _near(attribute: Attribute, spaces: Spaces, asked: Rows, groups: Ints) -> dict[str, Near]:
    return {
        name: outsiders(vectors, asked, groups, max(COUNTS), attribute.known)
        for name, vectors in spaces.items()
    }


def _kernels() -> list[Kernel]:
    return [Kernel(count, width) for count in COUNTS for width in WIDTHS]


def _prior(facet: Facet) -> Doubles:
    counts = np.bincount(facet.codes[facet.known], minlength=len(facet.values)).astype(np.float64)
    found: Doubles = counts / counts.sum()
    return found


def _shares(facet: Facet, kernel: Kernel, strength: float, near: Near) -> Doubles:
    similarities, rows = near
    codes = np.where(rows >= 0, facet.codes[rows], -1)[:, : kernel.count]
    return shares(codes, kernel.weights(similarities), _prior(facet), strength)


def _quantiles(span: Span, kernel: Kernel, near: Near) -> Doubles:
    """Of the mixture of the neighbours' spans, each as its two ends and its middle."""
    similarities, rows = near[0][:, : kernel.count], near[1][:, : kernel.count]
    weights = np.where(rows >= 0, kernel.weights(similarities), 0.0) / 3
    first, last = span.first[rows], span.last[rows]
    values = np.concatenate([first, (first + last) / 2, last], axis=1)
    return quantiles(values, np.tile(weights, 3), ((1 - LEVEL) / 2, 0.5, (1 + LEVEL) / 2))


def _floor(near: Near) -> float:
    best = near[0][:, 0] if near[0].size else np.zeros(0)
    best = best[np.isfinite(best)]
    return float(np.quantile(best, STRANGE)) if len(best) else 0.0


def _halves(groups: Ints) -> Iterator[Mask]:
    """Two masks (q,) by group, drawn once for all."""
    names, of = np.unique(groups, return_inverse=True)
    side = np.random.default_rng(SEED).permutation(len(names)) % 2 == 0
    yield side[of]
    yield ~side[of]
