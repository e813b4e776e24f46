"""A search as it is kept: its JSON without the pictures that a person sent, which are never stored."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from pinflow.retrieval.query import Example, Query


@dataclass(frozen=True)
class Asked:
    """`digest` tells it from any other search, uploads included; `uploads` is how many were left out."""

    digest: str
    query: str
    uploads: int

    @classmethod
    def of(cls, query: Query) -> Asked:
        sides = {"positive": query.positive, "negative": query.negative}
        left = {name: [one for one in side if not _sent(one)] for name, side in sides.items()}
        uploads = sum(map(len, sides.values())) - sum(map(len, left.values()))
        kept = query.model_copy(update={**left, "cursor": None})
        return cls(query.digest(), kept.model_dump_json(exclude_defaults=True), uploads)


def _sent(example: Example) -> bool:
    return example.image is not None or example.vector is not None


def names(query: str, pins: set[str]) -> bool:
    """Whether a kept search names one of those pins as an example."""
    return any(one.get("id") in pins for side in ("positive", "negative") for one in examples(query, side))


def examples(query: str, side: str) -> list[dict[str, Any]]:
    """The examples of one side of a kept search."""
    found: list[dict[str, Any]] = json.loads(query).get(side, [])
    return found
