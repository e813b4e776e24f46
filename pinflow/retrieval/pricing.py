"""What neighbours know of a price, fitted on held-out prices: the estimate is the weighted median of theirs.

All in logarithms, for a price is wrong by a factor. The interval is conformal (Lei et al. 2018, arXiv
1604.04173): residuals of products that did not answer for themselves, each divided by how far its
neighbours disagree, so that the interval is narrow where they agree and wide where they do not.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinflow.retrieval.attributes import LABEL, Attribute, Facet
from pinflow.retrieval.ballot import Doubles, Ints, Kernel, conformal, outsiders, quantiles
from pinflow.retrieval.index import Floats, Mask, Rows

LEVEL = 0.8
LEAST_PRICED = 5  # neighbours of one category and currency; fewer are thin evidence
LEAST_ASKED = 20  # held-out prices that calibrate an interval
MOST_ASKED = 2000
STRANGE = 0.01  # share of held-out products that lie as far from all others as a stranger
COUNTS = (5, 10, 20, 40)
WIDTHS = (0.02, 0.05, 0.1, 0.3, 10.0)  # the last weighs all alike
SEED = 0


@dataclass(frozen=True, eq=False)
class Prices:
    """Row i for pin i: the logarithm of its price, NaN without one; the codes of currency and category."""

    log: Doubles
    currency: Ints
    currencies: list[str]
    category: Facet

    @classmethod
    def of(cls, pins: pa.Table, attributes: Mapping[str, Attribute]) -> Prices | None:
        """Those of `schema.RELEASE_PINS`; None where nothing has a price with a currency."""
        category = attributes.get(LABEL)
        price = pc.if_else(pc.greater(pins["price"], 0), pins["price"], None)
        price = pc.if_else(pc.is_valid(pins["currency"]), price, None).combine_chunks()
        if not isinstance(category, Facet) or price.null_count == len(price):
            return None
        values = price.to_numpy(zero_copy_only=False).astype(np.float64)
        log = np.full(len(values), np.nan)
        log[np.isfinite(values)] = np.log(values[np.isfinite(values)])
        coded = pins["currency"].combine_chunks().dictionary_encode()
        codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False).astype(np.int64)
        return cls(log, codes, coded.dictionary.to_pylist(), category)

    @property
    def known(self) -> Mask:
        """Which rows (n,) have one."""
        found: Mask = np.isfinite(self.log)
        return found

    def alike(self, category: int, currency: int) -> Mask:
        """Which rows (n,) have a price of that category and currency."""
        found: Mask = self.known & (self.category.codes == category) & (self.currency == currency)
        return found


@dataclass(frozen=True)
class Rule:
    """How neighbours of one space make a price."""

    kernel: Kernel
    unit: float  # added to how far neighbours disagree, in log price: a few that agree are no proof
    reach: float  # conformal: so many times that is the interval wide, on both sides
    floor: float  # a nearest neighbour less similar than this is a stranger
    figures: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, made: Mapping[str, Any]) -> Rule:
        """From `asdict`. Raises `TypeError` or `KeyError` for anything else."""
        return cls(**{**made, "kernel": Kernel(**made["kernel"])})

    def price(self, logs: Doubles, similarities: Floats) -> tuple[Doubles, Doubles, Doubles]:
        """Estimate, low and high, each (q,), in log price, by the log prices (q, k) of neighbours, best
        first; a similarity of -inf is none. NaN without neighbours."""
        middle, spread = _centre(self.kernel, logs, similarities)
        half = self.reach * (spread + self.unit)
        return middle, middle - half, middle + half


@dataclass(frozen=True)
class Pricing:
    """The rule of the collection's space, and of labels whose own space has proved better: their rules."""

    shared: Rule
    local: dict[str, Rule] = field(default_factory=dict)  # by label slug

    def to_json(self) -> dict[str, Any]:
        """As plain dicts."""
        return asdict(self)

    @classmethod
    def from_json(cls, made: Mapping[str, Any]) -> Pricing:
        """From `to_json`. Raises `TypeError` or `KeyError` for anything else."""
        local = {slug: Rule.from_json(rule) for slug, rule in made["local"].items()}
        return cls(Rule.from_json(made["shared"]), local)


def fit_prices(
    prices: Prices,
    vectors: Floats,
    unseen: Mask,
    groups: Ints,
    local: Mapping[str, tuple[Rows, Floats]] | None = None,
) -> Pricing | None:
    """None where fewer than `LEAST_ASKED` products that no training saw have priced neighbours.

    `vectors` (n, d) of the collection's space; `unseen`, `groups` (n,); `local`: by label the rows that
    are in its own space, and their vectors there. A label's own space is taken where, on its held-out
    products, the lower 95% bound of what it gains in log error is above zero.
    """
    from pinflow.learning.evaluate import paired_gain

    asked, logs, similarities = held_out(prices, vectors, unseen, groups)
    rule = fit_rule(prices.log[asked], logs, similarities)
    if rule is None:
        return None
    own: dict[str, Rule] = {}
    for slug, (rows, theirs) in (local or {}).items():
        part = Prices(
            prices.log[rows], prices.currency[rows], prices.currencies, _part(prices.category, rows)
        )
        there, near, alike = held_out(part, theirs, unseen[rows], groups[rows])
        other = fit_rule(part.log[there], near, alike)
        if other is None:
            continue
        place = {row: i for i, row in enumerate(asked.tolist())}
        both = [(i, place[row]) for i, row in enumerate(rows[there].tolist()) if row in place]
        if not both:
            continue
        mine, shared = (np.array(side) for side in zip(*both, strict=True))
        new = np.abs(other.price(near, alike)[0] - part.log[there])[mine]
        old = np.abs(rule.price(logs, similarities)[0] - prices.log[asked])[shared]
        gain = paired_gain(old, new)
        if gain.low is not None and gain.low > 0:
            own[slug] = other
    return Pricing(rule, own)


def held_out(prices: Prices, vectors: Floats, unseen: Mask, groups: Ints) -> tuple[Rows, Doubles, Floats]:
    """The rows (q,) that are asked, and of each the log prices and similarities (q, k) of its neighbours of
    the same category and currency outside its group, best first. Only those with `LEAST_PRICED` of them."""
    asked = np.flatnonzero(unseen & prices.known & prices.category.known)
    asked = np.sort(np.random.default_rng(SEED).permutation(asked)[:MOST_ASKED])
    logs = np.full((len(asked), max(COUNTS)), np.nan)
    similarities = np.full(logs.shape, -np.inf, np.float32)
    kinds = np.stack([prices.category.codes[asked], prices.currency[asked]], axis=1)
    for category, currency in np.unique(kinds, axis=0).tolist():
        mine = np.flatnonzero((kinds == (category, currency)).all(axis=1))
        alike = prices.alike(category, currency)
        found, rows = outsiders(vectors, asked[mine], groups, max(COUNTS), alike)
        similarities[mine] = found
        logs[mine] = np.where(rows >= 0, prices.log[rows], np.nan)
    enough = np.isfinite(similarities[:, LEAST_PRICED - 1])
    return asked[enough], logs[enough], similarities[enough]


def fit_rule(true: Doubles, logs: Doubles, similarities: Floats) -> Rule | None:
    """By the true log prices (q,) and the neighbours' (q, k); None for fewer than `LEAST_ASKED`."""
    if len(true) < LEAST_ASKED:
        return None
    kernels = [Kernel(count, width) for count in COUNTS for width in WIDTHS]
    centres = [_centre(kernel, logs, similarities) for kernel in kernels]
    errors = [float(np.abs(middle - true).mean()) for middle, _ in centres]
    best = int(np.argmin(errors))
    middle, spread = centres[best]
    away = np.abs(middle - true)
    unit = float(max(np.median(spread), 1e-3))
    reach = conformal(away / (spread + unit), LEVEL)
    told = {
        "products": len(true),
        "mdape": float(np.median(np.abs(np.expm1(middle - true)))),
        "log_error": errors[best],
        "typical_ratio_of_ends": float(np.exp(2 * reach * np.median(spread + unit))),
    }
    nearest = similarities[:, 0].astype(np.float64)
    return Rule(kernels[best], unit, reach, float(np.quantile(nearest, STRANGE)), told)


def _centre(kernel: Kernel, logs: Doubles, similarities: Floats) -> tuple[Doubles, Doubles]:
    """Weighted median (q,), and the weighted mean distance from it."""
    weights = np.where(np.isfinite(similarities), 1.0, 0.0)[:, : kernel.count] * kernel.weights(similarities)
    own = logs[:, : kernel.count]
    middle = quantiles(own, weights, (0.5,))[:, 0]
    away = np.where(weights > 0, np.abs(own - middle[:, None]), 0.0)
    total = weights.sum(axis=1)
    return middle, (away * weights).sum(axis=1) / np.where(total > 0, total, 1.0)


def _part(category: Facet, rows: Rows) -> Facet:
    return Facet(category.name, category.codes[rows], category.values)
