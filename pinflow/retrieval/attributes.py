"""The attributes of a release by column: what a picture can be compared by, as codes or as spans of numbers.

Not every attribute can be voted on: a SKU is of one picture, a size in words of hardly two. One with few
enough values, shared by enough pictures, is a facet; one of numbers, or a pair `year_from`, `year_to`, is a
span.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pinflow.retrieval.index import Mask

LABEL = "label"  # the name of the facet that is no attribute: what a picture was found under
MOST_VALUES = 500  # beyond, a facet is rather a name of the picture
LEAST_ROWS = 20  # fewer pictures with a value say nothing about others
# Share of the rows that must have their value in common with another: below, it names single pictures.
SHARED = 0.5
NUMBERS = 0.95  # share of the values that must be numbers for an attribute to be one
_PAIR = ("_from", "_to")
_NUMBER = r"^[+-]?\d+(\.\d+)?$"

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Facet:
    """An attribute with values in common: `codes` (n,), -1 where a row has none, number into `values`."""

    name: str
    codes: Ints
    values: list[str]

    @property
    def known(self) -> Mask:
        """Which rows (n,) have a value."""
        return self.codes >= 0


@dataclass(frozen=True, eq=False)
class Span:
    """An attribute of numbers: from `first` (n,) to `last` (n,), both NaN where a row has none."""

    name: str
    first: Doubles
    last: Doubles

    @property
    def known(self) -> Mask:
        """Which rows (n,) have one."""
        return np.isfinite(self.first)


Attribute = Facet | Span


def attributes(pins: pa.Table) -> dict[str, Attribute]:
    """What of `pins` (`schema.RELEASE_PINS`) can be voted on, by name; the label is a facet too.

    Where a row has several labels, the first is its own, as everywhere.
    """
    n = pins.num_rows
    maps = pins["attributes"].combine_chunks()
    pairs = maps.cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())])))
    parents = pc.list_parent_indices(pairs).to_numpy()
    flat = pairs.flatten()
    keys, texts = flat.field("key"), flat.field("value")
    found: dict[str, Attribute] = {}
    spans: dict[str, Doubles] = {}
    for name in sorted(pc.unique(keys).drop_null().to_pylist()):
        mine = pc.equal(keys, name).to_numpy(zero_copy_only=False)
        rows, values = parents[mine], texts.filter(pa.array(mine))
        numbers = _numbers(values)
        if numbers is not None:
            spans[name] = np.full(n, np.nan)
            spans[name][rows] = numbers
        elif (facet := _facet(name, n, rows, values)) is not None:
            found[name] = facet
    found |= _spans(spans)
    lists = pins["labels"].combine_chunks()
    some = pc.greater(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    first = pc.list_element(lists.filter(pa.array(some)), 0) if some.any() else pa.array([], pa.string())
    label = _facet(LABEL, n, np.flatnonzero(some), first, shared=0.0)
    return found if label is None else {**found, LABEL: label}


def listings(pins: pa.Table) -> Ints:
    """Which rows (n,) are one listing: those with the same page; a row without a page stands alone."""
    pages = pc.coalesce(pins["page_url"], pins["id"]).combine_chunks()
    return np.asarray(pages.dictionary_encode().indices.to_numpy(), np.int64)


def _numbers(values: pa.Array) -> Doubles | None:
    good = pc.match_substring_regex(values, _NUMBER).to_numpy(zero_copy_only=False)
    if not len(good) or good.mean() < NUMBERS:
        return None
    numbers = pc.cast(pc.if_else(pa.array(good), values, None), pa.float64())
    return np.asarray(numbers.to_numpy(zero_copy_only=False), np.float64)


def _facet(name: str, n: int, rows: Ints, values: pa.Array, shared: float = SHARED) -> Facet | None:
    if len(rows) < (LEAST_ROWS if shared else 1):
        return None
    coded = pc.dictionary_encode(values)
    names = coded.dictionary.to_pylist()
    counts = np.bincount(coded.indices.to_numpy(), minlength=len(names))
    if shared and (not 2 <= len(names) <= MOST_VALUES or counts[counts > 1].sum() < shared * len(rows)):
        return None
    codes = np.full(n, -1, np.int64)
    codes[rows] = coded.indices.to_numpy()
    return Facet(name, codes, names)


def _spans(numbers: dict[str, Doubles]) -> dict[str, Span]:
    """A pair of beginning and end is one span by the name that they share; any other number is its own."""
    start, end = _PAIR
    found: dict[str, Span] = {}
    for name, values in numbers.items():
        stem = name.removesuffix(start).removesuffix(end)
        if stem == name:
            found[name] = Span(name, values, values)
        elif {stem + start, stem + end} & numbers.keys():
            first, last = numbers.get(stem + start, values), numbers.get(stem + end, values)
            # An end that is open is as good as the other: all that is known of the date.
            first, last = np.where(np.isnan(first), last, first), np.where(np.isnan(last), first, last)
            found[stem] = Span(stem, np.fmin(first, last), np.fmax(first, last))
    return {
        name: span
        for name, span in found.items()
        if span.known.sum() >= LEAST_ROWS and len(np.unique(span.first[span.known])) > 1
    }
