"""Which style, period, school or author is this closest to? Neighbours vote, attribute by attribute.

Beside each answer stand the pictures that voted for it; where the evidence is thin there is a reason
instead of an answer.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from typing import Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from pinflow.errors import SearchError
from pinflow.retrieval.attributes import Attribute, Facet
from pinflow.retrieval.index import Floats, Rows
from pinflow.retrieval.query import MAX_EXAMPLES, Example, Filter, Result
from pinflow.retrieval.release import Space
from pinflow.retrieval.searcher import Searcher
from pinflow.retrieval.votes import LEAST_VOTERS, LEVEL, SURE, Vote

SHOWN = 5  # values beside the first, and neighbours as evidence by default


class LookUp(BaseModel):
    """A picture, or several of the same thing, whose attributes are wanted."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    positive: list[Example] = Field(default_factory=list, max_length=MAX_EXAMPLES)
    attributes: list[str] | None = Field(
        None, max_length=100, description="those that are wanted; all that can be voted on by default"
    )
    filter: Filter = Field(default_factory=Filter, description="who may vote")
    evidence: int = Field(SHOWN, ge=0, le=50, description="voters that are shown for each attribute")


class Ranked(BaseModel):
    """A value and its share of the votes."""

    value: str
    share: float


class Voter(Result):
    """A neighbour that voted: `value` is its own, `weight` its share of all votes."""

    value: str
    weight: float


class Finding(BaseModel):
    """What the neighbours say of one attribute: a value of few, or an interval of numbers."""

    attribute: str
    value: str | None = Field(
        description="the likeliest value, or the middle of the interval; null: see why_not"
    )
    confidence: float | None = Field(
        description="calibrated probability that `value` is right, or that the interval holds the truth"
    )
    low: float | None = Field(None, description="numbers: where the interval begins")
    high: float | None = Field(None, description="numbers: where the interval ends")
    ranked: list[Ranked] = Field(description="the values with most votes, also where none is sure enough")
    why_not: str | None = Field(description="why there is no value")
    space: str = Field(description="what the neighbours are alike by: shared (content) or style")
    evidence: list[Voter]
    calibration: dict[str, Any] = Field(description="how such votes did on held-out pictures of this release")


class LookedUp(BaseModel):
    """A finding for each attribute."""

    attributes: list[Finding]
    release: str


def look_up(searcher: Searcher, wanted: LookUp) -> LookedUp:
    """What the pictures most like `wanted.positive` have in common.

    Raises `SearchError` naming the field at fault, `PictureError` for an unusable picture.
    """
    if not wanted.positive:
        raise SearchError("positive: give the picture that is to be looked up", "positive")
    votes, known = searcher.release.votes, searcher.release.attributes
    names = _names(wanted.attributes, [name for name in votes if name in known])
    allowed = searcher.allowed(wanted.positive, wanted.filter)
    vectors: dict[str, Floats] = {}
    findings = []
    for name in names:
        vote, attribute = votes[name], known[name]
        space = searcher.release.style if vote.space == "style" else searcher.release.shared
        if space is None:  # a release without styles keeps no vote by them
            continue
        if vote.space not in vectors:
            vectors[vote.space] = searcher.vector(wanted.positive, space, "positive")
        scores, rows = space.index.search(
            vectors[vote.space][None], vote.kernel.count, allowed & attribute.known
        )
        finding = _finding(searcher, attribute, vote, space, scores, rows, wanted.evidence)
        findings.append(finding)
    return LookedUp(attributes=findings, release=searcher.release.id)


def _names(wanted: Sequence[str] | None, votable: list[str]) -> list[str]:
    if wanted is None:
        return votable
    for name in wanted:
        if name not in votable:
            near = difflib.get_close_matches(name, votable, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(votable[:20]) or 'none'}"
            raise SearchError(f"attributes: {name[:80]!r} cannot be voted on here; {hint}", "attributes")
    return list(dict.fromkeys(wanted))


def _finding(
    searcher: Searcher, attribute: Attribute, vote: Vote, space: Space, scores: Floats, rows: Rows, shown: int
) -> Finding:
    found = rows[0] >= 0
    voters, weights = rows[0][found], vote.kernel.weights(scores)[0][found]
    total = float(weights.sum()) or 1.0
    why_not = _thin(vote, scores[0][found])
    value, confidence, ends, ranked = None, None, (None, None), []
    if isinstance(attribute, Facet):
        shares = vote.shares(attribute, scores, rows)
        order = np.argsort(-shares[0], kind="stable")[:SHOWN]
        ranked = [Ranked(value=attribute.values[i], share=float(shares[0, i])) for i in order]
        confidence = float(vote.confidence(shares)[0])
        if why_not is None and confidence < SURE:
            why_not = f"no value is likelier than not: {ranked[0].value!r} has {confidence:.0%}"
        value = None if why_not else ranked[0].value
    elif why_not is None:
        low, middle, high = vote.interval(attribute, scores, rows)[0].tolist()
        if np.isfinite(high - low):
            value, confidence, ends = f"{middle:.6g}", LEVEL, (low, high)
        else:
            why_not = "too few held-out votes to say how wide the interval must be"
    parts = (weights / total).tolist()
    results = searcher.results(space, voters[:shown], scores[0][found][:shown])
    evidence = [
        Voter(**dict(result), value=_text(attribute, row), weight=part)
        for result, row, part in zip(results, voters.tolist(), parts, strict=False)
    ]
    return Finding(
        attribute=attribute.name,
        value=value,
        confidence=confidence,
        low=ends[0],
        high=ends[1],
        ranked=ranked,
        why_not=why_not,
        space=vote.space,
        evidence=evidence,
        calibration=vote.figures,
    )


def _thin(vote: Vote, similarities: Floats) -> str | None:
    if len(similarities) < LEAST_VOTERS:
        return (
            f"only {len(similarities)} pictures that may vote have this attribute; {LEAST_VOTERS} are needed"
        )
    if similarities[0] < vote.floor:
        return (
            f"nothing here is like it: the nearest has a similarity of {similarities[0]:.2f}, "
            f"and 99 of 100 pictures have one of {vote.floor:.2f} at least"
        )
    return None


def _text(attribute: Attribute, row: int) -> str:
    if isinstance(attribute, Facet):
        return attribute.values[int(attribute.codes[row])]
    first, last = float(attribute.first[row]), float(attribute.last[row])
    return f"{first:.10g}" if first == last else f"{first:.10g} to {last:.10g}"
