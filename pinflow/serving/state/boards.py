"""Boards: pins that a person collects, from any collection, to look at and to search by as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, Field
from sqlalchemy import Connection, delete, func, select, update

from pinflow.errors import StateError
from pinflow.serving.state.database import Database, new_id, now, upsert
from pinflow.serving.state.tables import board_pins, boards

MAX_BOARDS = 1000  # a person
MAX_PINS = 500  # a board: it is searched by as a whole


class Named(BaseModel):
    """What a board is called."""

    model_config = ConfigDict(extra="forbid", str_strip_whitespace=True)

    name: str = Field(min_length=1, max_length=200, examples=["Kitchen ideas"])


class PinName(BaseModel):
    """A pin, wherever it is."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    collection: str = Field(min_length=1, max_length=200, examples=["market"])
    id: str = Field(min_length=1, max_length=500, examples=["1234"])


class BoardPin(PinName):
    """A pin on a board."""

    added_at: str = Field(description="ISO 8601, UTC")


class Board(BaseModel):
    """A board in a list."""

    id: str
    name: str
    created_at: str = Field(description="ISO 8601, UTC")
    pins: int = Field(description="how many")


def all_of(database: Database, owner: str) -> list[Board]:
    """The person's boards, newest first."""
    with database.begin() as connection:
        return _listed(connection, owner, None)


def one(database: Database, owner: str, id: str) -> Board | None:
    """A board of that person; None where there is none of that id."""
    with database.begin() as connection:
        return next(iter(_listed(connection, owner, id)), None)


def add(database: Database, owner: str, name: str) -> Board:
    """A new, empty board. Raises `StateError` beyond `MAX_BOARDS`."""
    made = Board(id=new_id(), name=name, created_at=now(), pins=0)
    with database.begin() as connection:
        mine = select(func.count()).select_from(boards).where(boards.c.owner == owner)
        if (connection.scalar(mine) or 0) >= MAX_BOARDS:
            raise TooMany(f"there are {MAX_BOARDS} boards already; delete one first")
        row = {"id": made.id, "owner": owner, "name": name, "created_at": made.created_at}
        connection.execute(boards.insert().values(row))
    return made


def rename(database: Database, owner: str, id: str, name: str) -> bool:
    """Whether there is such a board."""
    with database.begin() as connection:
        mine = update(boards).where(boards.c.id == id, boards.c.owner == owner)
        return connection.execute(mine.values(name=name)).rowcount > 0


def remove(database: Database, owner: str, id: str) -> bool:
    """Whether there was such a board."""
    with database.begin() as connection:
        mine = delete(boards).where(boards.c.id == id, boards.c.owner == owner)
        return connection.execute(mine).rowcount > 0


def pins(database: Database, owner: str, id: str) -> list[BoardPin] | None:
    """What is on the board, newest first; None where there is no such board."""
    with database.begin() as connection:
        if not _mine(connection, owner, id):
            return None
        found = connection.execute(
            select(board_pins)
            .where(board_pins.c.board == id)
            .order_by(board_pins.c.added_at.desc(), board_pins.c.collection, board_pins.c.pin)
        )
        return [BoardPin(collection=row.collection, id=row.pin, added_at=row.added_at) for row in found]


def collect(database: Database, owner: str, id: str, wanted: Sequence[PinName]) -> bool:
    """Put pins on the board; one that is there stays where it is. Whether there is such a board.

    Raises `TooMany` beyond `MAX_PINS`; then none is added.
    """
    with database.begin() as connection:
        if not _mine(connection, owner, id):
            return False
        for pin in wanted:
            row = {"board": id, "collection": pin.collection, "pin": pin.id, "added_at": now()}
            upsert(connection, board_pins, row, ["board", "collection", "pin"], {})
        held = select(func.count()).select_from(board_pins).where(board_pins.c.board == id)
        if (connection.scalar(held) or 0) > MAX_PINS:
            raise TooMany(f"a board holds at most {MAX_PINS} pins")
        return True


def drop(database: Database, owner: str, id: str, pin: PinName) -> bool:
    """Take a pin off the board. Whether it was on it."""
    with database.begin() as connection:
        if not _mine(connection, owner, id):
            return False
        there = delete(board_pins).where(
            board_pins.c.board == id, board_pins.c.collection == pin.collection, board_pins.c.pin == pin.id
        )
        return connection.execute(there).rowcount > 0


class TooMany(StateError):
    """A limit of this module."""


def _mine(connection: Connection, owner: str, id: str) -> bool:
    return (
        connection.scalar(select(boards.c.id).where(boards.c.id == id, boards.c.owner == owner)) is not None
    )


def _listed(connection: Connection, owner: str, id: str | None) -> list[Board]:
    count = func.count(board_pins.c.pin).label("pins")
    wanted = (
        select(boards.c.id, boards.c.name, boards.c.created_at, count)
        .outerjoin(board_pins, board_pins.c.board == boards.c.id)
        .where(boards.c.owner == owner, *([boards.c.id == id] if id is not None else []))
        .group_by(boards.c.id, boards.c.name, boards.c.created_at)
        .order_by(boards.c.created_at.desc(), boards.c.id)
    )
    return [Board(**row._mapping) for row in connection.execute(wanted)]
