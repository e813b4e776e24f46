"""Who may be asked to calibrate a release: pictures that no training saw, and what must not answer them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pinflow.retrieval.attributes import attributes, listings
from pinflow.retrieval.index import Floats, Mask
from pinflow.retrieval.pricing import Prices, Pricing, fit_prices
from pinflow.retrieval.votes import Vote, fit_votes

UNSEEN = ("val", "test")


@dataclass(frozen=True, eq=False)
class HeldOut:
    """Row i for pin i: whether no training saw it, and the code of its group, which never answers it."""

    unseen: Mask
    groups: npt.NDArray[np.int64]


def held_out(pins: pa.Table, splits: pa.Table, *, frozen: bool) -> HeldOut:
    """By the resolved `schema.SPLIT_ROWS` of all labels. In a `frozen` space nothing was ever trained, so
    everything is unseen."""
    columns = (splits[name].to_pylist() for name in ("id", "group", "split"))
    known = {one: (group, split) for one, group, split in zip(*columns, strict=True)}
    found = [known.get(one, (one, "held_out")) for one in pins["id"].to_pylist()]
    groups = np.unique(np.array([group for group, _ in found], np.str_), return_inverse=True)[1]
    unseen = np.array([frozen or split in UNSEEN for _, split in found], np.bool_)
    return HeldOut(unseen, groups.astype(np.int64))


def votes(pins: pa.Table, vectors: Floats, style: Floats | None, asked: HeldOut) -> dict[str, Vote]:
    """How each attribute of the gallery is voted on: by content, or by style where that is the better."""
    spaces = {"shared": vectors} if style is None else {"shared": vectors, "style": style}
    return fit_votes(attributes(pins), spaces, asked.unseen, asked.groups, listings(pins))


def pricing(
    pins: pa.Table, vectors: Floats, asked: HeldOut, local: Mapping[str, tuple[list[str], Floats]]
) -> Pricing | None:
    """How the gallery's prices make a new one. `local`: by label slug the ids that are in its own space, and
    their vectors there."""
    prices = Prices.of(pins, attributes(pins))
    if prices is None:
        return None
    row_of = {one: row for row, one in enumerate(pins["id"].to_pylist())}
    own = {}
    for slug, (ids, theirs) in local.items():
        places = [(row_of[one], place) for place, one in enumerate(ids) if one in row_of]
        if places:
            rows, kept = (np.array(side) for side in zip(*places, strict=True))
            own[slug] = rows, theirs[kept]
    return fit_prices(prices, vectors, asked.unseen, asked.groups, own)
