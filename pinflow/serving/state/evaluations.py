"""Evaluations: a person marks results of a search good or bad. The marks give the precision of what is
served, and pairs to train with.

Precision is that of the *marked* results: a person marks what is seen, mostly the first page, so it says
how good the first results are, and nothing about what was not found.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import Any

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Row, delete, select

from pinflow.retrieval.query import Query
from pinflow.serving.state.asked import Asked, examples
from pinflow.serving.state.database import Database, new_id, now, upsert
from pinflow.serving.state.tables import judgements

_Z95 = 1.959964  # two-sided 95% quantile of the normal distribution
_ANCHORS = ("id", "text", "url")


class Mark(BaseModel):
    """One result of one search, found good or bad."""

    model_config = ConfigDict(extra="forbid")

    query: Query = Field(
        description="the search, as it was sent", examples=[{"positive": [{"text": "red apples"}]}]
    )
    pin: str = Field(min_length=1, max_length=500, examples=["1234"])
    good: bool
    rank: int | None = Field(None, ge=1, le=1_000_000, description="where it stood among the results")


class QueryNumbers(BaseModel):
    """What was marked of one search."""

    digest: str = Field(description="of the search")
    query: dict[str, Any] = Field(description="the search, less the pictures that were sent")
    uploads: int
    good: int
    bad: int
    precision: float


class Numbers(BaseModel):
    """What was marked in one collection."""

    collection: str
    queries: int
    good: int
    bad: int
    precision: float = Field(description="share of the marked results that are good")
    low: float = Field(description="95% interval of it (Wilson 1927), from")
    high: float = Field(description="to")
    mean_precision: float = Field(description="mean over the searches, each counting the same")
    by_query: list[QueryNumbers] = Field(description="the worst first")


def mark(database: Database, owner: str, collection: str, given: Mark) -> None:
    """Remember a mark; a second one of the same result of the same search replaces the first."""
    asked = Asked.of(given.query)
    row = {
        "id": new_id(),
        "owner": owner,
        "collection": collection,
        "digest": asked.digest,
        "query": asked.query,
        "uploads": asked.uploads,
        "pin": given.pin,
        "good": given.good,
        "rank": given.rank,
        "at": now(),
    }
    change = {name: row[name] for name in ("good", "rank", "at")}
    with database.begin() as connection:
        upsert(connection, judgements, row, ["owner", "collection", "digest", "pin"], change)


def unmark(database: Database, owner: str, collection: str, digest: str, pin: str) -> bool:
    """Take a mark back. Whether there was one."""
    mine = delete(judgements).where(
        judgements.c.owner == owner,
        judgements.c.collection == collection,
        judgements.c.digest == digest,
        judgements.c.pin == pin,
    )
    with database.begin() as connection:
        return connection.execute(mine).rowcount > 0


def marks(database: Database, owner: str, collection: str, query: Query) -> dict[str, bool]:
    """The marks of one search: pin -> good."""
    wanted = select(judgements.c.pin, judgements.c.good).where(
        judgements.c.owner == owner,
        judgements.c.collection == collection,
        judgements.c.digest == query.digest(),
    )
    with database.begin() as connection:
        return {row.pin: row.good for row in connection.execute(wanted)}


def numbers(database: Database, owner: str, collection: str | None = None) -> list[Numbers]:
    """What the person has marked, a collection each, by name."""
    found: dict[str, dict[str, list[Row[Any]]]] = {}
    for row in _rows(database, owner, collection):
        found.setdefault(row.collection, {}).setdefault(row.digest, []).append(row)
    return [_numbers(name, list(queries.values())) for name, queries in sorted(found.items())]


def pairs(database: Database, owner: str, collection: str | None = None) -> Iterator[dict[str, Any]]:
    """Training pairs, one for each positive example that a marked search was made of: `{"collection",
    "anchor": {"id" | "text" | "url": ...}, "pin", "alike", "at"}`. Searches by an upload alone give none:
    the picture was not kept."""
    for row in _rows(database, owner, collection):
        for one in examples(row.query, "positive"):
            anchor = {name: one[name] for name in _ANCHORS if one.get(name)}
            yield {
                "collection": row.collection,
                "anchor": anchor,
                "pin": row.pin,
                "alike": row.good,
                "at": row.at,
            }


def wilson(good: int, of: int) -> tuple[float, float]:
    """The 95% score interval of a share (Wilson 1927), `of` >= 1."""
    share, z2 = good / of, _Z95**2
    centre = share + z2 / (2 * of)
    spread = _Z95 * math.sqrt(share * (1 - share) / of + z2 / (4 * of * of))
    return max(0.0, (centre - spread) / (1 + z2 / of)), min(1.0, (centre + spread) / (1 + z2 / of))


def _numbers(collection: str, queries: list[list[Row[Any]]]) -> Numbers:
    by_query = [
        QueryNumbers(
            digest=rows[0].digest,
            query=json.loads(rows[0].query),
            uploads=rows[0].uploads,
            good=(good := sum(row.good for row in rows)),
            bad=len(rows) - good,
            precision=good / len(rows),
        )
        for rows in queries
    ]
    good, marked = sum(one.good for one in by_query), sum(map(len, queries))
    low, high = wilson(good, marked)
    return Numbers(
        collection=collection,
        queries=len(queries),
        good=good,
        bad=marked - good,
        precision=good / marked,
        low=low,
        high=high,
        mean_precision=sum(one.precision for one in by_query) / len(by_query),
        by_query=sorted(by_query, key=lambda one: (one.precision, -one.bad, one.digest)),
    )


def _rows(database: Database, owner: str, collection: str | None) -> list[Row[Any]]:
    wanted = select(judgements).where(judgements.c.owner == owner)
    if collection is not None:
        wanted = wanted.where(judgements.c.collection == collection)
    with database.begin() as connection:
        return list(connection.execute(wanted.order_by(judgements.c.at, judgements.c.id)))
