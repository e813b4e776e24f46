"""Boards, searches, saved queries, judgements."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "boards",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
    )
    op.create_index("boards_of", "boards", ["owner", "created_at"])
    op.create_table(
        "board_pins",
        sa.Column("board", sa.String(32), sa.ForeignKey("boards.id", ondelete="CASCADE"), primary_key=True),
        sa.Column("collection", sa.String(200), primary_key=True),
        sa.Column("pin", sa.String(500), primary_key=True),
        sa.Column("added_at", sa.String(32), nullable=False),
    )
    op.create_index("board_pins_named", "board_pins", ["collection", "pin"])
    op.create_table(
        "searches",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("collection", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("uploads", sa.Integer, nullable=False),
        sa.Column("times", sa.Integer, nullable=False),
        sa.Column("at", sa.String(32), nullable=False),
        sa.UniqueConstraint("owner", "collection", "digest", name="searches_once"),
    )
    op.create_index("searches_of", "searches", ["owner", "at"])
    op.create_table(
        "saved",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("name", sa.String(200), nullable=False),
        sa.Column("url", sa.String(2000), nullable=False),
        sa.Column("created_at", sa.String(32), nullable=False),
        sa.UniqueConstraint("owner", "url", name="saved_once"),
    )
    op.create_table(
        "judgements",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("owner", sa.String(64), nullable=False),
        sa.Column("collection", sa.String(200), nullable=False),
        sa.Column("digest", sa.String(64), nullable=False),
        sa.Column("query", sa.Text, nullable=False),
        sa.Column("uploads", sa.Integer, nullable=False),
        sa.Column("pin", sa.String(500), nullable=False),
        sa.Column("good", sa.Boolean, nullable=False),
        sa.Column("rank", sa.Integer),
        sa.Column("at", sa.String(32), nullable=False),
        sa.UniqueConstraint("owner", "collection", "digest", "pin", name="judgements_once"),
    )
    op.create_index("judgements_named", "judgements", ["collection", "pin"])


def downgrade() -> None:
    for table in ("judgements", "saved", "searches", "board_pins", "boards"):
        op.drop_table(table)
