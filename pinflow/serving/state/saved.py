"""Saved queries: addresses of the search page under a name. The page's state is in its address, so no more is
needed to come back to it."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import delete, func, select

from pinflow.serving.state.boards import TooMany
from pinflow.serving.state.database import Database, new_id, now, upsert
from pinflow.serving.state.tables import saved

MOST = 1000  # a person


class ToSave(BaseModel):
    """An address of this server, from its root on: a link to elsewhere, or to a script, is none."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=200, examples=["Red apples under 5"])
    url: str = Field(
        max_length=2000,
        # Browsers read a backslash as a slash, and drop tabs and line ends.
        pattern=r"^/([^/\\\x00-\x1f\x7f][^\\\x00-\x1f\x7f]*)?$",
        examples=["/?collection=market&q=red+apples"],
    )


class Saved(ToSave):
    """A saved query."""

    id: str
    created_at: str = Field(description="ISO 8601, UTC")


def all_of(database: Database, owner: str) -> list[Saved]:
    """The person's saved queries, newest first."""
    wanted = select(saved).where(saved.c.owner == owner).order_by(saved.c.created_at.desc(), saved.c.id)
    with database.begin() as connection:
        found = connection.execute(wanted).all()
    return [Saved(id=row.id, name=row.name, url=row.url, created_at=row.created_at) for row in found]


def add(database: Database, owner: str, wanted: ToSave) -> Saved:
    """Save an address; one that is saved already gets the new name. Raises `TooMany` beyond `MOST`."""
    with database.begin() as connection:
        row = {"id": new_id(), "owner": owner, "name": wanted.name, "url": wanted.url, "created_at": now()}
        upsert(connection, saved, row, ["owner", "url"], {"name": wanted.name})
        mine = select(func.count()).select_from(saved).where(saved.c.owner == owner)
        if (connection.scalar(mine) or 0) > MOST:
            raise TooMany(f"there are {MOST} saved queries already; delete one first")
        kept = connection.execute(
            select(saved).where(saved.c.owner == owner, saved.c.url == wanted.url)
        ).one()
    return Saved(id=kept.id, name=kept.name, url=kept.url, created_at=kept.created_at)


def remove(database: Database, owner: str, id: str) -> bool:
    """Whether there was such a one."""
    with database.begin() as connection:
        mine = delete(saved).where(saved.c.owner == owner, saved.c.id == id)
        return connection.execute(mine).rowcount > 0
