"""Which rows of a release a filter lets through, as a boolean mask over all rows.

Masks are computed by column and handed to the index, which returns allowed rows only; nothing is
filtered after the search, so a filter never loses results.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pinflow.errors import SearchError
from pinflow.retrieval.colours import Colours
from pinflow.retrieval.index import Mask
from pinflow.retrieval.query import Filter


@dataclass(frozen=True, eq=False)
class Filters:
    """The columns that can be filtered by. `pins`: `schema.RELEASE_PINS`; `labels`: slug -> query."""

    pins: pa.Table
    labels: dict[str, str]
    colours: Colours | None = None

    def mask(self, label: str | None, wanted: Filter) -> Mask | None:
        """(n,) bool, or None where every row is allowed.

        Raises `SearchError` for an unknown label or attribute.
        """
        masks = []
        if label is not None:
            masks.append(self._labelled([self.slug(label, "label")]))
        if wanted.labels is not None:
            masks.append(self._labelled([self.slug(each, "filter.labels") for each in wanted.labels]))
        if wanted.price_min is not None:
            masks.append(self._where(pc.greater_equal(self.pins.column("price"), wanted.price_min)))
        if wanted.price_max is not None:
            masks.append(self._where(pc.less_equal(self.pins.column("price"), wanted.price_max)))
        if wanted.currency is not None:
            masks.append(self._where(pc.equal(self.pins.column("currency"), wanted.currency.upper())))
        if wanted.licence is not None:
            masks.append(
                self._where(pc.is_in(self.pins.column("licence"), pa.array(wanted.licence, pa.string())))
            )
        if wanted.colour is not None:
            masks.append(self._coloured(wanted.colour, wanted.colour_within))
        masks += [self._attribute(name, value) for name, value in wanted.attributes.items()]
        return np.logical_and.reduce(masks) if masks else None

    def slug(self, label: str, where: str = "label") -> str:
        """The slug of a label given by slug or by query; `SearchError` names the nearest known one."""
        if label in self.labels:
            return label
        folded = " ".join(label.split()).casefold()
        for slug, query in self.labels.items():
            if query.casefold() == folded:
                return slug
        near = difflib.get_close_matches(folded, [*self.labels, *self.labels.values()], 1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        raise SearchError(f"{where}: no label {label[:80]!r} in this collection{hint}", where)

    def _coloured(self, colour: str, within: float) -> Mask:
        if self.colours is None:
            raise SearchError(
                "filter.colour: this release has no colours yet; the next one has", "filter.colour"
            )
        return self.colours.near(colour, within)

    def _labelled(self, slugs: list[str]) -> Mask:
        lists = self.pins.column("labels").combine_chunks()
        hits = pc.is_in(lists.flatten(), pa.array(slugs, pa.string()))
        return self._parents(pc.list_parent_indices(lists), hits)

    def _attribute(self, name: str, value: str | list[str]) -> Mask:
        maps = self.pins.column("attributes").combine_chunks()
        pairs = maps.cast(pa.list_(pa.struct([("key", pa.string()), ("value", pa.string())])))
        flat = pairs.flatten()
        named = pc.equal(flat.field("key"), name)
        if len(self.pins) and not pc.any(named).as_py():
            known = sorted(pc.unique(flat.field("key")).to_pylist())
            hint = f"; there are {', '.join(known[:20])}" if known else "; this collection has none"
            raise SearchError(f"filter.attributes: no attribute {name[:80]!r}{hint}", "filter.attributes")
        wanted = pa.array([value] if isinstance(value, str) else value, pa.string())
        same = pc.is_in(flat.field("value"), value_set=wanted)
        return self._parents(pc.list_parent_indices(pairs), pc.and_kleene(named, same))

    def _parents(self, parents: Any, hits: Any) -> Mask:
        mask = np.zeros(len(self.pins), dtype=bool)
        mask[parents.to_numpy()[pc.fill_null(hits, False).to_numpy(zero_copy_only=False)]] = True
        return mask

    def _where(self, condition: Any) -> Mask:
        mask: Mask = pc.fill_null(condition, False).combine_chunks().to_numpy(zero_copy_only=False)
        return mask
