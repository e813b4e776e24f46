"""What would this cost, when the product itself is not there to tell? Leave-product-out, on two feeds.

`shop`: 54 products of a sample shop with its own prices; each is priced by the other 53, which calibrate too.
`emoji`: 7,428 listings of 1,857 products, read from a feed; 957 products answer and calibrate, a listing of
each of the other 900 is priced. Pictures, categories and products are real, prices are **made up**, for no
larger set of pictures with prices can be had by package name: category, subcategory, product and luck each
add to the logarithm of a price, so that the best that anybody can do is known (`the best possible`).

Peers, on the same vectors and the same products: `category median`, and `mean of the top 10`, plain, of
the category's ten nearest. An error is |estimate / price - 1|, and its median (MdAPE) is what is compared,
over all products: also where we would give no price.

    python -m benchmarks.price [--quick]
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from benchmarks import emoji
from benchmarks.learning import emoji_vectors
from benchmarks.lookup import _rounded, _unit
from benchmarks.report import finish, record
from pinflow.learning.evaluate import paired_gain
from pinflow.retrieval.attributes import LABEL, Facet
from pinflow.retrieval.price import WIDEST
from pinflow.retrieval.pricing import LEVEL, Prices, Pricing, fit_prices, held_out
from pinflow.retrieval.votes import SURE, Vote, fit_votes
from pinflow.settings import Settings

Floats = npt.NDArray[np.float32]
Doubles = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]
TOP = 10
RESAMPLES = 2000
# Standard deviations in log price of what makes an invented price.
SPREAD = {"category": 0.8, "subcategory": 0.6, "product": 0.35, "luck": 0.1}
DOLLARS = 1.1  # to the euro; the last vendor sells in dollars
QUICK = 300  # products of the feed that are priced


@dataclass(frozen=True)
class Guess:
    """Of q products, those that have comparables at all."""

    rows: Ints
    true: Doubles
    middle: Doubles
    low: Doubles
    high: Doubles
    median: Doubles  # of the category
    mean: Doubles  # of the top
    sure: Mask  # the category was clear, and enough comparables were near


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--quick", action="store_true", help=f"{QUICK} products of the feed; no cut-outs")
    quick = arguments.parse_args().quick
    home = Settings().home_path
    figures: dict[str, Any] = {}
    ratios: dict[str, float] = {}
    vectors, prices = shop(home)
    for name, asked in {"": None, **({} if quick else painted(home))}.items():
        found = nested(prices, vectors, vectors if asked is None else asked)
        told, ratio = measured(found, len(vectors))
        figures |= {f"shop{name}, {key}": value for key, value in told.items()}
        ratios |= {} if name else {f"{peer}, shop": value for peer, value in ratio.items()}
    told, ratio = of_feed(home, QUICK if quick else None)
    figures |= told
    ratios |= {f"{peer}, emoji": value for peer, value in ratio.items()}
    line = finish("price", ratios, figures, quick=quick, threads=1, level=LEVEL, widest=WIDEST)
    if not quick:
        record(line, "python -m benchmarks.price")


def shop(home: Path) -> tuple[Floats, Prices]:
    """Vectors (54, d) and prices of the sample shop."""
    from pinflow.imaging.derivatives import derive
    from pinflow.sample.fetch import fetch

    rows = fetch(home / "sample").shop
    vectors = _features(home, "shop", lambda: [derive(rows.path(one).read_bytes()).jpeg for one in rows.rows])
    log = np.log([one.price for one in rows.rows if one.price])
    return vectors, Prices(
        log, np.zeros(len(log), np.int64), ["USD"], _facet([one.label for one in rows.rows])
    )


def painted(home: Path) -> Mapping[str, Floats]:
    """The shop's vectors as a photo's would be: the largest segment, on its own background and on white."""
    from pinflow.imaging.decode import decode_within
    from pinflow.imaging.derivatives import derive
    from pinflow.imaging.segments.grabcut import GrabCut
    from pinflow.imaging.segments.paint import cut_out
    from pinflow.retrieval.price import SIDE, as_png, found
    from pinflow.sample.fetch import fetch

    def cuts() -> list[bytes]:
        rows, made = fetch(home / "sample").shop, []
        for one in rows.rows:
            pixels = np.asarray(decode_within(rows.path(one).read_bytes(), SIDE)[0])
            largest = found(pixels, GrabCut())[0][0]
            made += [derive(as_png(cut_out(pixels, largest, white=white))).jpeg for white in (False, True)]
        return made

    both = _features(home, "shop-cut", cuts)
    return {" (cut out, own background)": both[::2], " (cut out, on white)": both[1::2]}


def nested(prices: Prices, vectors: Floats, asked: Floats) -> Guess:
    """Each product priced by all others, which also calibrate; the product asks with its row of `asked`."""
    n = len(vectors)
    parts = []
    for row in range(n):
        rest = np.flatnonzero(np.arange(n) != row)
        pricing = fit_prices(_rows(prices, rest), vectors[rest], np.ones(n - 1, np.bool_), rest)
        assert pricing is not None
        own = vectors.copy()
        own[row] = asked[row]
        parts.append(guess(prices, own, np.arange(n) == row, np.arange(n), pricing))
    return Guess(*(np.concatenate([getattr(one, name) for one in parts]) for name in Guess.__annotations__))


def guess(prices: Prices, vectors: Floats, asked: Mask, groups: Ints, pricing: Pricing) -> Guess:
    """Price the rows that are `asked` by the priced rows of other groups."""
    rows, logs, similarities = held_out(prices, vectors, asked, groups)
    middle, low, high = pricing.shared.price(logs, similarities)
    median, mean = np.empty(len(rows)), np.empty(len(rows))
    for i, row in enumerate(rows.tolist()):
        alike = prices.alike(int(prices.category.codes[row]), int(prices.currency[row]))
        median[i] = np.median(prices.log[alike & (groups != groups[row])])
        mean[i] = np.log(np.nanmean(np.exp(logs[i, :TOP])))
    near = similarities[:, 0] >= pricing.shared.floor
    return Guess(rows, prices.log[rows], middle, low, high, median, mean, near)


def of_feed(home: Path, most: int | None) -> tuple[dict[str, Any], dict[str, float]]:
    """The larger set: its category given, and guessed from the picture."""
    folder = home / "bench" / "emoji"
    data = emoji.fetch(folder)
    vectors = _unit(emoji_vectors(folder, data, wide=False))
    prices, effects = read_feed(write_feed(data, emoji.described(folder)), data)
    # A listing of each product that is priced: then they are independent, as a binomial interval wants.
    chosen = np.flatnonzero(~data.train & (data.vendor == data.of % len(emoji.VENDORS)))[:most]
    learn = data.train
    known = np.where(learn, prices.log, np.nan)
    pricing = fit_prices(_with(prices, known), vectors, learn, data.of)
    assert pricing is not None
    asked = np.zeros(len(learn), np.bool_)
    asked[chosen] = True
    known[chosen] = prices.log[chosen]
    # The products that are priced must not answer one another.
    groups = np.where(learn, data.of, -1)
    given = guess(_with(prices, known), vectors, asked, groups, pricing)
    told, ratios = measured(given, len(chosen))
    told["the best possible, mdape"] = _median(np.abs(np.expm1(effects[chosen] - prices.log[chosen])))
    category = Facet(LABEL, np.where(learn, prices.category.codes, -1), prices.category.values)
    vote = fit_votes({LABEL: category}, {"shared": vectors}, learn, data.of, np.arange(len(learn)))[LABEL]
    codes, clear = _guessed(vote, category, vectors, chosen, groups, learn)
    sure = np.zeros(len(learn), np.bool_)
    sure[chosen] = clear
    named = np.array(prices.category.codes)
    named[chosen] = codes
    renamed = Facet(LABEL, named, prices.category.values)
    other = guess(Prices(known, prices.currency, prices.currencies, renamed), vectors, asked, groups, pricing)
    named_by_us = measured(other, len(chosen), sure[other.rows])[0]
    told |= {f"category guessed, {key}": value for key, value in named_by_us.items()}
    told["category guessed, right"] = float((codes == prices.category.codes[chosen]).mean())
    told |= {f"recall@{k} of the index": _recall(vectors, learn, chosen, k) for k in (10, 50)}
    return {f"emoji, {key}": value for key, value in told.items()}, ratios


def measured(found: Guess, asked: int, clear: Mask | None = None) -> tuple[dict[str, Any], dict[str, float]]:
    """Errors of ours, of the peers and their difference, with intervals; coverage; abstention of `asked`."""
    from scipy.stats import binomtest

    log = {"ours": found.middle, "category median": found.median, f"mean of the top {TOP}": found.mean}
    error = {who: np.abs(np.expm1(one - found.true)) for who, one in log.items()}
    inside = (found.low <= found.true) & (found.true <= found.high)
    given = found.sure & (found.high - found.low <= np.log(WIDEST))
    if clear is not None:
        given &= clear

    def share(mask: Mask) -> list[float]:
        test = binomtest(int(mask.sum()), max(1, len(mask)))
        ends = test.proportion_ci(method="exact")  # Clopper & Pearson 1934
        return [round(float(one), 4) for one in (test.statistic, ends.low, ends.high)]

    told: dict[str, Any] = {"products": len(found.true)}
    for who, errors in error.items():
        told[f"mdape, {who}"] = _median(errors)
        if who != "ours":
            told[f"mdape, less than {who}"] = _median(errors, error["ours"])
            gain = paired_gain(np.abs(log[who] - found.true), np.abs(found.middle - found.true))
            told[f"log error, less than {who}"] = _rounded(asdict(gain))
        if given.any():
            told[f"mdape where a price is given, {who}"] = _median(errors[given])
    told[f"coverage of the {LEVEL:.0%} interval"] = share(inside)
    told["coverage where a price is given"] = share(inside[given])
    without = np.arange(asked) >= int(given.sum())  # also those that have no comparables
    told["no price"] = share(without)
    told["high end by low end, median"] = round(float(np.median(np.exp(found.high - found.low))), 2)
    ours = float(np.median(error["ours"]))
    return told, {who: float(np.median(one)) / ours for who, one in error.items() if who != "ours"}


def write_feed(data: emoji.Emoji, described: Mapping[str, tuple[str, float]]) -> bytes:
    """A product feed as shops write it, with invented prices, a row a drawing."""
    out = io.StringIO()
    rows = csv.writer(out)
    rows.writerow(("id", "title", "product_type", "price", "brand", "image_link", "fair_price"))
    for of, vendor, category, name in zip(data.of, data.vendor, data.category, data.name, strict=True):
        kind, brand = described[str(name)][0], emoji.VENDORS[vendor]
        fair = 3 + _draw("category", str(category)) + _draw("subcategory", kind)
        log = fair + _draw("product", str(name)) + _draw("luck", f"{name} {brand}")
        abroad = vendor == len(emoji.VENDORS) - 1
        price = f"{np.exp(log) * (DOLLARS if abroad else 1):.2f} {'USD' if abroad else 'EUR'}"
        link = f"https://{brand}.example/{of}.png"
        rows.writerow((f"{of}-{brand}", name, category, price, brand, link, f"{np.exp(fair):.6f}"))
    return out.getvalue().encode()


def read_feed(feed: bytes, data: emoji.Emoji) -> tuple[Prices, Doubles]:
    """The feed through pinflow's own reader; and the logarithm of what each row would cost but for luck, in
    its currency."""
    from pinflow.scraping.pages.rows import Columns
    from pinflow.scraping.sources.tables import read_table

    counts: Counter[str] = Counter()
    header, rows = read_table(io.BytesIO(feed), counts)
    columns = Columns(header, {}, "product_type")
    read = [(columns.pin(row)[0], columns.value(row, "label") or "") for row in rows]
    pins = [pin for pin, _ in read if pin is not None and pin.price and pin.currency]
    if len(pins) != len(data.of) or counts["bad_rows"]:
        raise RuntimeError(f"{len(pins)} of {len(data.of)} rows of the feed were understood: {dict(counts)}")
    currencies = sorted({str(pin.currency) for pin in pins})
    currency = np.array([currencies.index(str(pin.currency)) for pin in pins])
    fair = np.log([float(pin.attributes["fair_price"]) for pin in pins])
    fair += np.log(DOLLARS) * (currency == currencies.index("USD"))
    log = np.log([float(pin.price or 0) for pin in pins])
    return Prices(log, currency, currencies, _facet([label for _, label in read])), fair


def _draw(what: str, name: str) -> float:
    """The same normal deviate for the same name, whatever else is drawn."""
    seed = int.from_bytes(hashlib.sha256(f"{what} {name}".encode()).digest()[:8], "big")
    return float(np.random.default_rng(seed).normal(0, SPREAD[what]))


def _guessed(
    vote: Vote, category: Facet, vectors: Floats, asked: Ints, groups: Ints, learn: Mask
) -> tuple[Ints, Mask]:
    from pinflow.retrieval.ballot import outsiders

    shares = vote.shares(category, *outsiders(vectors, asked, groups, vote.kernel.count, learn))
    return shares.argmax(axis=1).astype(np.int64), vote.confidence(shares) >= SURE


def _recall(vectors: Floats, learn: Mask, asked: Ints, k: int) -> float:
    """Of the k truly nearest that may answer, by numpy, the share that the index finds."""
    from pinflow.retrieval.index import build

    index = build(vectors)
    _, found = index.search(np.ascontiguousarray(vectors[asked]), k, learn)
    cosine = np.where(learn, vectors[asked] @ vectors.T, -np.inf)
    truth = np.argpartition(-cosine, k, axis=1)[:, :k]
    return float(
        np.mean([len(set(a) & set(b)) / k for a, b in zip(found.tolist(), truth.tolist(), strict=True)])
    )


def _median(errors: Doubles, than: Doubles | None = None) -> list[float]:
    """The median over products, or by how much it exceeds that of others, with its 95% interval."""
    drawn = np.random.default_rng(0).integers(len(errors), size=(RESAMPLES, len(errors)))
    value, resampled = np.median(errors), np.median(errors[drawn], axis=1)
    if than is not None:
        value, resampled = value - np.median(than), resampled - np.median(than[drawn], axis=1)
    return [round(float(one), 4) for one in (value, *np.quantile(resampled, [0.025, 0.975]))]


def _features(home: Path, name: str, pictures: Any) -> Floats:
    from pinflow.learning.trunk import load_trunk
    from pinflow.learning.weights import DEFAULT

    path = home / "bench" / "price" / f"{name}.npy"
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        np.save(path, load_trunk(DEFAULT, device="cpu").encode(pictures()))
    return _unit(np.load(path))


def _facet(values: list[str]) -> Facet:
    names, codes = np.unique(values, return_inverse=True)
    return Facet(LABEL, codes.astype(np.int64), names.tolist())


def _rows(prices: Prices, rows: Ints) -> Prices:
    category = Facet(LABEL, prices.category.codes[rows], prices.category.values)
    return Prices(prices.log[rows], prices.currency[rows], prices.currencies, category)


def _with(prices: Prices, log: Doubles) -> Prices:
    return Prices(log.copy(), prices.currency, prices.currencies, prices.category)


if __name__ == "__main__":
    main()
