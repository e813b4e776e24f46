"""What would this cost? A photo is cut into the things that it shows, and each is priced by its like.

Neighbours of the same category and currency give a weighted median and an interval that holds the price four
times in five; where the evidence is thin there is a reason instead. A box that a person drew takes the
place of what was found.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pinflow.errors import SearchError
from pinflow.imaging.segments.segment import Box, Pixels, Segment, Segmenter
from pinflow.retrieval.attributes import LABEL, Facet, listings
from pinflow.retrieval.index import Floats, Mask, Rows
from pinflow.retrieval.pricing import LEAST_PRICED, LEVEL, Prices, Rule
from pinflow.retrieval.query import Example, Filter, Result
from pinflow.retrieval.release import Space
from pinflow.retrieval.searcher import Searcher
from pinflow.retrieval.votes import SURE

SIDE = 512  # px that a photo is cut up at: a segment of half its width still fills what a trunk sees
MOST_BOXES = 12  # half a second of GrabCut each
WIDEST = 20.0  # times the low end: a price between 20 and 400 helps nobody
SHOWN = 6
_SMALL = 64  # px; a smaller cut-out is enlarged, as the decoder takes none under 32

LoadSegmenter = Callable[[str | None], Segmenter]


class AskedBox(BaseModel):
    """A box that a person drew."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    box: tuple[int, int, int, int] = Field(
        description="left, top, width, height, pixels of the upright photo"
    )
    category: str | None = Field(
        None, max_length=500, description="label (slug or query); guessed by default"
    )


class PriceQuery(BaseModel):
    """A photo whose things are to be priced."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: list[Example] = Field(default_factory=list, max_length=1, description="the photo")
    boxes: list[AskedBox] | None = Field(
        None, max_length=MOST_BOXES, description="price these; what stands out by default"
    )
    category: str | None = Field(None, max_length=500, description="of all that have none of their own")
    currency: str | None = Field(
        None, max_length=10, description="ISO 4217; that of most neighbours by default, never mixed"
    )
    filter: Filter = Field(default_factory=Filter, description="whose prices may count")
    background: Literal["white", "keep"] = "white"
    segmenter: Literal["maskrcnn", "isnet", "grabcut", "saliency"] | None = Field(
        None, description="the best that is installed by default"
    )
    widest: float = Field(
        WIDEST, gt=1, allow_inf_nan=False, description="no price if its high end is more times its low end"
    )
    evidence: int = Field(SHOWN, ge=0, le=50, description="neighbours that are shown for each segment")


class Price(BaseModel):
    """An estimate, and the interval that holds the price with probability `level`."""

    estimate: float
    low: float
    high: float
    currency: str
    level: float = LEVEL
    neighbours: int = Field(description="listings that it was made from")


class Comparable(Result):
    """A neighbour; `weight`: its share in the estimate."""

    weight: float


class Priced(BaseModel):
    """One thing in the photo."""

    box: tuple[int, int, int, int] = Field(
        description="left, top, width, height, pixels of the upright photo"
    )
    found_by: str = Field(description="the segmenter, or `person`")
    name: str | None = Field(description="what the segmenter takes it for")
    category: str | None = Field(description="slug of the label whose prices count")
    category_confidence: float | None = Field(description="1 where it was given; null where unknown")
    space: str = Field(description="shared, or local: the category's own, where that prices better")
    price: Price | None
    why_not: str | None = Field(description="why there is no price")
    evidence: list[Comparable]


class PriceAnswer(BaseModel):
    """The things in a photo, the largest first, or in the order of the boxes."""

    segments: list[Priced]
    width: int = Field(description="pixels of the upright photo")
    height: int = Field(description="pixels of the upright photo")
    release: str


def price(searcher: Searcher, wanted: PriceQuery, load: LoadSegmenter | None = None) -> PriceAnswer:
    """Cut the photo into segments and price each. `load`: the segmenter of a name, or the default's.

    Raises `SearchError` naming the field at fault, `PictureError` for an unusable picture, `TrunkError`
    where the wanted segmenter is not installed.
    """
    from pinflow.imaging.decode import decode_within
    from pinflow.imaging.segments.paint import cut_out

    if len(wanted.positive) != 1 or wanted.positive[0].image is None:
        raise SearchError("positive: send the one photo that is to be priced", "positive")
    # Names are looked up before any work is done.
    slugs = [_slug(searcher, box.category or wanted.category) for box in wanted.boxes or ()]
    given = _slug(searcher, wanted.category)
    picture, (width, height) = decode_within(wanted.positive[0].image, SIDE)
    pixels = np.asarray(picture)
    scale = pixels.shape[1] / width
    if wanted.boxes is None:
        segments, by = found(pixels, (load or default_segmenter)(wanted.segmenter))
        slugs = [given] * len(segments)
    else:
        segments = [_drawn(pixels, Box(*asked.box), scale, (width, height)) for asked in wanted.boxes]
        by = "person"
    if not segments:
        return PriceAnswer(segments=[], width=width, height=height, release=searcher.release.id)
    cuts = [as_png(cut_out(pixels, one, white=wanted.background == "white")) for one in segments]
    vectors = searcher.vectors([Example(image=cut) for cut in cuts], searcher.release.shared, "positive")
    counter = _Counter(searcher, wanted)
    priced = []
    for segment, cut, vector, slug in zip(segments, cuts, vectors, slugs, strict=True):
        box = segment.box.scaled(1 / scale).within(width, height)
        told = {"box": tuple(box), "found_by": by, "name": segment.name}
        priced.append(Priced(**told, **counter.about(cut, vector, slug)))
    return PriceAnswer(segments=priced, width=width, height=height, release=searcher.release.id)


class _Counter:
    """Prices vectors by the comparables of one release."""

    def __init__(self, searcher: Searcher, wanted: PriceQuery) -> None:
        self._searcher = searcher
        self._wanted = wanted
        self._release = searcher.release
        self._prices = searcher.release.prices
        self._allowed = searcher.allowed((), wanted.filter)
        self._listings = listings(searcher.release.pins)

    def about(self, cut: bytes, vector: Floats, slug: str | None) -> dict[str, Any]:
        """What `Priced` says beside the box of a segment (its cut-out, its vector in the shared space)."""
        confidence: float | None = 1.0
        if slug is None:
            slug, confidence = self._category(vector)
        told = {"category": slug, "category_confidence": confidence, "space": "shared"}
        none: dict[str, Any] = {**told, "price": None, "evidence": []}
        if slug is None or (confidence is not None and confidence < SURE):
            return none | {"why_not": "it is not clear what this is: name its category"}
        prices, pricing = self._prices, self._release.pricing
        if prices is None or pricing is None or slug not in prices.category.values:
            return none | {"why_not": "too few pins of this collection have a price"}
        rule, space = pricing.shared, self._release.shared
        if slug in pricing.local and slug in self._release.local:
            rule, space, told["space"] = pricing.local[slug], self._release.local[slug], "local"
            vector = self._searcher.vectors([Example(image=cut)], space, "positive")[0]
        category = prices.category.values.index(slug)
        currency = self._currency(prices, category, vector, space)
        if currency is None:
            return none | {"why_not": f"nothing in {slug!r} has a price in that currency"}
        return told | self._counted(prices, rule, space, vector, prices.alike(category, currency), currency)

    def _category(self, vector: Floats) -> tuple[str | None, float | None]:
        vote, labels = self._release.votes.get(LABEL), self._release.attributes.get(LABEL)
        if vote is None or not isinstance(labels, Facet):
            return None, None
        allowed = self._allowed & labels.known
        near = self._release.shared.index.search(vector[None], vote.kernel.count, allowed)
        if near[0][0, 0] < vote.floor:
            return None, None
        shares = vote.shares(labels, *near)
        return labels.values[int(shares[0].argmax())], float(vote.confidence(shares)[0])

    def _currency(self, prices: Prices, category: int, vector: Floats, space: Space) -> int | None:
        """The one that is asked for, or that of most of the nearest; None where nothing has it."""
        if self._wanted.currency is not None:
            code = self._wanted.currency.upper()
            return prices.currencies.index(code) if code in prices.currencies else None
        mine = prices.known & (prices.category.codes == category) & self._allowed
        _, rows = space.index.search(vector[None], 2 * LEAST_PRICED, mine[space.rows])
        held = prices.currency[space.rows[rows[0][rows[0] >= 0]]]
        return int(np.bincount(held).argmax()) if len(held) else None

    def _counted(
        self, prices: Prices, rule: Rule, space: Space, vector: Floats, alike: Mask, currency: int
    ) -> dict[str, Any]:
        scores, rows = self._distinct(space, vector, (alike & self._allowed)[space.rows], rule.kernel.count)
        logs = prices.log[space.rows[rows]]
        weights = rule.kernel.weights(scores[None])[0]
        results = self._searcher.results(space, rows, scores)[: self._wanted.evidence]
        parts = (weights / (weights.sum() or 1.0)).tolist()
        evidence = [Comparable(**dict(one), weight=part) for one, part in zip(results, parts, strict=False)]
        none = {"price": None, "evidence": evidence}
        if len(rows) < LEAST_PRICED:
            return none | {
                "why_not": f"only {len(rows)} listings like it have a price; {LEAST_PRICED} are needed"
            }
        if scores[0] < rule.floor:
            return none | {
                "why_not": f"nothing here is like it: the nearest has a similarity of {scores[0]:.2f}, and "
                f"99 of 100 products have one of {rule.floor:.2f} at least"
            }
        middle, low, high = (float(np.exp(one[0])) for one in rule.price(logs[None], scores[None]))
        if high > self._wanted.widest * low:
            return none | {
                "why_not": f"prices of what is like it lie too far apart: from {low:,.2f} to {high:,.2f} "
                f"{prices.currencies[currency]}"
            }
        found = Price(
            estimate=middle,
            low=low,
            high=high,
            currency=prices.currencies[currency],
            neighbours=len(rows),
        )
        return {"price": found, "evidence": evidence, "why_not": None}

    def _distinct(self, space: Space, vector: Floats, allowed: Mask, count: int) -> tuple[Floats, Rows]:
        """The nearest rows of a space, one a listing: several pictures of one offer are one price."""
        scores, rows = space.index.search(vector[None], min(4 * count, space.index.n), allowed)
        found = rows[0] >= 0
        scores, rows = scores[0][found], rows[0][found]
        first = np.sort(np.unique(self._listings[space.rows[rows]], return_index=True)[1])[:count]
        return scores[first], rows[first]


def default_segmenter(name: str | None) -> Segmenter:
    """That of `imaging.segments`, its weights under `PINFLOW_HOME`, read once."""
    from pinflow.settings import Settings

    return _loaded(Settings().home_path / "models", name)


@lru_cache(maxsize=4)
def _loaded(models: Path, name: str | None) -> Segmenter:
    from pinflow.imaging.segments.choose import segmenter

    return segmenter(models, name)


def _slug(searcher: Searcher, category: str | None) -> str | None:
    return None if category is None else searcher.slug(category, "category")


def found(pixels: Pixels, segmenter: Segmenter) -> tuple[list[Segment], str]:
    """The segments of a picture, and who found them; the whole of it where nothing stands out."""
    segments = list(segmenter.segments(pixels))
    if segments:
        return segments, segmenter.name
    return [Segment.of(np.ones(pixels.shape[:2], np.bool_), 0.0)], "whole"


def _drawn(pixels: Pixels, box: Box, scale: float, size: tuple[int, int]) -> Segment:
    from pinflow.imaging.segments.grabcut import cut

    inside = box.within(*size)
    if min(box.width, box.height) < 1 or min(inside.width, inside.height) < 1:
        raise SearchError(f"boxes: {tuple(box)} lies outside the photo of {size[0]} x {size[1]} px", "boxes")
    part = inside.scaled(scale).within(pixels.shape[1], pixels.shape[0])
    # A person's box stays the person's: what GrabCut leaves of it is only its mask.
    return Segment(cut(pixels, part).mask, part, 1.0)


def as_png(pixels: Pixels) -> bytes:
    """A cut-out as a picture file that every decoder takes."""
    from PIL import Image

    picture = Image.fromarray(pixels)
    if min(picture.size) < _SMALL:
        by = _SMALL / min(picture.size)
        picture = picture.resize((round(picture.width * by), round(picture.height * by)))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()
