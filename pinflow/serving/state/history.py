"""What a person has searched for, newest first. The same search again moves up instead of standing twice."""

from __future__ import annotations

import json
from typing import Any

from pydantic import BaseModel, Field
from sqlalchemy import delete, select

from pinflow.retrieval.query import Query
from pinflow.serving.state.asked import Asked
from pinflow.serving.state.database import Database, new_id, now, upsert
from pinflow.serving.state.tables import searches

KEPT = 1000  # searches a person; the oldest go


class Search(BaseModel):
    """One search."""

    id: str
    collection: str
    query: dict[str, Any] = Field(
        description="the body to ask again with, less the pictures that were sent",
        examples=[{"positive": [{"text": "red apples"}]}],
    )
    uploads: int = Field(description="how many pictures were sent with it; they were not kept")
    times: int = Field(description="how often it was asked")
    at: str = Field(description="ISO 8601, UTC: the last time")


def note(database: Database, owner: str, collection: str, query: Query) -> None:
    """Remember a search, and forget those beyond `KEPT`."""
    asked = Asked.of(query)
    row = {
        "id": new_id(),
        "owner": owner,
        "collection": collection,
        "digest": asked.digest,
        "query": asked.query,
        "uploads": asked.uploads,
        "times": 1,
        "at": now(),
    }
    with database.begin() as connection:
        change = {"at": row["at"], "times": searches.c.times + 1}
        upsert(connection, searches, row, ["owner", "collection", "digest"], change)
        oldest = (
            select(searches.c.at).where(searches.c.owner == owner).order_by(searches.c.at.desc()).offset(KEPT)
        )
        limit = connection.scalar(oldest.limit(1))
        if limit is not None:
            connection.execute(delete(searches).where(searches.c.owner == owner, searches.c.at <= limit))


def latest(database: Database, owner: str, *, collection: str | None = None, limit: int = 50) -> list[Search]:
    """The person's last searches."""
    wanted = select(searches).where(searches.c.owner == owner)
    if collection is not None:
        wanted = wanted.where(searches.c.collection == collection)
    with database.begin() as connection:
        found = connection.execute(wanted.order_by(searches.c.at.desc(), searches.c.id).limit(limit)).all()
    return [
        Search(
            id=row.id,
            collection=row.collection,
            query=json.loads(row.query),
            uploads=row.uploads,
            times=row.times,
            at=row.at,
        )
        for row in found
    ]


def remove(database: Database, owner: str, id: str | None = None) -> int:
    """Forget one search, or all of them. How many there were."""
    mine = delete(searches).where(searches.c.owner == owner)
    with database.begin() as connection:
        return connection.execute(mine if id is None else mine.where(searches.c.id == id)).rowcount
