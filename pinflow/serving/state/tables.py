"""The tables, once. SQLAlchemy Core: Dagster brings it in, and the same statements run on SQLite and
PostgreSQL. A change here wants a migration; a test compares the two.

`owner` is who sent the token (`owners.owner_of`). Times are ISO 8601 in UTC as text, which sorts, and is the
same in every database. `query` is the JSON of a search without uploaded pictures.
"""

from __future__ import annotations

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

metadata = MetaData()

_ID = String(32)
_OWNER = String(64)
_COLLECTION = String(200)
_PIN = String(500)
_WHEN = String(32)

boards = Table(
    "boards",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("owner", _OWNER, nullable=False),
    Column("name", String(200), nullable=False),
    Column("created_at", _WHEN, nullable=False),
    Index("boards_of", "owner", "created_at"),
)

board_pins = Table(
    "board_pins",
    metadata,
    Column("board", _ID, ForeignKey("boards.id", ondelete="CASCADE"), primary_key=True),
    Column("collection", _COLLECTION, primary_key=True),
    Column("pin", _PIN, primary_key=True),
    Column("added_at", _WHEN, nullable=False),
    Index("board_pins_named", "collection", "pin"),
)

searches = Table(
    "searches",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("owner", _OWNER, nullable=False),
    Column("collection", _COLLECTION, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("query", Text, nullable=False),
    Column("uploads", Integer, nullable=False),
    Column("times", Integer, nullable=False),
    Column("at", _WHEN, nullable=False),
    UniqueConstraint("owner", "collection", "digest", name="searches_once"),
    Index("searches_of", "owner", "at"),
)

saved = Table(
    "saved",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("owner", _OWNER, nullable=False),
    Column("name", String(200), nullable=False),
    Column("url", String(2000), nullable=False),
    Column("created_at", _WHEN, nullable=False),
    UniqueConstraint("owner", "url", name="saved_once"),
)

judgements = Table(
    "judgements",
    metadata,
    Column("id", _ID, primary_key=True),
    Column("owner", _OWNER, nullable=False),
    Column("collection", _COLLECTION, nullable=False),
    Column("digest", String(64), nullable=False),
    Column("query", Text, nullable=False),
    Column("uploads", Integer, nullable=False),
    Column("pin", _PIN, nullable=False),
    Column("good", Boolean, nullable=False),
    Column("rank", Integer),
    Column("at", _WHEN, nullable=False),
    UniqueConstraint("owner", "collection", "digest", "pin", name="judgements_once"),
    Index("judgements_named", "collection", "pin"),
)
